//! `unstage`: removes staged images that have expired, each with its parts and what refers to it or to one of them. That
//! the blobs go too is the registry's garbage collection's business.

use std::collections::BTreeSet;
use std::time::Duration;

use imagefactory_core::step::{Fate, StagedEntry, StagedName, StepFailure, UnstageStep, Unstaged};
use imagefactory_crds::build::FailureClass;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::ca::Roots;
use crate::failure::{failure, registry_failure};
use crate::manifest::MAX_MANIFESTS;
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
    /// More is listed than a build ever stages. Nothing was removed of what was listed.
    #[error("{of} in {repository} has more than {limit} manifests")]
    TooMany {
        /// Where it lies.
        repository: Repository,
        /// Whose parts or referrers they are.
        of: Digest,
        /// The limit.
        limit: usize,
    },
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
            UnstageError::TooMany { .. } => failure(
                FailureClass::Infrastructure,
                "RegistryAnswerTooLarge",
                &chain(&error),
                "Ask who runs the staging registry.",
            ),
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
/// Most manifests that may refer to one image. A scan attaches two.
const MAX_REFERRERS: usize = 1000;

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
    // The image itself goes last: by its tag all the rest is found again, wherever this breaks off. Other images here are
    // of the same build and expire with this one, so what they share with it is not spared.
    let images: BTreeSet<Digest> = parts.iter().chain([&digest]).cloned().collect();
    for image in &images {
        remove_referrers(registry, &repository, image, &images).await?;
    }
    let removal = remove_named(registry, &repository, &parts, Some(&digest)).await?;
    tracing::info!(%repository, %digest, ?removal, "staged image");
    Ok(removal)
}

/// Removes everything that refers to the image, and the index that lists it where the registry keeps no list itself; none
/// of the images themselves, whatever the lists say.
async fn remove_referrers(
    registry: &Registry,
    repository: &Repository,
    image: &Digest,
    images: &BTreeSet<Digest>,
) -> Result<Removal, UnstageError> {
    let listed = registry.referrers(repository, image).await?;
    let index = registry.read_tag(repository, &image.referrers_tag()).await?;
    let by_index = index.iter().flat_map(|index| named(&index.bytes));
    let mut found: BTreeSet<Digest> = listed.into_iter().chain(by_index).collect();
    found.retain(|digest| !images.contains(digest));
    bounded(repository, image, &found, MAX_REFERRERS)?;
    let index = index.map(|index| index.digest).filter(|index| !images.contains(index));
    Ok(remove_named(registry, repository, &found, index.as_ref()).await?)
}

/// Removes manifests, and after them the index that names them, so that what is left of them is always found. Some
/// registries refuse to remove what an index names: of those the index goes first.
async fn remove_named(
    registry: &Registry,
    repository: &Repository,
    named: &BTreeSet<Digest>,
    index: Option<&Digest>,
) -> Result<Removal, RegistryError> {
    let mut held = Vec::new();
    for digest in named {
        match registry.delete_manifest(repository, digest).await {
            Ok(Removal::Unsupported) | Err(RegistryError::Rejected { .. }) => held.push(digest),
            result => drop(result?),
        }
    }
    let removal = match index {
        Some(index) => registry.delete_manifest(repository, index).await?,
        None => Removal::Absent,
    };
    if removal == Removal::Unsupported {
        return Ok(removal);
    }
    // Nothing leads to these any more: each is tried, whatever became of another.
    let mut failed = None;
    for digest in held {
        failed = registry.delete_manifest(repository, digest).await.err().or(failed);
    }
    failed.map_or(Ok(removal), Err)
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
) -> Result<BTreeSet<Digest>, UnstageError> {
    let manifest = match registry.pull_manifest(repository, digest).await {
        Err(RegistryError::NotFound { .. }) => return Ok(BTreeSet::new()),
        result => result?,
    };
    let parts = named(&manifest.bytes);
    bounded(repository, digest, &parts, MAX_MANIFESTS)?;
    Ok(parts)
}

fn bounded(repository: &Repository, of: &Digest, listed: &BTreeSet<Digest>, limit: usize) -> Result<(), UnstageError> {
    let too_many = || UnstageError::TooMany {
        repository: repository.clone(),
        of: of.clone(),
        limit,
    };
    (listed.len() <= limit).then_some(()).ok_or_else(too_many)
}

fn named(document: &[u8]) -> BTreeSet<Digest> {
    let document: Value = serde_json::from_slice(document).unwrap_or_default();
    let entries = document.get("manifests").and_then(Value::as_array);
    let digest = |entry: &Value| Digest::parse(entry.get("digest")?.as_str()?);
    entries.into_iter().flatten().filter_map(digest).collect()
}
