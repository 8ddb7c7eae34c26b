//! Logs in the store: kept, found again, read, and removed when they are old.

use std::io::Write;

use futures::TryStreamExt;
use imagefactory_core::build::logs::EndedContainer;
use imagefactory_crds::build::KeptLog;
use jiff::{SignedDuration, Timestamp};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::copy::{LogSource, copy};
use super::{Archive, ArchiveError, CopyError};

const LOGS: &str = "logs";

/// A log that lies in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLog {
    /// `<attempt>/<stage>-<container>.log`
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    path: Path,
}

impl Archive {
    /// URL that the logs of a build lie under; `directory` is [`imagefactory_core::build::logs::directory`].
    #[must_use]
    pub fn location(&self, directory: &str) -> String {
        format!("{}/{LOGS}/{directory}", self.url)
    }

    /// Keeps the log of a container that has ended. Keeping it again writes the same.
    ///
    /// # Errors
    /// When the log can't be read or the store can't be written.
    pub async fn keep(&self, container: &EndedContainer, source: &dyn LogSource) -> Result<KeptLog, CopyError> {
        let path = self.log_path(container);
        let copied = copy(&self.store, &path, source, self.max_log_bytes).await?;
        Ok(kept_log(container, copied.bytes, copied.cut))
    }

    /// The log of a container that has ended, if it lies here: kept by this process or by one before it. An object that is
    /// older than the container's end is of another of that name.
    ///
    /// # Errors
    /// When the store can't be asked.
    pub async fn kept(&self, container: &EndedContainer) -> Result<Option<KeptLog>, ArchiveError> {
        let path = self.log_path(container);
        let object = match self.store.head(&path).await {
            Ok(object) => object,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(ArchiveError::store("find", &path, source)),
        };
        let is_its = |ended: &Timestamp| object.last_modified.timestamp() >= ended.as_second();
        // What is kept of a log that was too long, and nothing else, is longer than a log may be: by the line in its gap.
        let cut = object.size > self.max_log_bytes;
        Ok(container
            .finished
            .filter(is_its)
            .map(|_| kept_log(container, object.size, cut)))
    }

    fn log_path(&self, container: &EndedContainer) -> Path {
        self.path(&format!("{LOGS}/{}", container.path()))
    }

    /// Logs in a build's directory, by name.
    ///
    /// # Errors
    /// When the store can't be asked.
    pub async fn logs(&self, directory: &str) -> Result<Vec<StoredLog>, ArchiveError> {
        let prefix = self.path(&format!("{LOGS}/{directory}"));
        let found: Vec<ObjectMeta> = self
            .store
            .list(Some(&prefix))
            .try_collect()
            .await
            .map_err(|source| ArchiveError::store("list", &prefix, source))?;
        let mut logs: Vec<StoredLog> = found
            .into_iter()
            .filter_map(|object| {
                let parts: Vec<String> = object
                    .location
                    .prefix_match(&prefix)?
                    .map(|part| part.as_ref().to_owned())
                    .collect();
                Some(StoredLog {
                    name: parts.join("/"),
                    bytes: object.size,
                    path: object.location,
                })
            })
            .collect();
        logs.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(logs)
    }

    /// Writes a log to `output`, piece by piece.
    ///
    /// # Errors
    /// When the store can't be read or the output can't be written.
    pub async fn print(&self, log: &StoredLog, output: &mut (dyn Write + Send)) -> Result<(), ArchiveError> {
        let failed = |source| ArchiveError::store("read", &log.path, source);
        let mut pieces = self.store.get(&log.path).await.map_err(failed)?.into_stream();
        while let Some(piece) = pieces.try_next().await.map_err(failed)? {
            output.write_all(&piece).map_err(|source| ArchiveError::Write {
                path: "the output".to_owned(),
                source,
            })?;
        }
        Ok(())
    }

    /// Removes logs that are older than `keep`; how many.
    ///
    /// # Errors
    /// When the store can't be asked. What could be removed until then is.
    pub async fn remove_old_logs(&self, now: Timestamp, keep: SignedDuration) -> Result<u64, ArchiveError> {
        let prefix = self.path(LOGS);
        let failed = |source| ArchiveError::store("list", &prefix, source);
        let mut objects = self.store.list(Some(&prefix));
        let mut removed = 0;
        while let Some(object) = objects.try_next().await.map_err(failed)? {
            if is_older(&object, now, keep) {
                self.remove(&object.location).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

fn kept_log(container: &EndedContainer, bytes: u64, cut: bool) -> KeptLog {
    KeptLog {
        attempt: container.origin.attempt,
        stage: container.origin.stage.clone(),
        container: container.container.clone(),
        bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
        cut,
    }
}

fn is_older(object: &ObjectMeta, now: Timestamp, keep: SignedDuration) -> bool {
    let age = now.as_second().saturating_sub(object.last_modified.timestamp());
    age >= keep.as_secs()
}
