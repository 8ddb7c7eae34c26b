//! `push`: takes the layout that the builder wrote, finds it true to its last byte, and sends it to staging, and after it the builder's cache. What is wrong with the layout is the
//! build's failure; what goes wrong at the registry is not.

use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use imagefactory_core::step::{PushStep, Pushed, StepFailure};
use imagefactory_crds::build::{FailureClass, PlatformImage};

use crate::ca::Roots;
use crate::cache;
use crate::failure::{failure, registry_failure};
use crate::layout::platforms::{self, PlatformsError};
use crate::layout::{Bounds, LayerFault, Layout, LayoutError, LayoutImage};
use crate::places::Places;
use crate::registry::{Blob, BodyFault, Credentials, Digest, Reference, Registry, RegistryError, Repository, chain};

/// Blobs that are sent at a time.
const PARALLEL: usize = 3;

/// Why nothing, or not everything, was sent.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The layout is not taken.
    #[error("the builder's output is not an image that can be taken")]
    Layout(#[from] LayoutError),
    /// It is for other platforms than those that were asked for.
    #[error(transparent)]
    Platforms(#[from] PlatformsError),
    /// A blob is not what its descriptor says.
    #[error("the builder's output is not an image that can be taken: blob {digest}")]
    Blob {
        /// The blob.
        digest: Digest,
        /// What is wrong with it.
        #[source]
        source: BodyFault,
    },
    /// The registry failed.
    #[error("the image could not be sent to staging")]
    Registry(#[from] RegistryError),
    /// The registry took the manifest and does not have it.
    #[error("{repository} does not have {digest} after it was pushed")]
    ReadBack {
        /// Staging repository.
        repository: Repository,
        /// Digest of the image.
        digest: Digest,
    },
    /// The reading task did not end.
    #[error("reading the layout was ended")]
    Interrupted,
}

impl From<PushError> for StepFailure {
    fn from(error: PushError) -> Self {
        let told = chain(&error);
        match &error {
            PushError::Layout(LayoutError::TooLarge { .. }) => failure(
                FailureClass::Build,
                "ImageTooLarge",
                &told,
                "Make the image smaller, or ask your administrator for a higher limit.",
            ),
            PushError::Layout(LayoutError::Layer {
                fault: LayerFault::TooLarge { .. },
                ..
            }) => failure(
                FailureClass::Build,
                "ImageTooLarge",
                &told,
                "Make the image smaller: this is about its size on a node, not in the registry.",
            ),
            PushError::Platforms(_) => failure(
                FailureClass::Build,
                "WrongPlatforms",
                &told,
                "Check the platforms of the Build, FROM --platform in the Dockerfile, and the builder that wrote the image.",
            ),
            PushError::Layout(_) | PushError::Blob { .. } => failure(
                FailureClass::Build,
                "InvalidLayout",
                &told,
                "A step of the build may have written to the builder's output: check the Dockerfile, then build again.",
            ),
            PushError::Registry(source) => registry_failure(FailureClass::Publish, source),
            PushError::ReadBack { .. } => failure(
                FailureClass::Publish,
                "ReadBackFailed",
                &told,
                "Ask who runs the staging registry.",
            ),
            PushError::Interrupted => failure(FailureClass::Infrastructure, "Interrupted", &told, "Build again."),
        }
    }
}

/// Checks the layout and sends it, and the builder's cache after it. What was sent is told as soon as the image is in
/// staging: the cache may take long, and whoever ends the container meanwhile does not undo the image.
///
/// # Errors
/// The layout is not taken, or the registry does not take it.
pub async fn run(
    step: &PushStep,
    places: &Places,
    roots: &Roots,
    tell: impl FnOnce(&Pushed),
) -> Result<Pushed, StepFailure> {
    let (registry, pushed) = push(step, places, roots).await?;
    tell(&pushed);
    if let Some(place) = &step.cache {
        cache::store(&registry, place, places, step.deadline).await;
    }
    Ok(pushed)
}

async fn push(step: &PushStep, places: &Places, roots: &Roots) -> Result<(Registry, Pushed), PushError> {
    let repository = Repository::parse(&step.repository).map_err(RegistryError::from)?;
    let tagged = Reference::parse(&format!("{repository}:{}", step.tag)).map_err(RegistryError::from)?;
    let credentials = Credentials::load(&[places.staging_credentials()]).map_err(RegistryError::from)?;
    let registry = Registry::new(credentials.bound_to(vec![step.credential_prefix.clone()]), roots)?;
    let (path, max_bytes, wanted) = (places.layout(), step.max_bytes, step.platforms.clone());
    let reading = tokio::task::spawn_blocking(move || read(&path, max_bytes, &wanted));
    let layout = Arc::new(reading.await.map_err(|_| PushError::Interrupted)??);
    send(&registry, &repository, &layout).await?;
    // Registries collect what has no tag. From here on the image is named by its digest alone.
    registry
        .put_by_tag(&repository, &layout.top, tagged.tag.as_deref().unwrap_or(&step.tag))
        .await?;
    let digest = layout.top.digest.clone();
    if !registry.manifest_exists(&repository, &digest).await? {
        return Err(PushError::ReadBack { repository, digest });
    }
    tracing::info!(%repository, %digest, "image is in staging");
    let pushed = Pushed {
        digest: digest.to_string(),
        size: i64::try_from(layout.size).unwrap_or(i64::MAX),
        platforms: reported(&layout),
    };
    Ok((registry, pushed))
}

/// Nothing is sent before all of it was read: who looks at staging shall find no image that lies.
fn read(path: &Path, max_bytes: u64, wanted: &[String]) -> Result<Layout, PushError> {
    let layout = Layout::read(path, max_bytes)?;
    platforms::check(&layout.images, wanted)?;
    tracing::info!(digest = %layout.top.digest, images = layout.images.len(), blobs = layout.blobs.len(), bytes = layout.size, "layout is well formed");
    layout.check_layers(&Bounds::IMAGES)?;
    tracing::info!("layers unpack to what the configuration says");
    Ok(layout)
}

/// The images of an index; nothing where the digest names one image.
fn reported(layout: &Layout) -> Vec<PlatformImage> {
    if layout.children.is_empty() {
        return Vec::new();
    }
    let image = |image: &LayoutImage| PlatformImage {
        platform: image.platform.to_string(),
        digest: image.digest.as_str().into(),
    };
    layout.images.iter().map(image).collect()
}

/// Blobs first, then the manifests that name them, the top one last: a registry never has a manifest without its parts.
async fn send(registry: &Registry, repository: &Repository, layout: &Layout) -> Result<(), PushError> {
    stream::iter(&layout.blobs)
        .map(|(digest, size)| send_blob(registry, repository, layout, Blob { digest, size: *size }))
        .buffer_unordered(PARALLEL)
        .try_collect::<()>()
        .await?;
    for manifest in layout.children.iter().chain([&layout.top]) {
        registry.put_by_digest(repository, manifest).await?;
    }
    Ok(())
}

async fn send_blob(
    registry: &Registry,
    repository: &Repository,
    layout: &Layout,
    blob: Blob<'_>,
) -> Result<(), PushError> {
    let source = layout.open_blob(blob.digest, blob.size)?;
    let wrong = |source| PushError::Blob {
        digest: blob.digest.clone(),
        source,
    };
    // What the registry has is not sent again. A layout gets no blob by merely naming it: all were hashed before.
    if registry.has_blob(repository, blob).await? {
        return Ok(());
    }
    match registry.upload_blob(repository, blob, &source).await {
        Ok(()) => {
            tracing::info!(digest = %blob.digest, bytes = blob.size, "blob sent");
            Ok(())
        }
        Err(RegistryError::Body { fault, .. }) => Err(wrong(fault)),
        Err(error) => Err(error.into()),
    }
}
