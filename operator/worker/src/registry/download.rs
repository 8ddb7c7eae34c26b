//! A blob into a file, whole and right, or an error.

use std::io::{self, SeekFrom};

use futures::StreamExt as _;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use super::Registry;
use super::blobs::Blob;
use super::body::{BodyFault, Expected, verified};
use super::error::{RegistryError, chain};
use super::name::Repository;
use super::retry::Retry;

/// Why a blob is not in its file.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The registry, or what it served.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The disk.
    #[error("a blob can't be written")]
    Disk(#[source] io::Error),
}

impl Registry {
    /// Writes a blob into `file` from its beginning, size and digest checked; from the first mirror that has it, else
    /// from its registry. What breaks off is begun anew.
    ///
    /// # Errors
    /// Nobody serves it, the bytes are others, or the disk says no. What is in the file then is nothing.
    pub async fn download(
        &self,
        repository: &Repository,
        blob: Blob<'_>,
        file: &mut File,
    ) -> Result<(), DownloadError> {
        let mut attempts = Vec::new();
        for candidate in self.candidates(repository)? {
            let mut retry = Retry::new(self.transport.patience);
            loop {
                match self.download_once(&candidate, blob, file).await {
                    Err(DownloadError::Registry(error)) if retry.allows(&error).await => {}
                    Err(DownloadError::Registry(error)) => {
                        attempts.push(error);
                        break;
                    }
                    result => return result,
                }
            }
        }
        file.set_len(0).await.map_err(DownloadError::Disk)?;
        Err(DownloadError::Registry(RegistryError::of_attempts(attempts)))
    }

    async fn download_once(
        &self,
        repository: &Repository,
        blob: Blob<'_>,
        file: &mut File,
    ) -> Result<(), DownloadError> {
        file.set_len(0).await.map_err(DownloadError::Disk)?;
        file.seek(SeekFrom::Start(0)).await.map_err(DownloadError::Disk)?;
        let expected = Expected {
            digest: blob.digest.clone(),
            size: blob.size,
        };
        let mut pieces = verified(self.stream(repository, blob).await?, expected);
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|fault| wrong(repository, blob, fault))?;
            file.write_all(&piece).await.map_err(DownloadError::Disk)?;
        }
        file.flush().await.map_err(DownloadError::Disk)
    }
}

pub(super) fn wrong(repository: &Repository, blob: Blob<'_>, fault: BodyFault) -> RegistryError {
    match fault {
        BodyFault::Remote(source) => *source,
        fault => RegistryError::Protocol {
            repository: repository.clone(),
            detail: format!("blob {}: {}", blob.digest, chain(&fault)),
        },
    }
}
