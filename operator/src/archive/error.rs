//! What can go wrong with the store.

use object_store::path::Path;

/// The store can't be opened, or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The URL is none that names a store.
    #[error("objectStore.url {url:?} must be file:///…, s3://…, gs://… or az://…")]
    Url {
        /// As configured.
        url: String,
    },
    /// An option that no such store has.
    #[error("objectStore.options.{key} is no option of this store")]
    Option {
        /// The option.
        key: String,
    },
    /// The store's client can't be made.
    #[error("could not open the object store")]
    Open(#[source] object_store::Error),
    /// The directory can't be made.
    #[error("could not make the directory {path}")]
    Directory {
        /// The directory.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A request failed.
    #[error("could not {verb} {path} in the object store")]
    Store {
        /// What was tried.
        verb: &'static str,
        /// Object or prefix.
        path: String,
        /// What the store said.
        source: object_store::Error,
    },
    /// The end of an upload failed.
    #[error("could not write {path} to the object store")]
    Write {
        /// Object.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl ArchiveError {
    pub(super) fn store(verb: &'static str, path: &Path, source: object_store::Error) -> Self {
        Self::Store {
            verb,
            path: path.to_string(),
            source,
        }
    }
}

/// Why a log was not copied: the two sides fail for different reasons, and are waited for differently.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The log can't be asked for.
    #[error("could not ask for the log")]
    Ask(#[source] kube::Error),
    /// The log ended before its end.
    #[error("could not read the log")]
    Read(#[source] std::io::Error),
    /// The store would not have it.
    #[error(transparent)]
    Store(#[from] ArchiveError),
}
