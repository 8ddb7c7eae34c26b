//! Keeps what the builder left.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use imagefactory_core::step::{CachePlace, paths};

use super::gather::{Kept, gather};
use super::{CacheError, manifest};
use crate::beneath::Root;
use crate::places::Places;
use crate::registry::{Blob, Digest, FileSource, Registry, RegistryError, Repository, chain};

/// Longest that a build, whose image is in staging, waits for its cache.
const LONGEST: Duration = Duration::from_secs(600);
/// Files that are sent at a time.
const PARALLEL: usize = 3;

/// Stores the builder's cache. The image is in staging already: what goes wrong here is told and left.
pub(crate) async fn store(registry: &Registry, place: &CachePlace, places: &Places, deadline: Option<i64>) {
    let longest = longest(deadline, SystemTime::now());
    let stored = tokio::time::timeout(longest, try_store(registry, place, places)).await;
    match stored.unwrap_or(Err(CacheError::TooSlow)) {
        Ok(Some(digest)) => tracing::info!(repository = place.repository, tag = place.tag, %digest, "cache is stored"),
        Ok(None) => tracing::info!("the builder left no cache that can be kept"),
        Err(error) => {
            tracing::warn!(error = %chain(&error), "cache is not stored: the next build begins without what is new");
        }
    }
}

/// How long the build waits: half of what is left of its time at most, for the image is still to be scanned and published.
fn longest(deadline: Option<i64>, now: SystemTime) -> Duration {
    let Some(deadline) = deadline else { return LONGEST };
    let deadline = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(deadline).unwrap_or_default());
    let left = deadline.duration_since(now).unwrap_or_default();
    LONGEST.min(left / 2)
}

async fn try_store(registry: &Registry, place: &CachePlace, places: &Places) -> Result<Option<Digest>, CacheError> {
    let repository = Repository::parse(&place.repository).map_err(RegistryError::from)?;
    let (folder, max_bytes) = (places.path(paths::CACHE_OUT), place.max_bytes);
    let gathering = tokio::task::spawn_blocking(move || gather(&folder, max_bytes));
    let files = gathering.await.map_err(|_| CacheError::BrokenOff)??;
    if files.is_empty() {
        return Ok(None);
    }
    let manifest = manifest::write(&files)?;
    let current = registry.read_tag(&repository, &place.tag).await?;
    if current.is_some_and(|current| current.digest == manifest.digest) {
        return Ok(Some(manifest.digest));
    }
    let root = Root::open(&places.path(paths::CACHE_OUT))?;
    let mut distinct: Vec<&Kept> = files.iter().collect();
    distinct.sort_by(|one, other| one.digest.cmp(&other.digest));
    distinct.dedup_by(|one, other| one.digest == other.digest);
    stream::iter(distinct)
        .map(|file| send(registry, &repository, &root, file))
        .buffer_unordered(PARALLEL)
        .try_collect::<()>()
        .await?;
    let empty = Digest::of(manifest::EMPTY);
    let config = Blob {
        digest: &empty,
        size: manifest::EMPTY.len() as u64,
    };
    if !registry.has_blob(&repository, config).await? {
        let bytes = Bytes::from_static(manifest::EMPTY);
        registry.upload_blob(&repository, config, &bytes).await?;
    }
    registry.put_by_tag(&repository, &manifest, &place.tag).await?;
    Ok(Some(manifest.digest))
}

/// Sends a file, unless the registry has it. Its bytes are compared with its digest on their way.
async fn send(registry: &Registry, repository: &Repository, root: &Root, file: &Kept) -> Result<(), CacheError> {
    let blob = Blob {
        digest: &file.digest,
        size: file.size,
    };
    if registry.has_blob(repository, blob).await? {
        return Ok(());
    }
    let names: Vec<&str> = file.path.split('/').collect();
    let source = FileSource::new(root.file(&names)?.file);
    registry.upload_blob(repository, blob, &source).await?;
    tracing::debug!(path = file.path, bytes = file.size, "file of the cache sent");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_leaves_half_of_what_is_left_to_scan_and_publish() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let seconds = |deadline| longest(deadline, now).as_secs();
        assert_eq!(seconds(None), 600);
        assert_eq!(seconds(Some(10_000)), 600);
        assert_eq!(seconds(Some(1_100)), 50);
        for over in [1_000, 900, -1] {
            assert_eq!(seconds(Some(over)), 0, "{over}");
        }
    }
}
