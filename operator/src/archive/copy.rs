//! Copies a log into the store without ever holding it whole. Of one that is too long, the first quarter and the end
//! are kept: a failure's cause stands at the end, what was built at the beginning.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::io::{AsyncBufRead, AsyncBufReadExt};
use object_store::ObjectStore;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use tokio::io::AsyncWriteExt;

use super::{ArchiveError, CopyError};

/// What is held of one log at a time, and the size of an upload's parts: the smallest that S3 admits.
const PART: usize = 5 << 20;

/// A log as it is read.
pub type Reader = Pin<Box<dyn AsyncBufRead + Send>>;

/// A log that can be read from its beginning as often as needed: the log of a container that has ended.
pub trait LogSource: Send + Sync {
    /// Begins to read.
    fn open(&self) -> BoxFuture<'_, Result<Reader, kube::Error>>;
}

/// What was kept of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Bytes that are kept.
    pub bytes: u64,
    /// Whether the middle is left out.
    pub cut: bool,
}

/// Copies a log to `path`, at most `max` bytes of it and one line that says what is left out.
pub(super) async fn copy(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    source: &dyn LogSource,
    max: u64,
) -> Result<Copied, CopyError> {
    let mut reader = source.open().await.map_err(CopyError::Ask)?;
    let mut upload = Upload::begin(store, path);
    let taken = take(&mut reader, &mut upload, max).await;
    let taken = upload.keep_if(taken).await?;
    let more = skip(&mut reader, u64::MAX).await.map_err(CopyError::Read)?;
    drop(reader);
    if more == 0 {
        return upload.finish(false).await;
    }
    upload.abort().await;
    shortened(store, path, source, Lengths::of(taken + more, max)).await
}

/// How a log that is too long is divided.
struct Lengths {
    head: u64,
    left_out: u64,
    tail: u64,
}

impl Lengths {
    fn of(total: u64, max: u64) -> Self {
        let head = max / 4;
        let tail = max - head;
        let left_out = total.saturating_sub(max);
        Self { head, left_out, tail }
    }
}

async fn shortened(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    source: &dyn LogSource,
    lengths: Lengths,
) -> Result<Copied, CopyError> {
    let mut reader = source.open().await.map_err(CopyError::Ask)?;
    let mut upload = Upload::begin(store, path);
    let note = format!(
        "\n[image-factory: {} bytes of this log are left out here]\n",
        lengths.left_out
    );
    let copied = async {
        take(&mut reader, &mut upload, lengths.head).await?;
        upload.put(Bytes::from(note)).await?;
        skip(&mut reader, lengths.left_out).await.map_err(CopyError::Read)?;
        take(&mut reader, &mut upload, lengths.tail).await
    }
    .await;
    upload.keep_if(copied).await?;
    upload.finish(true).await
}

/// Takes at most `most` bytes over; how many there were.
async fn take(reader: &mut Reader, upload: &mut Upload, most: u64) -> Result<u64, CopyError> {
    let mut taken = 0;
    while taken < most {
        let chunk = reader.fill_buf().await.map_err(CopyError::Read)?;
        if chunk.is_empty() {
            break;
        }
        let length = usize::try_from(most - taken).map_or(chunk.len(), |left| left.min(chunk.len()));
        let chunk = chunk.get(..length).unwrap_or(chunk);
        upload.put(Bytes::copy_from_slice(chunk)).await?;
        reader.consume_unpin(length);
        taken += length as u64;
    }
    Ok(taken)
}

/// Reads at most `most` bytes and forgets them; how many there were.
async fn skip(reader: &mut Reader, most: u64) -> std::io::Result<u64> {
    let mut skipped = 0;
    while skipped < most {
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() {
            break;
        }
        let length = usize::try_from(most - skipped).map_or(chunk.len(), |left| left.min(chunk.len()));
        reader.consume_unpin(length);
        skipped += length as u64;
    }
    Ok(skipped)
}

/// An object that appears whole or not at all.
struct Upload {
    writer: BufWriter,
    path: Path,
    bytes: u64,
}

impl Upload {
    fn begin(store: &Arc<dyn ObjectStore>, path: &Path) -> Self {
        let writer = BufWriter::with_capacity(store.clone(), path.clone(), PART);
        Self {
            writer: writer.with_max_concurrency(1),
            path: path.clone(),
            bytes: 0,
        }
    }

    async fn put(&mut self, bytes: Bytes) -> Result<(), ArchiveError> {
        self.bytes += bytes.len() as u64;
        let put = self.writer.put(bytes).await;
        put.map_err(|source| ArchiveError::store("write", &self.path, source))
    }

    /// Takes what was uploaded back if something failed on the way.
    async fn keep_if<T>(&mut self, result: Result<T, CopyError>) -> Result<T, CopyError> {
        if result.is_err() {
            self.abort().await;
        }
        result
    }

    /// Nothing was seen of it yet; what the store fails to tidy up now, it tidies up by its own rules.
    async fn abort(&mut self) {
        if let Err(error) = self.writer.abort().await {
            tracing::debug!(%error, path = %self.path, "upload was not taken back");
        }
    }

    async fn finish(mut self, cut: bool) -> Result<Copied, CopyError> {
        match self.writer.shutdown().await {
            Ok(()) => Ok(Copied { bytes: self.bytes, cut }),
            Err(source) => Err(CopyError::Store(ArchiveError::Write {
                path: self.path.to_string(),
                source,
            })),
        }
    }
}
