//! Where the store stands once it could be opened. Until then nothing is taken, and the process lives.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use imagefactory_store::{Options, Store, StoreError};
use tracing::{info, warn};

use crate::runner::chain;

/// Pause between tries to open.
const PAUSE: Duration = Duration::from_secs(2);

/// The store, if it is open. Cloning gives another handle to the same place.
#[derive(Clone, Default)]
pub(super) struct Shelf(Arc<Mutex<Option<Arc<Store>>>>);

impl Shelf {
    /// Opens the store, and waits then.
    ///
    /// Returns only where trying again can't help.
    pub(super) async fn keep_open(&self, url: &str, options: Options) -> StoreError {
        loop {
            match Store::open(url, options.clone()).await {
                Ok(store) => {
                    info!("the audit's database is open");
                    self.put(store);
                    return std::future::pending().await;
                }
                Err(error @ (StoreError::Url | StoreError::Options(_))) => return error,
                Err(error) => warn!(error = chain(&error), "the audit's database can't be opened yet"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub(super) fn put(&self, store: Store) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(store));
    }

    pub(super) fn store(&self) -> Option<Arc<Store>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it waits for, for the readiness gate.
    pub(super) fn waits_for(&self) -> Option<String> {
        match self.store() {
            None => Some("the database to open".to_owned()),
            Some(store) => store.failed().map(|error| format!("the database: {error}")),
        }
    }

    /// Writes what waits, and closes. Nobody is answered any more when this is called.
    pub(super) async fn close(&self) {
        let store = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(store) = store.and_then(Arc::into_inner) {
            store.close().await;
        }
    }
}
