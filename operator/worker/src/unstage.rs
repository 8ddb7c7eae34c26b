//! `unstage`: removes staged images that have expired, each with its parts and what refers to it. That the blobs go too
//! is the registry's garbage collection's business.

use std::collections::BTreeSet;
use std::time::Duration;

use imagefactory_core::step::{Fate, StagedEntry, StagedName, StepFailure, UnstageStep, Unstaged};
use imagefactory_crds::build::FailureClass;
use serde_json::Value;
use tokio::time::{Instant, timeout};

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
    /// It takes too long.
    #[error("removing the staged image takes too long")]
    TooSlow,
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
            UnstageError::TooSlow => failure(
                FailureClass::Infrastructure,
                "RegistrySlow",
                &chain(&error),
                "Ask who runs the staging registry.",
            ),
        }
    }
}

/// Longest that one image may take: one that hangs does not cost the others their turn.
const LONGEST: Duration = Duration::from_secs(60);

/// Removes every image that it can and says of each what became of it; removing again what is gone is as good.
///
/// # Errors
/// Nothing could be tried.
pub async fn run(step: &UnstageStep, places: &Places, roots: &Roots) -> Result<Unstaged, StepFailure> {
    let credentials = Credentials::load(&[places.staging_credentials()])
        .map_err(|error| UnstageError::Registry(error.into()))?
        .bound_to(vec![step.credential_prefix.clone()]);
    let registry = Registry::new(credentials, roots).map_err(UnstageError::Registry)?;
    let end = step
        .budget_seconds
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut done = Unstaged::default();
    for image in &step.images {
        let removed = match time_left(end) {
            Some(left) => timeout(left, remove(&registry, &step.credential_prefix, image))
                .await
                .unwrap_or(Err(UnstageError::TooSlow)),
            None => Err(UnstageError::TooSlow),
        };
        let fate = match removed {
            Ok(Removal::Removed) => Fate::Removed,
            Ok(Removal::Absent) => Fate::Absent,
            Ok(Removal::Unsupported) => Fate::Unsupported,
            Err(error) => {
                tracing::error!(
                    repository = image.repository,
                    error = chain(&error),
                    "staged image was not removed"
                );
                done.failure.get_or_insert_with(|| short(error.into()));
                Fate::Failed
            }
        };
        done.images.push(fate);
    }
    if done.images.contains(&Fate::Unsupported) {
        tracing::warn!(
            "the registry does not remove manifests by digest: staged images stay until somebody removes them there"
        );
    }
    Ok(done)
}

/// How long the next image may take; none if there is no time left to try it.
fn time_left(end: Option<Instant>) -> Option<Duration> {
    let left = end.map_or(LONGEST, |end| end.saturating_duration_since(Instant::now()));
    (!left.is_zero()).then_some(left.min(LONGEST))
}

async fn remove(registry: &Registry, prefix: &str, image: &StagedEntry) -> Result<Removal, UnstageError> {
    let wrong = || UnstageError::Step {
        name: match &image.image {
            StagedName::Digest(digest) => format!("{}@{digest}", image.repository),
            StagedName::Tag(tag) => format!("{}:{tag}", image.repository),
        },
    };
    // Never a cache, and never what lies elsewhere, whatever the list says.
    if !image.repository.starts_with(&format!("{prefix}/builds/")) {
        return Err(wrong());
    }
    let repository = Repository::parse(&image.repository).map_err(RegistryError::from)?;
    let digest = match &image.image {
        StagedName::Digest(digest) => Digest::parse(digest).ok_or_else(wrong)?,
        StagedName::Tag(tag) if is_of_attempt(tag) => match registry.read_tag(&repository, tag).await? {
            Some(manifest) => manifest.digest,
            None => return Ok(Removal::Absent),
        },
        StagedName::Tag(_) => return Err(wrong()),
    };
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

/// A failure that leaves room in the report for what became of every image.
fn short(mut failure: StepFailure) -> StepFailure {
    for text in [&mut failure.message, &mut failure.next] {
        text.truncate(text.floor_char_boundary(500));
    }
    failure
}

/// Whether a tag is one that `push` gives: no other is followed.
fn is_of_attempt(tag: &str) -> bool {
    tag.strip_prefix("attempt-")
        .is_some_and(|number| number.parse::<u32>().is_ok())
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
