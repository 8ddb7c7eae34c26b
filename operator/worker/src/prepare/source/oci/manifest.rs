//! Manifests of sources: layers that are tar files, as images and Flux have them, and single files with a title, as
//! ORAS has them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::layout::packing::Packing;
use crate::platform::{Platform, RawPlatform};
use crate::registry::{Digest, Manifest};
use crate::spelling::{MISSPELT, well_spelt};

const MAX_LAYERS: usize = 128;
const TITLE: &str = "org.opencontainers.image.title";
/// By which ORAS says that a titled layer is a tar file of a directory.
const UNPACK: &str = "io.deis.oras.content.unpack";
const TARS: [&str; 6] = [".tar", ".tar+gzip", ".tar.gzip", ".tar+zstd", "/tar", "/tar+gzip"];

/// What a manifest names.
#[derive(Debug)]
pub(super) enum Parsed {
    Layers(Vec<Layer>),
    Images(Vec<Image>),
}

/// A layer of a source.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) content: Content,
}

/// What a layer is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    Tar(Packing),
    /// One file with this path.
    File(String),
}

/// An image of an index.
#[derive(Debug)]
pub(super) struct Image {
    platform: Option<Platform>,
    digest: Digest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u64,
    layers: Option<Vec<RawDescriptor>>,
    manifests: Option<Vec<RawDescriptor>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    platform: Option<RawPlatform>,
}

/// Reads a manifest. The error says what is wrong with it.
pub(super) fn parse(manifest: &Manifest) -> Result<Parsed, String> {
    let malformed = |error: serde_json::Error| format!("its manifest can't be read: {}", cut(&error.to_string()));
    let raw: Raw = serde_json::from_slice(&manifest.bytes).map_err(malformed)?;
    if raw.schema_version != 2 {
        return Err("its manifest is not of schema version 2".to_owned());
    }
    if !well_spelt(&manifest.bytes, &["layers", "manifests"]) {
        return Err(MISSPELT.to_owned());
    }
    match (raw.layers, raw.manifests) {
        (Some(layers), None) if layers.len() > MAX_LAYERS => Err(format!("it has more than {MAX_LAYERS} layers")),
        (Some(layers), None) => layers.iter().map(layer).collect::<Result<_, _>>().map(Parsed::Layers),
        (None, Some(images)) => images.iter().map(image).collect::<Result<_, _>>().map(Parsed::Images),
        _ => Err("it is not an image and not an index".to_owned()),
    }
}

fn layer(raw: &RawDescriptor) -> Result<Layer, String> {
    let digest = digest(&raw.digest)?;
    let title = raw.annotations.get(TITLE);
    let unpack = raw.annotations.get(UNPACK).is_some_and(|value| value == "true");
    let content = match title {
        Some(title) if !unpack => Content::File(title.clone()),
        _ if TARS.iter().any(|end| raw.media_type.ends_with(end)) => Content::Tar(Packing::of(&raw.media_type)),
        _ => {
            return Err(format!(
                "layer {digest} is no tar file by its media type ({}), and no file by a title",
                cut(&raw.media_type)
            ));
        }
    };
    Ok(Layer {
        digest,
        size: raw.size,
        content,
    })
}

fn image(raw: &RawDescriptor) -> Result<Image, String> {
    Ok(Image {
        platform: raw.platform.as_ref().and_then(Platform::of),
        digest: digest(&raw.digest)?,
    })
}

/// The image for the node's own platform, or the only one there is.
pub(super) fn choose(images: &[Image]) -> Result<&Digest, String> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let own = Platform::parse(&format!("linux/{architecture}"));
    let real: Vec<_> = images
        .iter()
        .filter(|image| !image.platform.as_ref().is_some_and(Platform::is_unknown))
        .collect();
    let found = real.iter().find(|image| image.platform == own && own.is_some());
    match (found, real.as_slice()) {
        (Some(image), _) => Ok(&image.digest),
        (None, [only]) => Ok(&only.digest),
        _ => Err(format!(
            "it has {} images, and none for linux/{architecture}",
            real.len()
        )),
    }
}

fn digest(text: &str) -> Result<Digest, String> {
    Digest::parse(text).ok_or_else(|| format!("the digest {:?} is not supported", cut(text)))
}

fn cut(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(128).collect()
}
