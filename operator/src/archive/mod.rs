//! The store for what outlives its objects: logs (`logs/…`) and the list of staged images that expire (`expire/…`).
//!
//! One URL names it: a directory on a volume, or a bucket of S3, Google or Azure. Every write replaces a whole object
//! at once, so that repeating one after a crash changes nothing.

mod copy;
mod error;
mod expire;
mod logs;
mod open;

#[cfg(test)]
mod tests;

pub use copy::{Copied, LogSource, Reader};
pub use error::{ArchiveError, CopyError};
pub use logs::StoredLog;

use std::sync::Arc;

use imagefactory_core::settings::Settings;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

/// The store, and where in it we are.
#[derive(Clone, Debug)]
pub struct Archive {
    store: Arc<dyn ObjectStore>,
    root: Path,
    /// URL as configured, without a slash at the end.
    url: String,
    max_log_bytes: u64,
}

impl Archive {
    /// Opens the store that the settings name. Credentials and what else a cloud's own tools read come from this
    /// process's environment.
    ///
    /// # Errors
    /// When the settings can't be a store, or a directory can't be made.
    pub fn open(settings: &Settings) -> Result<Self, ArchiveError> {
        let environment: Vec<(String, String)> = std::env::vars().collect();
        Self::open_with(settings, &environment)
    }

    /// As [`Archive::open`], with this environment.
    ///
    /// # Errors
    /// When the settings can't be a store, or a directory can't be made.
    pub fn open_with(settings: &Settings, environment: &[(String, String)]) -> Result<Self, ArchiveError> {
        let (store, root) = open::open(&settings.object_store, settings.ca_bundle.as_deref(), environment)?;
        Ok(Self {
            store,
            root,
            url: settings.object_store.url.trim_end_matches('/').to_owned(),
            max_log_bytes: settings.logs.max_bytes,
        })
    }

    /// A store in memory, for tests.
    #[cfg(test)]
    pub(crate) fn in_memory(max_log_bytes: u64) -> Self {
        Self::on(Arc::new(object_store::memory::InMemory::new()), max_log_bytes)
    }

    /// On a store of the test's own.
    #[cfg(test)]
    pub(crate) fn on(store: Arc<dyn ObjectStore>, max_log_bytes: u64) -> Self {
        Self {
            store,
            root: Path::default(),
            url: "memory://".to_owned(),
            max_log_bytes,
        }
    }

    /// Path of an object. Each name between slashes is one that can't lead upwards; others are encoded.
    fn path(&self, path: &str) -> Path {
        Path::from_iter(self.root.parts().chain(path.split('/').map(Into::into)))
    }

    async fn put(&self, path: &str, content: Vec<u8>) -> Result<(), ArchiveError> {
        let path = self.path(path);
        match self.store.put(&path, PutPayload::from(content)).await {
            Ok(_) => Ok(()),
            Err(source) => Err(ArchiveError::store("write", &path, source)),
        }
    }

    /// Removes an object; one that is gone already is as good.
    async fn remove(&self, path: &Path) -> Result<(), ArchiveError> {
        match self.store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(ArchiveError::store("remove", path, source)),
        }
    }
}
