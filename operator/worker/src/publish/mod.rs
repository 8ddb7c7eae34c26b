//! `publish`: copies a staged image with its evidence to its place, and gives it its name last. Each part is looked
//! for before it is sent, so that a repetition after a crash at any point comes to the same end.

mod error;
mod evidence;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use imagefactory_core::reference::lies_under;
use imagefactory_core::step::{PublishStep, Published, StepFailure};

use crate::ca::Roots;
use crate::manifest::{Child, Descriptor, Document};
use crate::places::Places;
use crate::registry::{Blob, Credentials, Digest, Manifest, Reference, Registry, RegistryError, Repository};
use error::EVIDENCE_TAG;
use evidence::{Piece, Wanted};

pub use error::PublishError;
pub use evidence::PLATFORM_ANNOTATION;

/// Blobs that are copied at a time.
const PARALLEL: usize = 3;

/// What is copied from where to where.
struct Publication<'a> {
    staging: &'a Registry,
    from: Repository,
    output: &'a Registry,
    to: Repository,
    tag: String,
    digest: Digest,
    evidence: Vec<Wanted>,
}

/// Copies the image with its evidence, sets the tag, reads it back.
///
/// # Errors
/// Something is missing, or a registry failed.
pub async fn run(step: &PublishStep, places: &Places, roots: &Roots) -> Result<Published, StepFailure> {
    Ok(publish(step, places, roots).await?)
}

async fn publish(step: &PublishStep, places: &Places, roots: &Roots) -> Result<Published, PublishError> {
    let image = Reference::parse(&step.image)?;
    let (Some(tag), None) = (image.tag.clone(), &image.digest) else {
        return Err(PublishError::Step {
            problem: "the output must have a tag and no digest",
            name: step.image.clone(),
        });
    };
    // An image in its place would hide the evidence of another, or be read as evidence itself.
    if tag.starts_with(EVIDENCE_TAG) {
        return Err(PublishError::EvidenceTag { tag });
    }
    let name = image.repository.to_string();
    if !step.output_prefixes.iter().any(|prefix| lies_under(&name, prefix)) {
        return Err(PublishError::OutsidePrefix {
            repository: image.repository,
        });
    }
    let staging = client(
        &[places.staging_credentials()],
        vec![step.staging_prefix.clone()],
        roots,
    )?;
    let output = client(&[places.output_credentials()], step.output_prefixes.clone(), roots)?;
    let publication = Publication {
        staging: &staging,
        from: Repository::parse(&step.repository)?,
        output: &output,
        to: image.repository,
        tag,
        digest: digest(&step.digest)?,
        evidence: evidence::wanted(step)?,
    };
    publication.run().await?;
    Ok(Published {
        digest: step.digest.clone(),
    })
}

fn client(files: &[std::path::PathBuf], prefixes: Vec<String>, roots: &Roots) -> Result<Registry, RegistryError> {
    Registry::new(Credentials::load(files)?.bound_to(prefixes), roots)
}

fn digest(text: &str) -> Result<Digest, PublishError> {
    Digest::parse(text).ok_or_else(|| PublishError::Step {
        problem: "not a digest",
        name: text.to_owned(),
    })
}

impl Publication<'_> {
    async fn run(&self) -> Result<(), PublishError> {
        // All images and all evidence are read before anything is written.
        let top = self.staging.pull_manifest(&self.from, &self.digest).await?;
        let images = self.images(&top).await?;
        let digests: Vec<_> = images.iter().map(|(manifest, _)| manifest.digest.clone()).collect();
        evidence::covers(&self.evidence, &self.digest, &digests)?;
        let mut pieces = Vec::new();
        for wanted in &self.evidence {
            pieces.push(evidence::read(self.staging, &self.from, wanted).await?);
        }
        self.copy_images(&top, &images).await?;
        for piece in &pieces {
            self.copy_evidence(piece, &top, !images.is_empty()).await?;
        }
        self.set_tag(&top).await
    }

    /// The images of an index; nothing where `top` is one image.
    async fn images(&self, top: &Manifest) -> Result<Vec<(Manifest, Document)>, PublishError> {
        let mut images = Vec::new();
        if let Document::Index(children) = parse(top)? {
            for Child { descriptor, .. } in children {
                let mut manifest = self.staging.pull_manifest(&self.from, &descriptor.digest).await?;
                // What the index says it is counts, not what it is served as.
                manifest.media_type = descriptor.media_type;
                let document = parse(&manifest)?;
                images.push((manifest, document));
            }
        }
        Ok(images)
    }

    /// The image, or every image of an index, then the index: blobs, then the manifests that name them.
    async fn copy_images(&self, top: &Manifest, images: &[(Manifest, Document)]) -> Result<(), PublishError> {
        for (manifest, document) in images {
            self.copy_blobs(document.blobs()).await?;
            self.put(manifest).await?;
        }
        self.copy_blobs(parse(top)?.blobs()).await?;
        self.put(top).await
    }

    /// Attaches a piece of evidence to its image, and to the index that holds the image.
    async fn copy_evidence(&self, piece: &Piece, top: &Manifest, of_index: bool) -> Result<(), PublishError> {
        self.copy_blobs(piece.document.blobs()).await?;
        self.output
            .attach_manifest(&self.to, &piece.subject, &piece.manifest)
            .await?;
        if of_index {
            let index = Descriptor {
                media_type: top.media_type.clone(),
                digest: self.digest.clone(),
                size: top.bytes.len() as u64,
            };
            let manifest = piece.of_index(&index)?;
            self.output.attach_manifest(&self.to, &self.digest, &manifest).await?;
        }
        tracing::info!(digest = %piece.manifest.digest, subject = %piece.subject, "evidence is with the output");
        Ok(())
    }

    async fn copy_blobs(&self, blobs: Vec<&Descriptor>) -> Result<(), PublishError> {
        let mut copies = stream::iter(blobs)
            .map(|Descriptor { digest, size, .. }| async move {
                let blob = Blob { digest, size: *size };
                self.output
                    .copy_blob(&self.to, blob, self.staging, &self.from)
                    .await
                    .map(|()| digest)
            })
            .buffer_unordered(PARALLEL);
        while let Some(digest) = copies.try_next().await? {
            tracing::info!(%digest, "blob is with the output");
        }
        Ok(())
    }

    async fn put(&self, manifest: &Manifest) -> Result<(), PublishError> {
        if !self.output.manifest_exists(&self.to, &manifest.digest).await? {
            self.output.put_by_digest(&self.to, manifest).await?;
        }
        Ok(())
    }

    async fn set_tag(&self, top: &Manifest) -> Result<(), PublishError> {
        let current = self.output.read_tag(&self.to, &self.tag).await?;
        if current.is_none_or(|current| current.digest != self.digest) {
            self.output.put_by_tag(&self.to, top, &self.tag).await?;
        }
        let found = self
            .output
            .read_tag(&self.to, &self.tag)
            .await?
            .map(|manifest| manifest.digest);
        if found.as_ref() == Some(&self.digest) {
            tracing::info!(repository = %self.to, tag = self.tag, digest = %self.digest, "tag is set and was read back");
            return Ok(());
        }
        let found = found.map_or_else(|| "nothing".to_owned(), |digest| digest.to_string());
        Err(PublishError::ReadBack {
            image: format!("{}:{}", self.to, self.tag),
            found,
        })
    }
}

fn parse(manifest: &Manifest) -> Result<Document, PublishError> {
    Document::parse(&manifest.bytes, &manifest.media_type).map_err(|source| PublishError::Image {
        digest: manifest.digest.clone(),
        source,
    })
}
