//! Image manifests and indexes, as far as they must be understood to move them: which blobs and manifests they
//! name. Strict, because what is misunderstood here is published: media types come from a list, a document is either
//! an image or an index, and its own media type is the one that it is sent with.

use serde::Deserialize;
use serde_json::Value;

use crate::platform::RawPlatform;
use crate::registry::Digest;
use crate::spelling::{MISSPELT, well_spelt};

/// Media type of an OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of Docker's image manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Media type of Docker's manifest list.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Media type of the empty object, as a config of what is no image.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Largest manifest or index that is read, as registries have it.
pub const MAX_DOCUMENT: u64 = 4 << 20;
/// Most manifests in an index.
pub const MAX_MANIFESTS: usize = 64;
/// Most layers in an image. The kernel's overlay takes fewer.
pub const MAX_LAYERS: usize = 512;

const CONFIGS: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];
const LAYERS: [&str; 5] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar",
];

/// Why a document is not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DocumentError {
    /// It is not JSON of the right shape.
    #[error("it can't be read: {0}")]
    Malformed(String),
    /// A media type that is not on the list.
    #[error("the media type {0:?} is not supported")]
    MediaType(String),
    /// Its own media type is not the one that it is named with.
    #[error("it says that it is {own:?} and is named as {named:?}")]
    Ambiguous {
        /// What it says.
        own: String,
        /// What it is named as.
        named: String,
    },
    /// It has fields of an image and of an index.
    #[error("it has fields of an image and of an index")]
    Both,
    /// A digest that is not `sha256:` and 64 hexadecimal digits.
    #[error("the digest {0:?} is not supported")]
    Digest(String),
    /// A layer that lies elsewhere.
    #[error("a layer names URLs to be fetched from")]
    Urls,
    /// Content beside the digest that names it: who reads it instead of the blob sees something else than who does not.
    #[error("a descriptor brings its content along")]
    Data,
    /// More entries than are taken.
    #[error("it names more than {0} entries")]
    TooMany(usize),
    /// No image, or several where one is expected.
    #[error("it names {0} images")]
    NotOne(usize),
    /// An index in an index.
    #[error("an index in an index is not supported")]
    Depth,
    /// A field by which registries take a document for evidence about an image.
    #[error("it has the field {0}, as what speaks of another image has: an image that is published has none")]
    Evidence(&'static str),
}

/// What a document names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its media type.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// An image of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// What it is.
    pub descriptor: Descriptor,
    /// What the index says that it is for.
    pub(crate) platform: Option<RawPlatform>,
}

/// An image manifest or an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One image, or an artifact in an image manifest.
    Image {
        /// Its configuration.
        config: Descriptor,
        /// Its layers.
        layers: Vec<Descriptor>,
    },
    /// Several images.
    Index(Vec<Child>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u64,
    media_type: Option<String>,
    config: Option<RawDescriptor>,
    layers: Option<Vec<RawDescriptor>>,
    manifests: Option<Vec<RawDescriptor>>,
    subject: Option<RawDescriptor>,
    artifact_type: Option<Value>,
    // Fields of manifests that are no longer read: a document that has one is not what it seems.
    fs_layers: Option<Value>,
    blobs: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: String,
    digest: String,
    size: u64,
    urls: Option<Vec<String>>,
    data: Option<Value>,
    platform: Option<RawPlatform>,
    artifact_type: Option<Value>,
}

impl Document {
    /// Reads a document that is named as `media_type`, of an image that is moved: to staging, and from there to its place.
    /// With a subject it would be evidence about another image as soon as a registry has it, and with an artifact type it
    /// would be listed as such: what a tenant built could pass for what the factory found.
    ///
    /// # Errors
    /// It is not an image or index that may be moved.
    pub fn parse(bytes: &[u8], media_type: &str) -> Result<Self, DocumentError> {
        let raw = Raw::parse(bytes, media_type)?;
        raw.is_no_evidence()?;
        raw.into_document(media_type)
    }

    /// Reads a document that is named as `media_type`, of an image that is only looked at where it lies: what it refers to
    /// was said there by others, and nothing of it is put anywhere.
    ///
    /// # Errors
    /// It is not an image or index.
    pub fn parse_in_place(bytes: &[u8], media_type: &str) -> Result<Self, DocumentError> {
        Raw::parse(bytes, media_type)?.into_document(media_type)
    }

    /// Reads the index at the top of an OCI layout, which must name exactly one image or index.
    ///
    /// # Errors
    /// It is no such index, or names none or several.
    pub fn parse_layout_index(bytes: &[u8]) -> Result<Descriptor, DocumentError> {
        let manifests = Raw::parse(bytes, OCI_INDEX)?.into_entries()?;
        let [only] = <[RawDescriptor; 1]>::try_from(manifests).map_err(|all| DocumentError::NotOne(all.len()))?;
        only.check(&[OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_INDEX])
    }

