//! Why a layout is not taken.

use crate::beneath::OpenError;
use crate::manifest::DocumentError;
use crate::registry::Digest;

/// Most distinct blobs in all images together.
pub(super) const MAX_BLOBS: usize = 2048;

/// What is wrong with the content of a layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerFault {
    /// It is packed otherwise than its media type says.
    #[error("its first bytes are not those of its media type")]
    Packing,
    /// It can't be unpacked to its end.
    #[error("it can't be unpacked")]
    Unpack(#[source] std::io::Error),
    /// It unpacks to more than is taken.
    #[error("it unpacks to more than the {limit} bytes that are allowed")]
    TooLarge {
        /// The limit: the layer's own, or what the other layers left of that of all.
        limit: u64,
    },
    /// It unpacks to something else than the configuration says.
    #[error("it unpacks to {actual}, but the configuration's diff_ids say {claimed}")]
    DiffId {
        /// What the configuration says.
        claimed: Digest,
        /// What it is.
        actual: Digest,
    },
}

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
    /// A layer that is said to unpack to two things.
    #[error("layer {0} is named with two media types or two diff_ids")]
    TwoClaims(Digest),
    /// A layer whose content is not taken.
    #[error("layer {digest}")]
    Layer {
        /// Digest of the layer.
        digest: Digest,
        /// What is wrong.
        #[source]
        fault: LayerFault,
    },
    /// An image that is for one thing by the index and for another by itself.
    #[error("the index and the configuration of {0} name two platforms")]
    TwoPlatforms(Digest),
    /// A configuration that is none.
    #[error("the configuration {digest} can't be read: {problem}")]
    Config {
        /// Its digest.
        digest: Digest,
        /// What is wrong.
        problem: String,
    },
}
