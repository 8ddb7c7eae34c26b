//! `unstage`: removes staged images that have expired, each with its parts and what refers to it. That the blobs go too
//! is the registry's garbage collection's business.

use std::collections::BTreeSet;

use imagefactory_core::step::{StagedEntry, StepFailure, UnstageStep, Unstaged};
use imagefactory_crds::build::FailureClass;
use serde_json::Value;

use crate::ca::Roots;
use crate::failure::{failure, registry_failure};
use crate::places::Places;
use crate::registry::{Credentials, Digest, Registry, RegistryError, Removal, Repository, chain};

/// Why an image was not removed.
#[derive(Debug, thiserror::Error)]
pub enum UnstageError {
    /// The step itself is not what it must be. No request was sent.
    #[error("{name} is not a staged image of a build")]
    Step {
        /// What it names.
        name: String,
    },
    /// The registry failed.
    #[error("the staged image could not be removed")]
    Registry(#[from] RegistryError),
}

impl From<UnstageError> for StepFailure {
    fn from(error: UnstageError) -> Self {
        match &error {
            UnstageError::Step { .. } => failure(
                FailureClass::Infrastructure,
                "InvalidStep",
                &chain(&error),
                "Report this as a defect of Image Factory.",
            ),
            UnstageError::Registry(source) => registry_failure(FailureClass::Infrastructure, source),
        }
    }
}

/// Removes every image that it can; removing again what is gone is as good.
///
/// # Errors
/// The first one that could not be removed. Later ones were tried all the same.
pub async fn run(step: &UnstageStep, places: &Places, roots: &Roots) -> Result<Unstaged, StepFailure> {
    let credentials = Credentials::load(&[places.staging_credentials()])
        .map_err(|error| UnstageError::Registry(error.into()))?
        .bound_to(vec![step.credential_prefix.clone()]);
    let registry = Registry::new(credentials, roots).map_err(UnstageError::Registry)?;
    let (mut done, mut failed) = (Unstaged::default(), None);
    for image in &step.images {
        match remove(&registry, &step.credential_prefix, image).await {
            Ok(Removal::Removed) => done.removed += 1,
            Ok(Removal::Absent) => done.absent += 1,
            Ok(Removal::Unsupported) => done.unsupported += 1,
            Err(error) => {
                tracing::error!(
                    repository = image.repository,
                    error = chain(&error),
                    "staged image was not removed"
                );
                failed = failed.or(Some(error));
            }
        }
    }
    if done.unsupported > 0 {
        tracing::warn!(
            images = done.unsupported,
            "the registry does not remove manifests by digest: staged images stay until somebody removes them there"
        );
    }
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(done),
    }
}

async fn remove(registry: &Registry, prefix: &str, image: &StagedEntry) -> Result<Removal, UnstageError> {
    let wrong = || UnstageError::Step {
        name: format!("{}@{}", image.repository, image.digest),
    };
    // Never a cache, and never what lies elsewhere, whatever the list says.
    if !image.repository.starts_with(&format!("{prefix}/builds/")) {
        return Err(wrong());
    }
    let repository = Repository::parse(&image.repository).map_err(RegistryError::from)?;
    let digest = Digest::parse(&image.digest).ok_or_else(wrong)?;
    let parts = parts(registry, &repository, &digest).await?;
    // Evidence first: once the image is gone, nothing says what belonged to it.
    for referrer in referrers(registry, &repository, &digest).await? {
        registry.delete_manifest(&repository, &referrer).await?;
    }
    let removal = registry.delete_manifest(&repository, &digest).await?;
    for part in parts {
        registry.delete_manifest(&repository, &part).await?;
    }
    tracing::info!(%repository, %digest, ?removal, "staged image");
    Ok(removal)
}

/// What an index names; nothing for an image of one platform, and for one that is gone.
async fn parts(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
) -> Result<BTreeSet<Digest>, RegistryError> {
    let manifest = match registry.pull_manifest(repository, digest).await {
        Err(RegistryError::NotFound { .. }) => return Ok(BTreeSet::new()),
        result => result?,
    };
    Ok(named(&manifest.bytes))
}

fn named(document: &[u8]) -> BTreeSet<Digest> {
    let document: Option<Value> = serde_json::from_slice(document).ok();
    let entries = document
        .as_ref()
        .and_then(|document| document.get("manifests")?.as_array());
    let digest = |entry: &Value| Digest::parse(entry.get("digest")?.as_str()?);
    entries.into_iter().flatten().filter_map(digest).collect()
}

/// Everything that refers to the image, and the index that lists it where the registry keeps no list itself.
async fn referrers(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
) -> Result<BTreeSet<Digest>, RegistryError> {
    let listed = registry.referrers(repository, digest).await?;
    let index = registry.read_tag(repository, &digest.referrers_tag()).await?;
    let by_index = index.iter().flat_map(|index| named(&index.bytes));
    let mut all: BTreeSet<Digest> = listed.into_iter().chain(by_index).collect();
    all.extend(index.as_ref().map(|index| index.digest.clone()));
    all.remove(digest);
    Ok(all)
}
