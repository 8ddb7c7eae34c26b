//! The list of staged images that expire: one object for each, beneath the slot in which it is due.

use std::collections::HashSet;

use futures::TryStreamExt;
use futures::future::try_join_all;
use imagefactory_core::staging::{Expiry, Slot};
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use tracing::warn;

use super::{Archive, ArchiveError};

const EXPIRE: &str = "expire";
/// Largest entry that is read.
const MAX_ENTRY: u64 = 64 << 10;
/// Most entries that are given at a time.
const MAX_DUE: usize = 500;
/// How many are read side by side.
const READ: usize = 16;

/// Entries, each with its path beneath the list.
type Entries = Vec<(String, Expiry)>;
/// Whether an entry can be dealt with now.
pub type Wanted<'a> = &'a (dyn Fn(&Expiry) -> bool + Send + Sync);

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

    /// Entries whose time is over and that are wanted, oldest first, each with its path; not more than can be dealt with.
    /// Those that are not wanted take no room of the others, however many they are.
    ///
    /// # Errors
    /// When the store can't be asked.
    pub async fn expired(&self, now: Timestamp, wanted: Wanted<'_>) -> Result<Entries, ArchiveError> {
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
            self.read_slot(&slot, wanted, &mut found).await?;
            if found.len() >= MAX_DUE {
                break;
            }
        }
        found.truncate(MAX_DUE);
        Ok(found)
    }

    async fn read_slot(&self, slot: &Slot, wanted: Wanted<'_>, found: &mut Entries) -> Result<(), ArchiveError> {
        let prefix = self.path(&format!("{EXPIRE}/{}", slot.as_str()));
        let failed = |source| ArchiveError::store("list", &prefix, source);
        let mut objects = self.store.list(Some(&prefix));
        let mut some = Vec::new();
        while let Some(object) = objects.try_next().await.map_err(failed)? {
            some.push(object);
            if some.len() >= READ {
                self.read_some(slot, std::mem::take(&mut some), wanted, found).await?;
            }
            if found.len() >= MAX_DUE {
                return Ok(());
            }
        }
        self.read_some(slot, some, wanted, found).await
    }

    async fn read_some(
        &self,
        slot: &Slot,
        objects: Vec<ObjectMeta>,
        wanted: Wanted<'_>,
        found: &mut Entries,
    ) -> Result<(), ArchiveError> {
        let reads = objects
            .iter()
            .map(|object| self.read_entry(&object.location, object.size));
        let entries = try_join_all(reads).await?;
        for (object, entry) in objects.iter().zip(entries) {
            match (entry, object.location.filename()) {
                (Some(expiry), Some(name)) if wanted(&expiry) => {
                    found.push((format!("{}/{name}", slot.as_str()), expiry));
                }
                (Some(_), _) => {}
                // It would be in the way for ever.
                (None, _) => self.remove(&object.location).await?,
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

    /// Puts an entry into another slot, because its image could not be removed; takes it off the list if that has been so
    /// for long. One that is not there any more needs neither.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub async fn postpone_staged(&self, path: &str, slot: &Slot, now: Timestamp) -> Result<(), ArchiveError> {
        let (from, name) = (self.path(&format!("{EXPIRE}/{path}")), path.rsplit('/').next());
        let to = format!("{EXPIRE}/{}/{}", slot.as_str(), name.unwrap_or_default());
        let failed = |source| ArchiveError::store("read", &from, source);
        let size = match self.store.head(&from).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(()),
            found => found.map_err(failed)?.size,
        };
        if self.path(&to) == from {
            return Ok(());
        }
        let Some(entry) = self.read_entry(&from, size).await? else {
            return self.remove(&from).await;
        };
        let (repository, image) = (entry.repository.clone(), entry.image.clone());
        let Some(entry) = entry.failed(now) else {
            warn!(
                repository,
                ?image,
                "a staged image could not be removed for a week; it is not tried again, and stays if it is there"
            );
            return self.remove(&from).await;
        };
        // The new one first: an image that is listed twice is removed all the same.
        self.put(&to, serde_json::to_vec(&entry).unwrap_or_default()).await?;
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
