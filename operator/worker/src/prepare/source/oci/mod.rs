//! Sources that are OCI artifacts or images: their layers laid out in the workspace, one over the other. Whoever may
//! push the artifact wrote it, so it is taken as hostile: nothing leads out of the workspace, everything is bounded.

mod lay_out;
mod manifest;
mod tar;

use std::fs::File;
use std::io;
use std::path::Path;

use imagefactory_core::step::PrepareStep;

use crate::prepare::bases::Pinned;
use crate::prepare::error::PrepareError;
use crate::registry::{Blob, Digest, DownloadError, Registry, RegistryError};
pub(in crate::prepare) use lay_out::LayOutError;
use lay_out::Tree;
use manifest::{Layer, Parsed};

/// How far a source may grow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes that are received.
    pub(super) packed: u64,
    /// Bytes of all files.
    pub(super) files: u64,
    /// Files, links and directories.
    pub(super) entries: u64,
}

const LIMITS: Limits = Limits {
    packed: 4 << 30,
    files: 4 << 30,
    entries: 500_000,
};

/// Why a source can't be had from a registry.
#[derive(Debug, thiserror::Error)]
pub(in crate::prepare) enum OciError {
    /// The registry, when it is asked what the name means.
    #[error("the source's image {reference:?} can't be had")]
    Unresolved {
        /// The image, as the Build names it.
        reference: String,
        /// Why.
        #[source]
        source: Box<RegistryError>,
    },
    /// The registry, after that.
    #[error("the source's image can't be had")]
    Registry {
        /// Why.
        #[source]
        source: Box<RegistryError>,
    },
    /// A manifest that is no source.
    #[error("the source's image can't be used: {0}")]
    Manifest(String),
    /// More than is taken.
    #[error("the source's image is too large: more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much is taken.
        limit: u64,
    },
    /// A layer that can't be laid out.
    #[error("layer {digest} of the source's image")]
    Layer {
        /// The layer.
        digest: Digest,
        /// Why.
        #[source]
        source: LayOutError,
    },
    /// The disk.
    #[error("the workspace can't be written")]
    Disk(#[source] io::Error),
}

impl OciError {
    /// The cause in one CamelCase word.
    pub(in crate::prepare) fn reason(&self) -> &'static str {
        match self {
            Self::Unresolved { source, .. } | Self::Registry { source } => match source.reason() {
                "RegistryNotFound" => "SourceImageNotFound",
                "RegistryUnauthorized" => "SourceImageUnauthorized",
                "RegistryUnavailable" => "RegistryUnreachable",
                other => other,
            },
            Self::Manifest(_) => "InvalidSourceImage",
            Self::TooLarge { .. }
            | Self::Layer {
                source: LayOutError::TooLarge { .. },
                ..
            } => "SourceTooLarge",
            Self::Layer {
                source: LayOutError::Disk(_),
                ..
            }
            | Self::Disk(_) => "WorkspaceFailed",
            Self::Layer { .. } => "InvalidSourceImage",
        }
    }

    /// What to do about it.
    pub(in crate::prepare) fn next(&self) -> &'static str {
        match self {
            Self::Disk(_) => "Try again; if it lasts, tell your administrator.",
            Self::TooLarge { .. } => "Keep large files out of the source, or split it.",
            _ => "Push the source as plain files, or as layers of tar files without links that lead out of it.",
        }
    }
}

impl From<RegistryError> for OciError {
    fn from(source: RegistryError) -> Self {
        Self::Registry {
            source: Box::new(source),
        }
    }
}

impl From<DownloadError> for OciError {
    fn from(error: DownloadError) -> Self {
        match error {
            DownloadError::Registry(source) => source.into(),
            DownloadError::Disk(source) => Self::Disk(source),
        }
    }
}

/// Pulls `image`, if it may be pulled, and lays it out in the workspace, which is empty.
pub(in crate::prepare) async fn fetch(
    image: &str,
    step: &PrepareStep,
    registry: &Registry,
    workspace: &Path,
) -> Result<Pinned, PrepareError> {
    let mut pinned = Pinned::allow(image, "the source's image", step)?;
    pinned.resolve(registry).await.map_err(no_base)?;
    lay_out(&pinned, registry, workspace).await?;
    Ok(pinned)
}

/// What is resolved like a base image is not told as one.
fn no_base(error: PrepareError) -> PrepareError {
    match error {
        PrepareError::Base { reference, source } => OciError::Unresolved { reference, source }.into(),
        other => other,
    }
}

async fn lay_out(pinned: &Pinned, registry: &Registry, workspace: &Path) -> Result<(), OciError> {
    let repository = pinned.repository();
    let digest = pinned
        .digest()
        .ok_or_else(|| OciError::Manifest("it has no digest".to_owned()))?;
    let mut top = registry.pull_manifest(repository, digest).await?;
    let mut parsed = manifest::parse(&top).map_err(OciError::Manifest)?;
    if let Parsed::Images(images) = &parsed {
        let one = manifest::choose(images).map_err(OciError::Manifest)?;
        top = registry.pull_manifest(repository, one).await?;
        parsed = manifest::parse(&top).map_err(OciError::Manifest)?;
    }
    let Parsed::Layers(layers) = parsed else {
        return Err(OciError::Manifest("it is an index in an index".to_owned()));
    };
    let packed = layers.iter().try_fold(0_u64, |sum, layer| sum.checked_add(layer.size));
    if packed.is_none_or(|packed| packed > LIMITS.packed) {
        return Err(OciError::TooLarge {
            what: "bytes received",
            limit: LIMITS.packed,
        });
    }
    let mut tree = Tree::new(workspace, LIMITS);
    for layer in layers {
        let blob = Blob {
            digest: &layer.digest,
            size: layer.size,
        };
        let mut file = tokio::fs::File::from_std(nameless(workspace).map_err(OciError::Disk)?);
        registry.download(repository, blob, &mut file).await?;
        tree = add(tree, layer, file.into_std().await).await?;
    }
    tree.check_links().map_err(|source| OciError::Layer {
        digest: top.digest.clone(),
        source,
    })?;
    tracing::info!(digest = %top.digest, "source laid out");
    Ok(())
}

/// Lays one layer out, on a thread that may block.
async fn add(mut tree: Tree, layer: Layer, file: File) -> Result<Tree, OciError> {
    let digest = layer.digest.clone();
    let laid = tokio::task::spawn_blocking(move || tree.add(&layer.content, file).map(|()| tree)).await;
    let laid = laid.map_err(|_| OciError::Disk(io::Error::other("laying the source out broke off")))?;
    laid.map_err(|source| match source {
        LayOutError::Disk(source) => OciError::Disk(source),
        source => OciError::Layer { digest, source },
    })
}

/// A file in the workspace that has no name, and so is in nobody's way and gone when it is closed.
fn nameless(workspace: &Path) -> io::Result<File> {
    let path = workspace.join(".imagefactory-layer");
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
