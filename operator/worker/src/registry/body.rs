//! What is sent as a blob: bytes that are hashed and counted on their way, and whose end is held back until they
//! turn out to be right.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _};

use super::digest::{Digest, Hasher};
use super::error::RegistryError;

/// How much is read from a file at once.
const CHUNK: usize = 1 << 20;

/// Bytes on their way.
pub type ByteStream = BoxStream<'static, Result<Bytes, BodyFault>>;

/// Why bytes are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum BodyFault {
    /// They hash to another digest.
    #[error("its bytes have the digest {actual}, not {expected}")]
    Digest {
        /// What was said.
        expected: Digest,
        /// What they are.
        actual: Digest,
    },
    /// They are more or fewer than was said.
    #[error("it has {} bytes, not {expected}", if *.more { "more".to_owned() } else { format!("{actual}") })]
    Size {
        /// What was said.
        expected: u64,
        /// How many came before this was noticed.
        actual: u64,
        /// Whether there are more than was said.
        more: bool,
    },
    /// They can't be read.
    #[error("its bytes can't be read")]
    Read(#[source] std::io::Error),
    /// The registry that they come from failed.
    #[error("it could not be fetched")]
    Remote(#[source] Box<RegistryError>),
}

/// Where a blob's bytes come from. May be opened again when a transfer is tried again.
pub trait BlobSource: Send + Sync {
    /// The bytes from the beginning.
    fn open(&self) -> BoxFuture<'_, Result<ByteStream, BodyFault>>;
}

impl BlobSource for Bytes {
    fn open(&self) -> BoxFuture<'_, Result<ByteStream, BodyFault>> {
        let bytes = self.clone();
        Box::pin(async move { Ok(stream::iter([Ok(bytes)]).boxed()) })
    }
}

/// A file that was opened once. Every reading goes through the same descriptor, so that what was checked is what is
/// sent, whatever becomes of its name.
#[derive(Clone, Debug)]
pub struct FileSource(Arc<File>);

impl FileSource {
    /// A source of the file's bytes.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self(Arc::new(file))
    }
}

impl BlobSource for FileSource {
    fn open(&self) -> BoxFuture<'_, Result<ByteStream, BodyFault>> {
        let file = Arc::clone(&self.0);
        let read = |(file, offset): (Arc<File>, u64)| async move {
            let (file, bytes) = read_at(file, offset).await?;
            let next = offset + bytes.len() as u64;
            Ok((!bytes.is_empty()).then_some((bytes, (file, next))))
        };
        Box::pin(async move { Ok(stream::try_unfold((file, 0), read).boxed()) })
    }
}

async fn read_at(file: Arc<File>, offset: u64) -> Result<(Arc<File>, Bytes), BodyFault> {
    let reading = tokio::task::spawn_blocking(move || {
        let mut buffer = vec![0; CHUNK];
        let count = file.read_at(&mut buffer, offset)?;
        buffer.truncate(count);
        Ok((file, Bytes::from(buffer)))
    });
    match reading.await {
        Ok(read) => read.map_err(BodyFault::Read),
        Err(_) => Err(BodyFault::Read(std::io::Error::other("the reading task was ended"))),
    }
}

/// Where a fault is left for who awaits the request: the HTTP client only tells that its body failed.
#[derive(Clone, Default)]
pub(super) struct Fault(Arc<Mutex<Option<BodyFault>>>);

impl Fault {
    fn leave(&self, fault: BodyFault) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    pub(super) fn take(&self) -> Option<BodyFault> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What a stream must turn out to be.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) digest: Digest,
    pub(super) size: u64,
}

struct Verifier {
    inner: ByteStream,
    hasher: Hasher,
    seen: u64,
    /// The newest piece, not passed on before another follows or all of them are found right.
    held: Option<Bytes>,
    expected: Expected,
    done: bool,
}

impl Verifier {
    async fn next(&mut self) -> Result<Option<Bytes>, BodyFault> {
        while !self.done {
            let Some(piece) = self.inner.next().await.transpose()? else {
                return self.finish();
            };
            self.seen += piece.len() as u64;
            if self.seen > self.expected.size {
                return Err(BodyFault::Size {
                    expected: self.expected.size,
                    actual: self.seen,
                    more: true,
                });
            }
            self.hasher.update(&piece);
            if let Some(earlier) = self.held.replace(piece) {
                return Ok(Some(earlier));
            }
        }
        Ok(None)
    }