    /// Reads an artifact that refers to `subject`: an image manifest whose config and layers may be anything.
    ///
    /// # Errors
    /// It is no such artifact, or refers to something else.
    pub fn parse_artifact(bytes: &[u8], media_type: &str, subject: &Digest) -> Result<Self, DocumentError> {
        let raw = Raw::parse(bytes, media_type)?;
        if media_type != OCI_MANIFEST {
            return Err(DocumentError::MediaType(cut(media_type)));
        }
        match &raw.subject {
            Some(named) if named.digest == subject.as_str() => raw.into_image(&[], &[]),
            Some(named) => Err(DocumentError::Malformed(format!(
                "it refers to {}, not to {subject}",
                cut(&named.digest)
            ))),
            None => Err(DocumentError::Malformed("it refers to no image".to_owned())),
        }
    }

    /// The blobs that it names, config first.
    #[must_use]
    pub fn blobs(&self) -> Vec<&Descriptor> {
        match self {
            Self::Image { config, layers } => std::iter::once(config).chain(layers).collect(),
            Self::Index(_) => Vec::new(),
        }
    }
}

impl Raw {
    fn parse(bytes: &[u8], media_type: &str) -> Result<Self, DocumentError> {
        let raw: Self =
            serde_json::from_slice(bytes).map_err(|error| DocumentError::Malformed(cut(&error.to_string())))?;
        if raw.schema_version != 2 {
            return Err(DocumentError::Malformed(format!(
                "its schema version is {}, not 2",
                raw.schema_version
            )));
        }
        if raw.fs_layers.is_some() || raw.blobs.is_some() {
            return Err(DocumentError::Both);
        }
        if !well_spelt(bytes, &["config", "layers", "manifests", "subject"]) {
            return Err(DocumentError::Malformed(MISSPELT.to_owned()));
        }
        match &raw.media_type {
            Some(own) if own != media_type => Err(DocumentError::Ambiguous {
                own: cut(own),
                named: cut(media_type),
            }),
            _ => Ok(raw),
        }
    }

    fn is_no_evidence(&self) -> Result<(), DocumentError> {
        if self.subject.is_some() {
            return Err(DocumentError::Evidence("subject"));
        }
        let mut entries = self.manifests.iter().flatten();
        if self.artifact_type.is_some() || entries.any(|entry| entry.artifact_type.is_some()) {
            return Err(DocumentError::Evidence("artifactType"));
        }
        Ok(())
    }

    fn into_document(self, media_type: &str) -> Result<Document, DocumentError> {
        match media_type {
            OCI_INDEX | DOCKER_INDEX => self.into_index(),
            OCI_MANIFEST | DOCKER_MANIFEST => self.into_image(&CONFIGS, &LAYERS),
            other => Err(DocumentError::MediaType(cut(other))),
        }
    }

    fn into_entries(self) -> Result<Vec<RawDescriptor>, DocumentError> {
        if self.config.is_some() || self.layers.is_some() {
            return Err(DocumentError::Both);
        }
        let manifests = self
            .manifests
            .ok_or_else(|| DocumentError::Malformed("an index without manifests".to_owned()))?;
        if manifests.len() > MAX_MANIFESTS {
            return Err(DocumentError::TooMany(MAX_MANIFESTS));
        }
        Ok(manifests)
    }

    fn into_index(self) -> Result<Document, DocumentError> {
        let manifests = self.into_entries()?;
        if manifests.is_empty() {
            return Err(DocumentError::NotOne(0));
        }
        let child = |mut raw: RawDescriptor| {
            let platform = raw.platform.take();
            let descriptor = raw.check(&[OCI_MANIFEST, DOCKER_MANIFEST])?;
            Ok(Child { descriptor, platform })
        };
        let children: Result<Vec<_>, _> = manifests.into_iter().map(child).collect();
        children.map(Document::Index)
    }

    /// An empty list of media types allows all.
    fn into_image(self, configs: &[&str], layer_types: &[&str]) -> Result<Document, DocumentError> {
        if self.manifests.is_some() {
            return Err(DocumentError::Both);
        }
        let config = self
            .config
            .ok_or_else(|| DocumentError::Malformed("an image without config".to_owned()))?
            .check(configs)?;
        let layers = self
            .layers
            .ok_or_else(|| DocumentError::Malformed("an image without layers".to_owned()))?;
        if layers.len() > MAX_LAYERS {
            return Err(DocumentError::TooMany(MAX_LAYERS));
        }
        let layers: Result<Vec<_>, _> = layers.into_iter().map(|raw| raw.check(layer_types)).collect();
        Ok(Document::Image {
            config,
            layers: layers?,
        })
    }
}

impl RawDescriptor {
    fn check(self, allowed: &[&str]) -> Result<Descriptor, DocumentError> {
        if self.urls.is_some_and(|urls| !urls.is_empty()) {
            return Err(DocumentError::Urls);
        }
        if self.data.is_some() {
            return Err(DocumentError::Data);
        }
        if !allowed.is_empty() && !allowed.contains(&self.media_type.as_str()) {
            let is_index = matches!(self.media_type.as_str(), OCI_INDEX | DOCKER_INDEX);
            return Err(if is_index {
                DocumentError::Depth
            } else {
                DocumentError::MediaType(cut(&self.media_type))
            });
        }
        let digest = Digest::parse(&self.digest).ok_or_else(|| DocumentError::Digest(cut(&self.digest)))?;
        Ok(Descriptor {
            media_type: self.media_type,
            digest,
            size: self.size,
        })
    }
}

/// Text of a document in a message: short, without control characters.
fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(160).collect()
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
