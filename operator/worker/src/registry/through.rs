//! A blob read through on a thread that may block, and kept nowhere.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::Registry;
use super::blobs::Blob;
use super::body::{Expected, verified};
use super::download::wrong;
use super::error::RegistryError;
use super::name::Repository;
use super::retry::Retry;

/// Pieces that wait to be read. Each is as large as the network gives it.
const WAITING: usize = 4;

/// The bytes of a blob. They end with an error where the registry fails or serves others.
#[derive(Debug)]
pub struct BlobReader {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let count = self.piece.len().min(buffer.len());
        self.piece
            .split_to(count)
            .copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}

impl Registry {
    /// Has `read` read a blob of this very repository, size and digest checked on their way; what breaks off is begun anew.
    /// What `read` makes of the whole is returned only if it is whole and right; of what it leaves unread nothing is known.
    /// None where the reading thread was ended.
    ///
    /// # Errors
    /// The registry does not serve it, or serves other bytes.
    pub async fn read_through<T: Send + 'static>(
        &self,
        repository: &Repository,
        blob: Blob<'_>,
        read: impl Fn(BlobReader) -> T + Clone + Send + 'static,
    ) -> Result<Option<T>, RegistryError> {
        let mut retry = Retry::new(self.transport.patience);
        loop {
            match self.read_once(repository, blob, read.clone()).await {
                Err(error) if retry.allows(&error).await => {}
                result => return result,
            }
        }
    }

    async fn read_once<T: Send + 'static>(
        &self,
        repository: &Repository,
        blob: Blob<'_>,
        read: impl FnOnce(BlobReader) -> T + Send + 'static,
    ) -> Result<Option<T>, RegistryError> {
        let expected = Expected {
            digest: blob.digest.clone(),
            size: blob.size,
        };
        let mut pieces = verified(self.stream(repository, blob).await?, expected);
        let (sender, receiver) = mpsc::channel(WAITING);
        let reader = BlobReader {
            pieces: receiver,
            piece: Bytes::new(),
        };
        let reading = tokio::task::spawn_blocking(move || read(reader));
        let mut broken = None;
        while let Some(piece) = pieces.next().await {
            let told = piece.map_err(|fault| {
                broken = Some(wrong(repository, blob, fault));
                io::Error::other("the blob broke off")
            });
            // Whoever reads has seen enough.
            if sender.send(told).await.is_err() {
                break;
            }
        }
        drop(sender);
        let made = reading.await.ok();
        broken.map_or(Ok(made), Err)
    }
}
