//! Images at a registry that others may have sent there: their layers are read from it, by their digests, and found to be
//! what the configurations say, as those of a layout are. Nothing is kept of them.

use super::documents::{MAX_CONFIG, parse_config};
use super::error::{LayoutError, MAX_BLOBS};
use super::layers::{Bounds, Claims, add_claims, compare};
use crate::manifest::{Descriptor, Document};
use crate::registry::{Blob, Digest, Registry, RegistryError, Repository};

/// Why an image at a registry is not taken.
#[derive(Debug, thiserror::Error)]
pub enum PulledError {
    /// The registry does not give all of it.
    #[error("the image could not be read")]
    Registry(#[from] RegistryError),
    /// It is not what it says of itself.
    #[error("the image is not what it says of itself")]
    Untrue(#[from] LayoutError),
    /// The reading task did not end.
    #[error("reading a layer was ended")]
    Interrupted,
}

/// Reads every layer of these images once. Takes as long as pulling and unpacking them does; memory stays bounded.
///
/// # Errors
/// One is not what its image says, all of them have or unpack to more than `bounds`, or the registry fails.
pub async fn check_pulled(
    registry: &Registry,
    repository: &Repository,
    images: &[Document],
    bounds: &Bounds,
) -> Result<(), PulledError> {
    let mut claims = Claims::new();
    for image in images {
        if let Document::Image { config, layers } = image {
            let diff_ids = diff_ids(registry, repository, config, layers.len()).await?;
            add_claims(&mut claims, layers, diff_ids)?;
        }
        if claims.len() > MAX_BLOBS {
            return Err(LayoutError::TooManyBlobs.into());
        }
    }
    // Before any layer is asked for: what is too large packed is so unpacked.
    let packed = claims
        .values()
        .try_fold(0_u64, |sum, claim| sum.checked_add(claim.size));
    if packed.is_none_or(|packed| packed > bounds.total) {
        return Err(LayoutError::TooLarge { limit: bounds.total }.into());
    }
    let mut left = bounds.total;
    for (digest, claim) in claims {
        let blob = Blob {
            digest: &digest,
            size: claim.size,
        };
        let (own, limit) = (digest.clone(), bounds.of(claim.size, left));
        let read = move |bytes| compare(bytes, &own, &claim, limit);
        let unpacked = registry.read_through(repository, blob, read).await?;
        left = left.saturating_sub(unpacked.ok_or(PulledError::Interrupted)??);
    }
    Ok(())
}

async fn diff_ids(
    registry: &Registry,
    repository: &Repository,
    config: &Descriptor,
    layers: usize,
) -> Result<Vec<Digest>, PulledError> {
    let bytes = registry.read_blob(repository, &config.digest, MAX_CONFIG).await?;
    if bytes.len() as u64 != config.size {
        return Err(LayoutError::Size {
            digest: config.digest.clone(),
            expected: config.size,
            actual: bytes.len() as u64,
        }
        .into());
    }
    Ok(parse_config(&bytes, config, layers)?.diff_ids)
}
