//! The project's cache: files that one builder wrote and the next one of the project reads, kept in staging as one OCI
//! artifact with a blob for each file, so that what did not change is not sent again. Tenant code wrote them, so they
//! are taken as hostile on both ways; and nothing that goes wrong with a cache is a failure of the build.

mod gather;
mod load;
mod manifest;
mod store;

pub use load::run as load;
pub(crate) use store::store;

use crate::beneath::OpenError;
use crate::registry::{BodyFault, DownloadError, RegistryError};

/// Artifact type of a cache.
pub const CACHE_TYPE: &str = "application/vnd.imagefactory.cache.v1";
/// Most files that are kept.
const MAX_FILES: usize = 4096;
/// Deepest path of a file.
const MAX_DEPTH: usize = 8;

/// Why a cache is not stored or not loaded. Told in the log alone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    /// The directory that the builder left.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A file that changed.
    #[error("a file changed while it was read")]
    Changed(#[from] BodyFault),
    /// What is in the registry is no cache.
    #[error("what is kept is no cache: {0}")]
    Manifest(String),
    /// The disk.
    #[error("the cache can't be written")]
    Disk(#[from] std::io::Error),
    /// It takes too long.
    #[error("sending it takes too long")]
    TooSlow,
    /// A thread of ours broke off.
    #[error("reading the cache broke off")]
    BrokenOff,
}

impl From<DownloadError> for CacheError {
    fn from(error: DownloadError) -> Self {
        match error {
            DownloadError::Registry(source) => source.into(),
            DownloadError::Disk(source) => source.into(),
        }
    }
}
