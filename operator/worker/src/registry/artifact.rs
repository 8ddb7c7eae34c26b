//! What is attached to an image: an artifact as a manifest that names the image as its subject.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::blobs::Blob;
use super::body::BlobSource;
use super::digest::Digest;
use super::manifests::Manifest;
use super::name::Repository;
use crate::manifest::{Descriptor, OCI_EMPTY, OCI_MANIFEST};

/// The config of what has none.
pub(super) const EMPTY: &[u8] = b"{}";

/// An image that something refers to.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Where it lies, and what refers to it too.
    pub repository: &'a Repository,
    /// What it is.
    pub descriptor: &'a Descriptor,
}

/// What an artifact carries.
#[derive(Clone, Copy)]
pub struct Payload<'a> {
    /// Its media type.
    pub media_type: &'a str,
    /// A file name for people.
    pub title: &'a str,
    /// Digest and size.
    pub blob: Blob<'a>,
    /// Its bytes.
    pub source: &'a dyn BlobSource,
}

/// Something to attach to an image.
pub struct Artifact<'a> {
    /// What it is.
    pub artifact_type: &'a str,
    /// Its content.
    pub payload: Payload<'a>,
    /// Annotations of its manifest. The same ones give the same digest.
    pub annotations: BTreeMap<String, String>,
}

/// The artifact as a manifest. The same content has the same bytes.
pub(super) fn artifact_manifest(subject: &Descriptor, artifact: &Artifact<'_>, config: &Digest) -> Manifest {
    let Payload {
        media_type,
        title,
        blob,
        ..
    } = artifact.payload;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact.artifact_type,
        "config": { "mediaType": OCI_EMPTY, "digest": config.as_str(), "size": EMPTY.len() },
        "layers": [{
            "mediaType": media_type,
            "digest": blob.digest.as_str(),
            "size": blob.size,
            "annotations": { "org.opencontainers.image.title": title },
        }],
        "subject": { "mediaType": subject.media_type, "digest": subject.digest.as_str(), "size": subject.size },
        "annotations": artifact.annotations,
    });
    Manifest::new(Bytes::from(manifest.to_string()), OCI_MANIFEST)
}

/// A descriptor of a referrer as the index lists it: with what a client filters by.
pub(super) fn index_entry(manifest: &Manifest) -> Value {
    let document: Value = serde_json::from_slice(&manifest.bytes).unwrap_or_default();
    // A manifest without a type of its own has that of its config.
    let artifact_type = document
        .get("artifactType")
        .or_else(|| document.pointer("/config/mediaType"));
    let mut entry = json!({
        "mediaType": manifest.media_type,
        "digest": manifest.digest.as_str(),
        "size": manifest.bytes.len(),
    });
    if let Some(value) = artifact_type {
        entry["artifactType"] = value.clone();
    }
    if let Some(value) = document.get("annotations") {
        entry["annotations"] = value.clone();
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact<'a>(source: &'a Bytes, digest: &'a Digest) -> Artifact<'a> {
        let blob = Blob {
            digest,
            size: source.len() as u64,
        };
        let payload = Payload {
            media_type: "application/json",
            title: "report.json",
            blob,
            source,
        };
        Artifact {
            artifact_type: "application/vnd.example",
            payload,
            annotations: BTreeMap::from([("a".into(), "b".into())]),
        }
    }

    #[test]
    fn the_same_artifact_has_the_same_digest() {
        let source = Bytes::from_static(b"report");
        let digest = Digest::of(&source);
        let subject = Descriptor {
            media_type: OCI_MANIFEST.to_owned(),
            digest: Digest::of(b"image"),
            size: 5,
        };
        let config = Digest::of(EMPTY);
        let first = artifact_manifest(&subject, &artifact(&source, &digest), &config);
        assert_eq!(first, artifact_manifest(&subject, &artifact(&source, &digest), &config));
        let entry = index_entry(&first);
        assert_eq!(entry["artifactType"], "application/vnd.example");
        assert_eq!(entry["annotations"]["a"], "b");
        assert_eq!(entry["size"], first.bytes.len());
    }
}
