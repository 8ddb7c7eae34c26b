//! Where the store stands once it could be opened. Until then nothing is taken, and the process lives.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use imagefactory_store::{Options, Reader, Store, StoreError};
use tracing::{info, warn};

use crate::runner::chain;

/// Pause between tries to open.
const PAUSE: Duration = Duration::from_secs(2);

/// The store, if it is open, and what reads beside it. Cloning gives another handle to the same place.
#[derive(Clone, Default)]
pub(super) struct Shelf(Arc<Mutex<Option<Open>>>);

#[derive(Clone)]
struct Open {
    store: Arc<Store>,
    reader: Reader,
}

impl Shelf {
    /// Opens the store, and waits then.
    ///
    /// Returns only where trying again can't help.
    pub(super) async fn keep_open(&self, url: &str, options: Options) -> StoreError {
        loop {
            match self.open(url, options.clone()).await {
                Ok(()) => {
                    info!("the audit's database is open");
                    return std::future::pending().await;
                }
                Err(error @ (StoreError::Url | StoreError::Options(_))) => return error,
                Err(error) => warn!(error = chain(&error), "the audit's database can't be opened yet"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Opens the store to append, and then to read.
    pub(super) async fn open(&self, url: &str, options: Options) -> Result<(), StoreError> {
        let store = Arc::new(Store::open(url, options).await?);
        let reader = Reader::open(url).await?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Open { store, reader });
        Ok(())
    }

    pub(super) fn store(&self) -> Option<Arc<Store>> {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().map(|open| open.store.clone())
    }

    pub(super) fn reader(&self) -> Option<Reader> {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().map(|open| open.reader.clone())
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
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Open { store, reader }) = open else { return };
        reader.close().await;
        if let Some(store) = Arc::into_inner(store) {
            store.close().await;
        }
    }
}
