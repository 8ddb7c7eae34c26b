//! `resolve`: asks the registry once what an image is, and writes it down for the steps that follow: from here on
//! everything names the digest, and of an index every image.
//!
//! Who made the image is not known, wherever it lies: a tenant may write to the output with a credential of its own. So it is
//! taken as hostile: only images are read, and none that would have the scanner fetch a layer from somewhere else; and every
//! layer is unpacked and compared with what the configuration says, as `push` does with what a build made.

use std::fs;
use std::path::Path;

use imagefactory_core::step::{ResolveStep, Resolved, StepFailure};
use imagefactory_crds::build::{FailureClass, PlatformImage};

use crate::ca::Roots;
use crate::failure::{failure, registry_failure};
use crate::layout::platforms::MAX_IMAGES;
use crate::layout::{Bounds, LayerFault, LayoutError, PulledError, check_pulled};
use crate::manifest::{Child, Document, DocumentError};
use crate::places::{IMAGE_FILE, Places};
use crate::platform::Platform;
use crate::registry::{Credentials, Digest, Manifest, Registry, RegistryError, Repository, chain};

/// Largest file that is read back: a digest and a few platforms.
const MAX_FILE: u64 = 64 << 10;

/// Why an image is not scanned.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The registry does not give it.
    #[error("the image could not be read")]
    Registry(#[from] RegistryError),
    /// The registry has no such tag.
    #[error("{0} has no tag {1:?}")]
    NoTag(Repository, String),
    /// The step names neither a digest nor a tag.
    #[error("the image has neither a digest nor a tag")]
    Unnamed,
    /// It is no image that is scanned.
    #[error("{digest} is no image that can be scanned")]
    Document {
        /// Of the manifest.
        digest: Digest,
        /// What is wrong.
        #[source]
        source: DocumentError,
    },
    /// An index that is not taken.
    #[error("the index {digest} {problem}")]
    Index {
        /// Of the index.
        digest: Digest,
        /// What is wrong.
        problem: String,
    },
    /// An image that is not what it says of itself, or that the registry does not give whole.
    #[error(transparent)]
    Pulled(#[from] PulledError),
    /// What was found could not be written down.
    #[error("what was found could not be written down")]
    Write(#[source] std::io::Error),
}

impl From<ResolveError> for StepFailure {
    fn from(error: ResolveError) -> Self {
        let (class, reason) = match &error {
            ResolveError::Registry(source) | ResolveError::Pulled(PulledError::Registry(source)) => {
                return registry_failure(FailureClass::Pull, source);
            }
            ResolveError::NoTag(..) => (FailureClass::Pull, "RegistryNotFound"),
            ResolveError::Document { .. } | ResolveError::Index { .. } => (FailureClass::Pull, "ImageNotSupported"),
            ResolveError::Pulled(PulledError::Untrue(
                LayoutError::TooLarge { .. }
                | LayoutError::Layer {
                    fault: LayerFault::TooLarge { .. },
                    ..
                },
            )) => (FailureClass::Pull, "ImageTooLarge"),
            ResolveError::Pulled(PulledError::Untrue(_)) => (FailureClass::Pull, "InvalidImage"),
            ResolveError::Pulled(PulledError::Interrupted) => (FailureClass::Infrastructure, "Interrupted"),
            ResolveError::Unnamed => (FailureClass::Infrastructure, "InvalidStep"),
            ResolveError::Write(_) => (FailureClass::Infrastructure, "ReportsFailed"),
        };
        let next = match class {
            FailureClass::Pull if reason == "InvalidImage" => {
                "Nothing that is scanned of it would hold: have whoever pushed it push it anew with a tool that writes whole images."
            }
            FailureClass::Pull if reason == "ImageTooLarge" => {
                "Make the image smaller: this is also about its size on a node."
            }
            FailureClass::Pull => {
                "Name an image that is there, or one image of the index by its digest, in a new ImageScan."
            }
            _ => "Try again; if it lasts, tell your administrator.",
        };
        failure(class, reason, &chain(&error), next)
    }
}

/// Finds out which digest the image has, and which images an index names.
///
/// # Errors
/// It is not there, or is nothing that is scanned.
pub async fn run(step: &ResolveStep, places: &Places, roots: &Roots) -> Result<Resolved, StepFailure> {
    Ok(resolve(step, places, roots).await?)
}

async fn resolve(step: &ResolveStep, places: &Places, roots: &Roots) -> Result<Resolved, ResolveError> {
    let repository = Repository::parse(&step.repository).map_err(RegistryError::from)?;
    let credentials = Credentials::load(&[places.staging_credentials()])
        .map_err(RegistryError::from)?
        .bound_to(vec![step.credential_prefix.clone()]);
    let registry = Registry::new(credentials, roots)?;
    let manifest = ask(&registry, &repository, step).await?;
    let (platforms, documents) = match parse(&manifest)? {
        image @ Document::Image { .. } => (Vec::new(), vec![image]),
        Document::Index(children) => images(&registry, &repository, &manifest.digest, &children).await?,
    };
    check_pulled(&registry, &repository, &documents, &Bounds::IMAGES).await?;
    tracing::info!("layers unpack to what the configuration says");
    let resolved = Resolved {
        digest: manifest.digest.as_str().to_owned(),
        platforms,
    };
    write(&places.image(), &resolved)?;
    tracing::info!(%repository, digest = resolved.digest, images = resolved.platforms.len().max(1), "image resolved");
    Ok(resolved)
}

/// By the digest where there is one, else by the tag, this once.
async fn ask(registry: &Registry, repository: &Repository, step: &ResolveStep) -> Result<Manifest, ResolveError> {
    match (step.digest.as_deref(), step.tag.as_deref()) {
        (Some(digest), _) => {
            let digest = Digest::parse(digest).ok_or(ResolveError::Unnamed)?;
            Ok(registry.pull_manifest(repository, &digest).await?)
        }
        (None, Some(tag)) => {
            let found = registry.read_tag(repository, tag).await?;
            found.ok_or_else(|| ResolveError::NoTag(repository.clone(), tag.to_owned()))
        }
        (None, None) => Err(ResolveError::Unnamed),
    }
}

fn parse(manifest: &Manifest) -> Result<Document, ResolveError> {
    Document::parse_in_place(&manifest.bytes, &manifest.media_type).map_err(|source| ResolveError::Document {
        digest: manifest.digest.clone(),
        source,
    })
}

/// The images of an index: each is there, and each is for a platform of its own. An entry that is for none, as attestations
/// are, could be an image that nobody scanned: the index is refused.
async fn images(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
    children: &[Child],
) -> Result<(Vec<PlatformImage>, Vec<Document>), ResolveError> {
    let refuse = |problem: String| ResolveError::Index {
        digest: digest.clone(),
        problem,
    };
    if children.len() > MAX_IMAGES {
        let problem = format!(
            "names {} images; {MAX_IMAGES} are the most that are scanned",
            children.len()
        );
        return Err(refuse(problem));
    }
    let (mut images, mut documents) = (Vec::<PlatformImage>::new(), Vec::new());
    for child in children {
        let platform = child.platform.as_ref().and_then(Platform::of);
        let platform = platform.filter(|platform| !platform.is_unknown());
        let platform = platform.ok_or_else(|| refuse("has an entry that is for no platform".to_owned()))?;
        let platform = platform.to_string();
        if images.iter().any(|image| image.platform == platform) {
            return Err(refuse(format!("has two images for {platform}")));
        }
        let image = registry.pull_manifest(repository, &child.descriptor.digest).await?;
        let document = parse(&image)?;
        if !matches!(document, Document::Image { .. }) {
            return Err(refuse("holds an index".to_owned()));
        }
        documents.push(document);
        images.push(PlatformImage {
            platform,
            digest: image.digest.as_str().into(),
        });
    }
    Ok((images, documents))
}

fn write(folder: &Path, resolved: &Resolved) -> Result<(), ResolveError> {
    let text = serde_json::to_vec(resolved).map_err(|error| ResolveError::Write(error.into()))?;
    fs::write(folder.join(IMAGE_FILE), text).map_err(ResolveError::Write)
}

/// What `resolve` wrote down.
///
/// # Errors
/// There is nothing, or something else.
pub(crate) fn found(places: &Places) -> Result<Resolved, StepFailure> {
    let invalid = |message: &str| {
        failure(
            FailureClass::Infrastructure,
            "InvalidStep",
            message,
            "Report this as a defect of Image Factory.",
        )
    };
    let path = places.image().join(IMAGE_FILE);
    let size = fs::metadata(&path).map(|metadata| metadata.len());
    if !size.is_ok_and(|size| size <= MAX_FILE) {
        return Err(invalid("nothing is written down of the image"));
    }
    let text = fs::read(&path).map_err(|_| invalid("what is written down of the image can't be read"))?;
    serde_json::from_slice(&text).map_err(|_| invalid("what is written down of the image can't be understood"))
}
