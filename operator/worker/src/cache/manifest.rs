//! The manifest of a cache: each file a layer, its path the title. The same files have the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::gather::Kept;
use super::{CACHE_TYPE, CacheError, MAX_DEPTH, MAX_FILES};
use crate::manifest::{MAX_DOCUMENT, OCI_EMPTY, OCI_MANIFEST};
use crate::registry::{Digest, Manifest};

/// The config of what has none.
pub(super) const EMPTY: &[u8] = b"{}";
const TITLE: &str = "org.opencontainers.image.title";
/// When the builder wrote the file, in seconds: what was used longest ago goes first.
const MODIFIED: &str = "dev.imagefactory.modified";
const FILE_TYPE: &str = "application/octet-stream";

/// Writes it.
pub(super) fn write(files: &[Kept]) -> Result<Manifest, CacheError> {
    let layers: Vec<Value> = files
        .iter()
        .map(|file| {
            json!({
                "mediaType": FILE_TYPE,
                "digest": file.digest.as_str(),
                "size": file.size,
                "annotations": { TITLE: file.path, MODIFIED: file.modified.to_string() },
            })
        })
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": CACHE_TYPE,
        "config": { "mediaType": OCI_EMPTY, "digest": Digest::of(EMPTY).as_str(), "size": EMPTY.len() },
        "layers": layers,
    });
    let bytes = Bytes::from(manifest.to_string());
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(CacheError::Manifest("its manifest would be too long".to_owned()));
    }
    Ok(Manifest::new(bytes, OCI_MANIFEST))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    artifact_type: Option<String>,
    layers: Vec<RawLayer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawLayer {
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Reads it back. Every path is relative and plain, and stands once.
pub(super) fn read(manifest: &Manifest, max_bytes: u64) -> Result<Vec<Kept>, CacheError> {
    let refuse = |problem: &str| Err(CacheError::Manifest(problem.to_owned()));
    let raw: Raw = serde_json::from_slice(&manifest.bytes).map_err(|error| CacheError::Manifest(error.to_string()))?;
    if raw.artifact_type.as_deref() != Some(CACHE_TYPE) {
        return refuse("it is of another type");
    }
    if raw.layers.len() > MAX_FILES {
        return refuse("it has too many files");
    }
    let mut paths = BTreeSet::new();
    let (mut files, mut bytes) = (Vec::new(), 0_u64);
    for layer in raw.layers {
        let path = layer.annotations.get(TITLE).filter(|path| is_plain(path));
        let (Some(path), Some(digest)) = (path, Digest::parse(&layer.digest)) else {
            return refuse("it names a file that is none");
        };
        bytes = bytes.saturating_add(layer.size);
        if !paths.insert(path.clone()) || bytes > max_bytes {
            return refuse("it names a file twice, or more bytes than may be kept");
        }
        files.push(Kept {
            digest,
            size: layer.size,
            modified: layer
                .annotations
                .get(MODIFIED)
                .and_then(|text| text.parse().ok())
                .unwrap_or(0),
            path: path.clone(),
        });
    }
    Ok(files)
}

fn is_plain(path: &str) -> bool {
    let part =
        |part: &str| !matches!(part, "" | "." | "..") && part.len() <= 255 && !part.chars().any(char::is_control);
    path.split('/').count() <= MAX_DEPTH && path.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(path: &str) -> Kept {
        Kept {
            path: path.to_owned(),
            digest: Digest::of(path.as_bytes()),
            size: 10,
            modified: 1_790_000_000,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let files = [kept("k:1/blobs/sha256/a"), kept("k:1/index.json")];
        let manifest = write(&files).unwrap();
        assert_eq!(read(&manifest, 20).unwrap(), files);
        assert_eq!(write(&files).unwrap(), manifest);
        assert!(read(&manifest, 19).is_err(), "more than may be kept");
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for path in [
            "../a",
            "a/../../b",
            "/etc/passwd",
            "",
            ".",
            "a//b",
            "a/",
            "a\nb",
            "1/2/3/4/5/6/7/8/9",
        ] {
            assert!(read(&write(&[kept(path)]).unwrap(), 100).is_err(), "{path:?}");
        }
        assert!(read(&write(&[kept("a"), kept("a")]).unwrap(), 100).is_err(), "twice");
        let other = Manifest::new(Bytes::from_static(br#"{"layers":[]}"#), OCI_MANIFEST);
        assert!(read(&other, 100).is_err(), "an image");
    }
}
