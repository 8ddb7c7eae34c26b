//! The list of staged images that expire: one object for each, beneath the slot in which it is due.

use std::collections::HashSet;

use futures::TryStreamExt;
use imagefactory_core::staging::{Expiry, Slot};
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tracing::warn;

use super::{Archive, ArchiveError};

const EXPIRE: &str = "expire";
/// Largest entry that is read.
const MAX_ENTRY: u64 = 64 << 10;
/// Most entries that are read at a time.
const MAX_DUE: usize = 500;

impl Archive {
    /// Puts a staged image on the list. Putting it there again changes nothing.
    ///
    /// # Errors
    /// When the store can't be written.
    pub async fn list_staged(&self, slot: &Slot, key: &str, expiry: &Expiry) -> Result<(), ArchiveError> {
        let path = format!("{EXPIRE}/{}/{key}.json", slot.as_str());
        let content = serde_json::to_vec(expiry).unwrap_or_default();
        self.put(&path, content).await
    }

    /// Keys of everything that is on the list.
    ///
    /// # Errors
    /// When the store can't be asked.
    pub async fn staged(&self) -> Result<HashSet<String>, ArchiveError> {
        let prefix = self.path(EXPIRE);
        let failed = |source| ArchiveError::store("list", &prefix, source);
        let mut objects = self.store.list(Some(&prefix));
        let mut keys = HashSet::new();
        while let Some(object) = objects.try_next().await.map_err(failed)? {
            keys.extend(
                object
                    .location
                    .filename()
                    .and_then(|name| name.strip_suffix(".json"))
                    .map(str::to_owned),
            );
        }
        Ok(keys)
    }

    /// Entries whose time is over, oldest first, each with its path; not more than can be dealt with.
    ///
    /// # Errors
    /// When the store can't be asked.
    pub async fn expired(&self, now: Timestamp) -> Result<Vec<(String, Expiry)>, ArchiveError> {
        let prefix = self.path(EXPIRE);
        let listed = self.store.list_with_delimiter(Some(&prefix)).await;
        let listed = listed.map_err(|source| ArchiveError::store("list", &prefix, source))?;
        let names = listed
            .common_prefixes
            .iter()
            .filter_map(|path| Slot::parse(path.filename()?));
        let mut slots: Vec<Slot> = names.filter(|slot| slot.is_over(now)).collect();
        slots.sort();
        let mut found = Vec::new();
        for slot in slots {
            self.read_slot(&slot, &mut found).await?;
            if found.len() >= MAX_DUE {
                break;
            }
        }
        Ok(found)
    }

    async fn read_slot(&self, slot: &Slot, found: &mut Vec<(String, Expiry)>) -> Result<(), ArchiveError> {
        let prefix = self.path(&format!("{EXPIRE}/{}", slot.as_str()));
        let failed = |source| ArchiveError::store("list", &prefix, source);
        let mut objects = self.store.list(Some(&prefix));
        while let Some(object) = objects.try_next().await.map_err(failed)? {
            let Some(name) = object.location.filename().map(str::to_owned) else {
                continue;
            };
            match self.read_entry(&object.location, object.size).await? {
                Some(expiry) => found.push((format!("{}/{name}", slot.as_str()), expiry)),
                // It would be in the way for ever.
                None => self.remove(&object.location).await?,
            }
            if found.len() >= MAX_DUE {
                break;
            }
        }
        Ok(())
    }

    async fn read_entry(&self, path: &Path, size: u64) -> Result<Option<Expiry>, ArchiveError> {
        let failed = |source| ArchiveError::store("read", path, source);
        let bytes = match size {
            0..=MAX_ENTRY => self
                .store
                .get(path)
                .await
                .map_err(failed)?
                .bytes()
                .await
                .map_err(failed)?,
            _ => bytes::Bytes::new(),
        };
        let entry = serde_json::from_slice(&bytes);
        Ok(entry
            .map_err(|error| warn!(%error, %path, "an entry of the list of staged images can't be read and is removed"))
            .ok())
    }

    /// Puts an entry into another slot. One that is not there any more needs none.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub async fn postpone_staged(&self, path: &str, slot: &Slot) -> Result<(), ArchiveError> {
        let (from, name) = (self.path(&format!("{EXPIRE}/{path}")), path.rsplit('/').next());
        let to = format!("{EXPIRE}/{}/{}", slot.as_str(), name.unwrap_or_default());
        let failed = |source| ArchiveError::store("read", &from, source);
        let content = match self.store.get(&from).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(()),
            found => found.map_err(failed)?.bytes().await.map_err(failed)?,
        };
        if self.path(&to) == from {
            return Ok(());
        }
        // The new one first: an image that is listed twice is removed all the same.
        self.put(&to, content.into()).await?;
        self.remove(&from).await
    }

    /// Takes an entry off the list.
    ///
    /// # Errors
    /// When the store can't be written.
    pub async fn unlist_staged(&self, path: &str) -> Result<(), ArchiveError> {
        self.remove(&self.path(&format!("{EXPIRE}/{path}"))).await
    }
}
