//! `load-cache`: lays the project's cache out for the builder. Without one the build runs all its steps, so nothing that
//! goes wrong here is a failure.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use imagefactory_core::step::{CacheLoaded, LoadCacheStep, StepFailure, paths};
use imagefactory_crds::build::FailureClass;

use super::gather::Kept;
use super::{CacheError, manifest};
use crate::ca::Roots;
use crate::disk::empty;
use crate::failure::failure;
use crate::places::Places;
use crate::registry::{Blob, Credentials, Digest, Registry, RegistryError, Repository, chain};

/// Lays the cache out. Only a volume that can't even be emptied is a failure: what lay in it would be taken for a cache.
///
/// # Errors
/// The volume can't be written.
pub async fn run(step: &LoadCacheStep, places: &Places, roots: &Roots) -> Result<CacheLoaded, StepFailure> {
    let folder = places.path(paths::CACHE_IN);
    let unusable = |error: std::io::Error| {
        failure(
            FailureClass::Infrastructure,
            "CacheVolumeFailed",
            &format!("the cache's volume can't be written: {error}"),
            "Try again; if it lasts, tell your administrator.",
        )
    };
    empty(&folder).map_err(unusable)?;
    match load(step, places, roots, &folder).await {
        Ok(bytes) => Ok(CacheLoaded { bytes }),
        Err(error) => {
            tracing::warn!(error = %chain(&error), "cache is not loaded: the build runs all its steps");
            empty(&folder).map_err(unusable)?;
            Ok(CacheLoaded { bytes: 0 })
        }
    }
}

async fn load(step: &LoadCacheStep, places: &Places, roots: &Roots, folder: &Path) -> Result<u64, CacheError> {
    let repository = Repository::parse(&step.cache.repository).map_err(RegistryError::from)?;
    let credentials = Credentials::load(&[places.staging_credentials()]).map_err(RegistryError::from)?;
    let registry = Registry::new(credentials.bound_to(vec![step.credential_prefix.clone()]), roots)?;
    let Some(manifest) = registry.read_tag(&repository, &step.cache.tag).await? else {
        tracing::info!(%repository, tag = step.cache.tag, "there is no cache yet");
        return Ok(0);
    };
    let files = manifest::read(&manifest, step.cache.max_bytes)?;
    let mut had: HashMap<Digest, std::path::PathBuf> = HashMap::new();
    let mut bytes = 0;
    for file in &files {
        let path = folder.join(&file.path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        match had.get(&file.digest) {
            Some(same) => drop(std::fs::copy(same, &path)?),
            None => {
                fetch(&registry, &repository, file, &path).await?;
                had.insert(file.digest.clone(), path.clone());
            }
        }
        age(&path, file.modified)?;
        bytes += file.size;
    }
    tracing::info!(%repository, tag = step.cache.tag, files = files.len(), bytes, "cache is laid out");
    Ok(bytes)
}

async fn fetch(registry: &Registry, repository: &Repository, file: &Kept, path: &Path) -> Result<(), CacheError> {
    let blob = Blob {
        digest: &file.digest,
        size: file.size,
    };
    let mut target = tokio::fs::File::create_new(path).await?;
    registry.download(repository, blob, &mut target).await?;
    Ok(())
}

/// Gives a file the time at which it was first written, which is before anything that is built now: so what is new can
/// be told from what was there.
fn age(path: &Path, modified: i64) -> Result<(), CacheError> {
    let before = SystemTime::now() - Duration::from_secs(60);
    let said =
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(modified).unwrap_or(0).min(u64::from(u32::MAX)));
    let file = std::fs::File::options().write(true).open(path)?;
    file.set_modified(said.min(before))?;
    Ok(())
}
