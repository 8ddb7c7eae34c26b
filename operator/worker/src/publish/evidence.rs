//! Evidence: SBOM and report of each image, read before anything is written. An index is given those of its images
//! too, so that who looks at the digest that was published finds them.

use imagefactory_core::step::{Evidence, PublishStep};
use serde_json::{Value, json};

use super::PublishError;
use super::digest;
use crate::manifest::{Descriptor, Document};
use crate::registry::{Digest, Manifest, Registry, RegistryError, Repository, chain};

/// Annotation that says of which image of an index a piece of evidence speaks.
pub const PLATFORM_ANNOTATION: &str = "dev.imagefactory.platform";

/// What is wanted, by checked digests.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) subject: Digest,
    digest: Digest,
    platform: Option<String>,
}

/// A piece of evidence as it was read.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) subject: Digest,
    pub(super) manifest: Manifest,
    pub(super) document: Document,
    platform: Option<String>,
}

pub(super) fn wanted(step: &PublishStep) -> Result<Vec<Wanted>, PublishError> {
    let check = |evidence: &Evidence| {
        Ok(Wanted {
            subject: digest(&evidence.subject)?,
            digest: digest(&evidence.digest)?,
            platform: evidence.platform.clone(),
        })
    };
    step.referrers.iter().map(check).collect()
}

/// Reads a piece of evidence from staging. It must be there, and speak of its subject.
pub(super) async fn read(staging: &Registry, from: &Repository, wanted: &Wanted) -> Result<Piece, PublishError> {
    let missing = |detail: String| PublishError::EvidenceMissing {
        digest: wanted.digest.clone(),
        detail,
    };
    let manifest = match staging.pull_manifest(from, &wanted.digest).await {
        Err(error @ RegistryError::NotFound { .. }) => return Err(missing(chain(&error))),
        result => result?,
    };
    let document = Document::parse_artifact(&manifest.bytes, &manifest.media_type, &wanted.subject);
    Ok(Piece {
        subject: wanted.subject.clone(),
        document: document.map_err(|error| missing(error.to_string()))?,
        manifest,
        platform: wanted.platform.clone(),
    })
}

/// Whether there is evidence for every image, and none for anything else.
pub(super) fn covers(evidence: &[Wanted], top: &Digest, images: &[Digest]) -> Result<(), PublishError> {
    for Wanted { subject, digest, .. } in evidence {
        let known = if images.is_empty() {
            subject == top
        } else {
            images.contains(subject)
        };
        if !known {
            return Err(PublishError::EvidenceMissing {
                digest: digest.clone(),
                detail: format!("it speaks of {subject}, which is no image of {top}"),
            });
        }
    }
    let bare = images
        .iter()
        .find(|image| !evidence.iter().any(|piece| piece.subject == **image));
    match bare {
        None => Ok(()),
        Some(image) => Err(PublishError::EvidenceMissing {
            digest: image.clone(),
            detail: "no SBOM and no report of this image of the index is named".to_owned(),
        }),
    }
}

impl Piece {
    /// The same evidence as a referrer of the index that holds its subject. The same piece has the same digest.
    pub(super) fn of_index(&self, index: &Descriptor) -> Result<Manifest, PublishError> {
        let unreadable = || PublishError::EvidenceMissing {
            digest: self.manifest.digest.clone(),
            detail: "it is no JSON object".to_owned(),
        };
        let mut document: Value = serde_json::from_slice(&self.manifest.bytes).map_err(|_| unreadable())?;
        let fields = document.as_object_mut().ok_or_else(unreadable)?;
        fields.insert(
            "subject".to_owned(),
            json!({ "mediaType": index.media_type, "digest": index.digest.as_str(), "size": index.size }),
        );
        if let Some(platform) = &self.platform {
            let annotations = fields.entry("annotations").or_insert_with(|| json!({}));
            if !annotations.is_object() {
                *annotations = json!({});
            }
            annotations[PLATFORM_ANNOTATION] = json!(platform);
        }
        Ok(Manifest::new(document.to_string().into(), &self.manifest.media_type))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(subject: &str, name: &str) -> Wanted {
        Wanted {
            subject: Digest::of(subject.as_bytes()),
            digest: Digest::of(name.as_bytes()),
            platform: None,
        }
    }

    #[test]
    fn every_image_has_evidence_and_nothing_else_has() {
        let (top, amd, arm) = (Digest::of(b"top"), Digest::of(b"amd"), Digest::of(b"arm"));
        let both = [amd, arm];
        let evidence = [piece("amd", "sbom"), piece("arm", "sbom")];
        assert!(covers(&evidence, &top, &both).is_ok());
        assert!(covers(&evidence[..1], &top, &both).is_err(), "one image has none");
        let foreign = [piece("amd", "sbom"), piece("arm", "sbom"), piece("other", "sbom")];
        assert!(covers(&foreign, &top, &both).is_err());
        assert!(covers(&[piece("top", "sbom")], &top, &[]).is_ok());
        assert!(covers(&[piece("amd", "sbom")], &top, &[]).is_err());
        assert!(
            covers(&[piece("top", "sbom")], &top, &both).is_err(),
            "of the whole it says nothing"
        );
    }
}
