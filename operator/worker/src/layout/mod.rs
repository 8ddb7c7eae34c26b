//! An OCI layout that hostile code wrote, read as such: regular files only, opened beneath the directory without
//! following links; documents, their number, their depth and the sum of all sizes bounded; digests and sizes compared
//! with the bytes; layers unpacked, to find what the configuration says of them true. What lies at a registry and was not
//! sent from here is found true in the same way.

mod documents;
mod error;
mod layers;
pub(crate) mod packing;
pub(crate) mod platforms;
mod pulled;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use crate::beneath::Root;
use crate::manifest::{Child, Descriptor, Document, MAX_DOCUMENT};
use crate::platform::{Platform, RawPlatform};
use crate::registry::{Digest, FileSource, Manifest};
use documents::{check_marker, document, read_config, read_document};
use error::MAX_BLOBS;
pub use error::{LayerFault, LayoutError};
pub use layers::Bounds;
use layers::{Claims, add_claims, compare};
pub use pulled::{PulledError, check_pulled};

/// An image of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutImage {
    /// What it is for.
    pub platform: Platform,
    /// Digest of its manifest.
    pub digest: Digest,
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
    /// The image, or each of an index.
    pub images: Vec<LayoutImage>,
    /// Size of documents and blobs together.
    pub size: u64,
    max_bytes: u64,
    claims: Claims,
}

impl Layout {
    /// Reads documents and looks at every file they name. What is in the layers is for [`Layout::check_layers`].
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
        let mut layout = Self {
            root,
            top,
            children: Vec::new(),
            blobs: BTreeMap::new(),
            images: Vec::new(),
            size,
            max_bytes,
            claims: Claims::new(),
        };
        match parsed {
            Document::Index(children) => {
                for Child { descriptor, platform } in children {
                    let (manifest, image) = read_document(&layout.root, &descriptor)?;
                    layout.add_size(manifest.bytes.len() as u64)?;
                    layout.add_image(&manifest.digest, &image, platform.as_ref())?;
                    layout.children.push(manifest);
                }
            }
            image @ Document::Image { .. } => layout.add_image(&named.digest, &image, None)?,
        }
        Ok(layout)
    }

    /// Reads every layer: it must be what its digest says, and unpack to what the configuration says. Takes as long as
    /// unpacking the image does; memory stays bounded.
    ///
    /// # Errors
    /// One is not, or unpacks to more than `bounds`.
    pub fn check_layers(&self, bounds: &Bounds) -> Result<(), LayoutError> {
        let mut left = bounds.total;
        for (digest, claim) in &self.claims {
            let file = self.open_file(digest, claim.size)?;
            let bytes = compare(file, digest, claim, bounds.of(claim.size, left))?;
            left = left.saturating_sub(bytes);
        }
        Ok(())
    }

    /// A blob's file, looked at again: its name may mean something else by now.
    ///
    /// # Errors
    /// It is no regular file of that size.
    pub fn open_blob(&self, digest: &Digest, size: u64) -> Result<FileSource, LayoutError> {
        self.open_file(digest, size).map(FileSource::new)
    }

    fn open_file(&self, digest: &Digest, size: u64) -> Result<File, LayoutError> {
        let opened = self.root.file(&["blobs", "sha256", digest.hex()])?;
        if opened.size != size {
            return Err(LayoutError::Size {
                digest: digest.clone(),
                expected: size,
                actual: opened.size,
            });
        }
        Ok(opened.file)
    }

    /// `named`: what the index says that it is for.
    fn add_image(&mut self, digest: &Digest, image: &Document, named: Option<&RawPlatform>) -> Result<(), LayoutError> {
        for blob in image.blobs() {
            self.add_blob(blob)?;
        }
        if let Document::Image { config, layers } = image {
            let config = read_config(&self.root, config, layers.len())?;
            let platform = RawPlatform::agreeing(named, &config.platform);
            self.images.push(LayoutImage {
                platform: platform.ok_or_else(|| LayoutError::TwoPlatforms(digest.clone()))?,
                digest: digest.clone(),
            });
            add_claims(&mut self.claims, layers, config.diff_ids)?;
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

#[cfg(test)]
mod tests;
