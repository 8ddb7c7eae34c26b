//! An OCI layout that hostile code wrote, read as such: regular files only, opened beneath the directory without
//! following links; documents, their number, their depth and the sum of all sizes bounded; digests and sizes compared
//! with the bytes.

mod open;

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;

pub use open::OpenError;
use open::Root;

use crate::manifest::{Descriptor, Document, DocumentError, MAX_DOCUMENT};
use crate::registry::{Digest, FileSource, Manifest};

/// Largest image configuration that is read. They hold the history of the image.
const MAX_CONFIG: u64 = 4 << 20;
/// Most distinct blobs in all images together.
const MAX_BLOBS: usize = 2048;
const MAX_MARKER: u64 = 4 << 10;

/// Why a layout is not taken.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A file that is not what it must be.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The marker of a layout is missing or of another version.
    #[error("oci-layout does not say version 1.0.0")]
    Version,
    /// A document that is not taken.
    #[error("{name}")]
    Document {
        /// Which one.
        name: String,
        /// Why.
        #[source]
        source: DocumentError,
    },
    /// A file that has another size than its descriptor says.
    #[error("blob {digest} has {actual} bytes, its descriptor says {expected}")]
    Size {
        /// Digest of the blob.
        digest: Digest,
        /// What the descriptor says.
        expected: u64,
        /// What the file has.
        actual: u64,
    },
    /// A file that has other bytes than its name says.
    #[error("blob {expected} has the digest {actual}")]
    Digest {
        /// What its name says.
        expected: Digest,
        /// What the bytes are.
        actual: Digest,
    },
    /// More than the platform allows.
    #[error("the image has more than the {limit} bytes that are allowed")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// More blobs than are taken.
    #[error("the images name more than {MAX_BLOBS} blobs")]
    TooManyBlobs,
    /// A blob that is named with two sizes.
    #[error("blob {0} is named with two sizes")]
    Contradiction(Digest),
    /// A configuration that is none.
    #[error("the configuration {digest} can't be read: {problem}")]
    Config {
        /// Its digest.
        digest: Digest,
        /// What is wrong.
        problem: String,
    },
}

/// What a layout holds: one image or index, with everything that it names.
#[derive(Debug)]
pub struct Layout {
    root: Root,
    /// The manifest or index that the layout names.
    pub top: Manifest,
    /// The manifests of an index.
    pub children: Vec<Manifest>,
    /// Size of each blob, by digest.
    pub blobs: BTreeMap<Digest, u64>,
    /// Operating system and architecture of each image, as in `linux/amd64`.
    pub platforms: Vec<String>,
    /// Size of documents and blobs together.
    pub size: u64,
    max_bytes: u64,
}

impl Layout {
    /// Reads documents and looks at every file they name. Layers are hashed later, while they are sent.
    ///
    /// # Errors
    /// The layout is not taken.
    pub fn read(path: &Path, max_bytes: u64) -> Result<Self, LayoutError> {
        let root = Root::open(path)?;
        check_marker(&root)?;
        let index = root.read(&["index.json"], MAX_DOCUMENT)?;
        let named = Document::parse_layout_index(&index).map_err(|source| document("index.json", source))?;
        let (top, parsed) = read_document(&root, &named)?;
        let size = top.bytes.len() as u64;
        let mut layout =
            Self { root, top, children: Vec::new(), blobs: BTreeMap::new(), platforms: Vec::new(), size, max_bytes };
        match parsed {
            Document::Index(children) => {
                for child in children {
                    let (manifest, image) = read_document(&layout.root, &child)?;
                    layout.add_size(manifest.bytes.len() as u64)?;
                    layout.add_image(&image)?;
                    layout.children.push(manifest);
                }
            }
            image @ Document::Image { .. } => layout.add_image(&image)?,
        }
        Ok(layout)
    }

    /// A blob's file, looked at again: its name may mean something else by now.
    ///
    /// # Errors
    /// It is no regular file of that size.
    pub fn open_blob(&self, digest: &Digest, size: u64) -> Result<FileSource, LayoutError> {
        let opened = self.root.file(&["blobs", "sha256", digest.hex()])?;
        if opened.size != size {
            return Err(LayoutError::Size { digest: digest.clone(), expected: size, actual: opened.size });
        }
        Ok(FileSource::new(opened.file))
    }

    fn add_image(&mut self, image: &Document) -> Result<(), LayoutError> {
        for blob in image.blobs() {
            self.add_blob(blob)?;
        }
        if let Document::Image { config, layers } = image {
            self.platforms.push(read_platform(&self.root, config, layers.len())?);
        }
        Ok(())
    }

    fn add_blob(&mut self, blob: &Descriptor) -> Result<(), LayoutError> {
        match self.blobs.get(&blob.digest) {
            Some(size) if *size == blob.size => return Ok(()),
            Some(_) => return Err(LayoutError::Contradiction(blob.digest.clone())),
            None if self.blobs.len() >= MAX_BLOBS => return Err(LayoutError::TooManyBlobs),
            None => {}
        }
        self.add_size(blob.size)?;
        self.open_blob(&blob.digest, blob.size)?;
        self.blobs.insert(blob.digest.clone(), blob.size);
        Ok(())
    }

    fn add_size(&mut self, size: u64) -> Result<(), LayoutError> {
        let sum = self.size.checked_add(size).filter(|sum| *sum <= self.max_bytes);
        self.size = sum.ok_or(LayoutError::TooLarge { limit: self.max_bytes })?;
        Ok(())
    }
}

fn document(name: &str, source: DocumentError) -> LayoutError {
    LayoutError::Document { name: name.to_owned(), source }
}

fn check_marker(root: &Root) -> Result<(), LayoutError> {
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
fn read_document(root: &Root, named: &Descriptor) -> Result<(Manifest, Document), LayoutError> {
    let bytes = read_exactly(root, named, MAX_DOCUMENT)?;
    let manifest = Manifest::new(bytes, &named.media_type);
    let parsed = Document::parse(&manifest.bytes, &named.media_type);
    let parsed = parsed.map_err(|source| document(&format!("manifest {}", named.digest), source))?;
    Ok((manifest, parsed))
}

fn read_exactly(root: &Root, named: &Descriptor, limit: u64) -> Result<Bytes, LayoutError> {
    let bytes = root.read(&["blobs", "sha256", named.digest.hex()], limit)?;
    if bytes.len() as u64 != named.size {
        return Err(LayoutError::Size { digest: named.digest.clone(), expected: named.size, actual: bytes.len() as u64 });
    }
    let actual = Digest::of(&bytes);
    if actual != named.digest {
        return Err(LayoutError::Digest { expected: named.digest.clone(), actual });
    }
    Ok(bytes.into())
}

fn read_platform(root: &Root, config: &Descriptor, layers: usize) -> Result<String, LayoutError> {
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
    let refuse = |problem: String| LayoutError::Config { digest: config.digest.clone(), problem };
    let bytes = read_exactly(root, config, MAX_CONFIG)?;
    let parsed: Config = serde_json::from_slice(&bytes).map_err(|error| refuse(cut(&error.to_string())))?;
    let plain = |text: &str| !text.is_empty() && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !plain(&parsed.os) || !plain(&parsed.architecture) {
        return Err(refuse("it names no operating system or architecture".to_owned()));
    }
    if parsed.rootfs.diff_ids.len() != layers {
        return Err(refuse(format!("it speaks of {} layers, the manifest of {layers}", parsed.rootfs.diff_ids.len())));
    }
    Ok(format!("{}/{}", parsed.os, parsed.architecture))
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(160).collect()
}

#[cfg(test)]
mod tests;