    fn finish(&mut self) -> Result<Option<Bytes>, BodyFault> {
        self.done = true;
        let Expected { digest, size } = self.expected.clone();
        if self.seen != size {
            return Err(BodyFault::Size {
                expected: size,
                actual: self.seen,
                more: false,
            });
        }
        let actual = std::mem::take(&mut self.hasher).finish();
        if actual != digest {
            return Err(BodyFault::Digest {
                expected: digest,
                actual,
            });
        }
        Ok(self.held.take())
    }
}

/// The same bytes, which end with an error instead of their last piece unless size and digest are right.
pub(super) fn verified(inner: ByteStream, expected: Expected) -> ByteStream {
    let verifier = Verifier {
        inner,
        hasher: Hasher::default(),
        seen: 0,
        held: None,
        expected,
        done: false,
    };
    let next = |mut verifier: Verifier| async move { Ok(verifier.next().await?.map(|piece| (piece, verifier))) };
    stream::try_unfold(verifier, next).boxed()
}

/// A verified stream as a request's body; its fault is left in `fault`.
pub(super) fn request_body(inner: ByteStream, expected: Expected, fault: Fault) -> reqwest::Body {
    reqwest::Body::wrap_stream(verified(inner, expected).map(move |piece| {
        piece.map_err(|error| {
            let told = error.to_string();
            fault.leave(error);
            std::io::Error::other(told)
        })
    }))
}

/// Reads a source to its end and finds its digest and size right, without sending it anywhere.
///
/// # Errors
/// They are not.
pub async fn check(source: &dyn BlobSource, digest: &Digest, size: u64) -> Result<(), BodyFault> {
    let mut bytes = verified(
        source.open().await?,
        Expected {
            digest: digest.clone(),
            size,
        },
    );
    while let Some(piece) = bytes.next().await {
        piece?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pass(pieces: &[&'static [u8]], digest: Digest, size: u64) -> (Vec<u8>, Option<BodyFault>) {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece))).collect();
        let mut stream = verified(stream::iter(pieces).boxed(), Expected { digest, size });
        let mut passed = Vec::new();
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(piece) => passed.extend_from_slice(&piece),
                Err(fault) => return (passed, Some(fault)),
            }
        }
        (passed, None)
    }

    #[tokio::test]
    async fn right_bytes_pass_whole() {
        let (passed, fault) = pass(&[b"ab", b"", b"cd"], Digest::of(b"abcd"), 4).await;
        assert_eq!((passed.as_slice(), fault.is_none()), (b"abcd".as_slice(), true));
        let (passed, fault) = pass(&[], Digest::of(b""), 0).await;
        assert!(passed.is_empty() && fault.is_none());
    }

    #[tokio::test]
    async fn wrong_bytes_never_pass_whole() {
        let (passed, fault) = pass(&[b"ab", b"cX"], Digest::of(b"abcd"), 4).await;
        assert!(passed.len() < 4 && matches!(fault, Some(BodyFault::Digest { .. })));
        let (passed, fault) = pass(&[b"ab"], Digest::of(b"ab"), 4).await;
        assert!(passed.is_empty() && matches!(fault, Some(BodyFault::Size { more: false, .. })));
        let (passed, fault) = pass(&[b"ab", b"cde"], Digest::of(b"abcd"), 4).await;
        assert!(passed.len() <= 2 && matches!(fault, Some(BodyFault::Size { more: true, .. })));
    }

    #[tokio::test]
    async fn a_file_can_be_read_again_from_its_beginning() {
        use std::io::Write as _;
        let mut file = tempfile::tempfile().unwrap();
        let bytes = vec![7; CHUNK + 5];
        file.write_all(&bytes).unwrap();
        let source = FileSource::new(file);
        for _ in 0..2 {
            check(&source, &Digest::of(&bytes), bytes.len() as u64).await.unwrap();
        }
    }
}
