//! Why a layout is not taken.

use crate::beneath::OpenError;
use crate::manifest::DocumentError;
use crate::registry::Digest;

/// Most distinct blobs in all images together.
pub(super) const MAX_BLOBS: usize = 2048;

/// Why a layout is not taken.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A file that is not what it must be.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The marker of a layout is missing or of another version.
    #[error("oci-layout does not say version 1.0.0")]
    Version,
    /// A document that is not taken.
    #[error("{name}")]
    Document {
        /// Which one.
        name: String,
        /// Why.
        #[source]
        source: DocumentError,
    },
    /// A file that has another size than its descriptor says.
    #[error("blob {digest} has {actual} bytes, its descriptor says {expected}")]
    Size {
        /// Digest of the blob.
        digest: Digest,
        /// What the descriptor says.
        expected: u64,
        /// What the file has.
        actual: u64,
    },
    /// A file that has other bytes than its name says.
    #[error("blob {expected} has the digest {actual}")]
    Digest {
        /// What its name says.
        expected: Digest,
        /// What the bytes are.
        actual: Digest,
    },
    /// More than the platform allows.
    #[error("the image has more than the {limit} bytes that are allowed")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// More blobs than are taken.
    #[error("the images name more than {MAX_BLOBS} blobs")]
    TooManyBlobs,
    /// A blob that is named with two sizes.
    #[error("blob {0} is named with two sizes")]
    Contradiction(Digest),
    /// A configuration that is none.
    #[error("the configuration {digest} can't be read: {problem}")]
    Config {
        /// Its digest.
        digest: Digest,
        /// What is wrong.
        problem: String,
    },
}
