//! The documents of a layout: marker, manifests and configurations, each read whole and compared with its descriptor.

use bytes::Bytes;
use serde::Deserialize;

use super::error::LayoutError;
use crate::beneath::Root;
use crate::manifest::{Descriptor, Document, DocumentError, MAX_DOCUMENT};
use crate::registry::{Digest, Manifest};

/// Largest image configuration that is read. They hold the history of the image.
const MAX_CONFIG: u64 = 4 << 20;
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
    let parsed = Document::parse(&manifest.bytes, &named.media_type);
    let parsed = parsed.map_err(|source| document(&format!("manifest {}", named.digest), source))?;
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

/// Operating system and architecture that an image is for.
pub(super) fn read_platform(root: &Root, config: &Descriptor, layers: usize) -> Result<String, LayoutError> {
    #[derive(Deserialize)]
    struct Config {
        os: String,
        architecture: String,
        rootfs: RootFs,
    }
    #[derive(Deserialize)]
    struct RootFs {
        diff_ids: Vec<String>,
    }
    let refuse = |problem: String| LayoutError::Config {
        digest: config.digest.clone(),
        problem,
    };
    let bytes = read_exactly(root, config, MAX_CONFIG)?;
    let parsed: Config = serde_json::from_slice(&bytes).map_err(|error| refuse(cut(&error.to_string())))?;
    let plain = |text: &str| {
        !text.is_empty() && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    if !plain(&parsed.os) || !plain(&parsed.architecture) {
        return Err(refuse("it names no operating system or architecture".to_owned()));
    }
    if parsed.rootfs.diff_ids.len() != layers {
        return Err(refuse(format!(
            "it speaks of {} layers, the manifest of {layers}",
            parsed.rootfs.diff_ids.len()
        )));
    }
    Ok(format!("{}/{}", parsed.os, parsed.architecture))
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(160).collect()
}
