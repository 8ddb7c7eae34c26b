//! The documents of a layout: marker, manifests and configurations, each read whole and compared with its descriptor.

use bytes::Bytes;
use serde::Deserialize;

use super::error::LayoutError;
use crate::beneath::Root;
use crate::manifest::{Descriptor, Document, DocumentError, MAX_DOCUMENT};
use crate::platform::{Platform, RawPlatform};
use crate::registry::{Digest, Manifest};
use crate::spelling::{MISSPELT, well_spelt};

/// Largest image configuration that is read. They hold the history of the image.
pub(super) const MAX_CONFIG: u64 = 4 << 20;
const MAX_MARKER: u64 = 4 << 10;

pub(super) fn document(name: &str, source: DocumentError) -> LayoutError {
    LayoutError::Document {
        name: name.to_owned(),
        source,
    }
}

/// Whether the marker of a layout is there.
pub(super) fn check_marker(root: &Root) -> Result<(), LayoutError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Marker {
        image_layout_version: String,
    }
    let bytes = root.read(&["oci-layout"], MAX_MARKER)?;
    match serde_json::from_slice::<Marker>(&bytes) {
        Ok(marker) if marker.image_layout_version == "1.0.0" => Ok(()),
        _ => Err(LayoutError::Version),
    }
}

/// Reads a document that a descriptor names, and compares size and digest.
pub(super) fn read_document(root: &Root, named: &Descriptor) -> Result<(Manifest, Document), LayoutError> {
    let bytes = read_exactly(root, named, MAX_DOCUMENT)?;
    let manifest = Manifest::new(bytes, &named.media_type);
    let refuse = |source| document(&format!("manifest {}", named.digest), source);
    let parsed = Document::parse(&manifest.bytes, &named.media_type).map_err(refuse)?;
    Ok((manifest, parsed))
}

fn read_exactly(root: &Root, named: &Descriptor, limit: u64) -> Result<Bytes, LayoutError> {
    let bytes = root.read(&["blobs", "sha256", named.digest.hex()], limit)?;
    if bytes.len() as u64 != named.size {
        return Err(LayoutError::Size {
            digest: named.digest.clone(),
            expected: named.size,
            actual: bytes.len() as u64,
        });
    }
    let actual = Digest::of(&bytes);
    if actual != named.digest {
        return Err(LayoutError::Digest {
            expected: named.digest.clone(),
            actual,
        });
    }
    Ok(bytes.into())
}

/// What is needed of an image's configuration.
pub(super) struct ImageConfig {
    /// What the image is for, as it says itself.
    pub(super) platform: RawPlatform,
    /// What each layer is said to unpack to, in order.
    pub(super) diff_ids: Vec<Digest>,
}

/// Reads the configuration of an image that has so many layers. It says what the image is for.
pub(super) fn read_config(root: &Root, config: &Descriptor, layers: usize) -> Result<ImageConfig, LayoutError> {
    let parsed = parse_config(&read_exactly(root, config, MAX_CONFIG)?, config, layers)?;
    match Platform::of(&parsed.platform) {
        Some(_) => Ok(parsed),
        None => Err(LayoutError::Config {
            digest: config.digest.clone(),
            problem: "it names no operating system or architecture".to_owned(),
        }),
    }
}

/// Takes a configuration's bytes for an image that has so many layers.
pub(super) fn parse_config(bytes: &[u8], config: &Descriptor, layers: usize) -> Result<ImageConfig, LayoutError> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(flatten)]
        platform: RawPlatform,
        rootfs: RootFs,
    }
    #[derive(Deserialize)]
    struct RootFs {
        r#type: String,
        diff_ids: Vec<String>,
    }
    let refuse = |problem: String| LayoutError::Config {
        digest: config.digest.clone(),
        problem,
    };
    let parsed: Config = serde_json::from_slice(bytes).map_err(|error| refuse(cut(&error.to_string())))?;
    if !well_spelt(bytes, &["rootfs"]) {
        return Err(refuse(MISSPELT.to_owned()));
    }
    if parsed.rootfs.r#type != "layers" {
        return Err(refuse("its rootfs is not of the type layers".to_owned()));
    }
    if parsed.rootfs.diff_ids.len() != layers {
        return Err(refuse(format!(
            "it speaks of {} layers, the manifest of {layers}",
            parsed.rootfs.diff_ids.len()
        )));
    }
    let diff_ids: Option<Vec<_>> = parsed.rootfs.diff_ids.iter().map(|text| Digest::parse(text)).collect();
    Ok(ImageConfig {
        platform: parsed.platform,
        diff_ids: diff_ids.ok_or_else(|| refuse("one of its diff_ids is not a SHA-256 digest".to_owned()))?,
    })
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(160).collect()
}
