//! What a layer holds once it is unpacked. The scanner keeps what it found in a layer under the digest of the
//! unpacked bytes, takes that digest from the image's configuration and never compares it with the bytes; one scanner
//! serves all tenants. A configuration that lies would bypass the scan and spoil it for others, so every layer is
//! unpacked here, hashed and compared before anything is sent, and before the scanner is shown an image that we did not send.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};

use super::error::{LayerFault, LayoutError};
use super::packing::Packing;
use crate::manifest::Descriptor;
use crate::registry::{Digest, Hasher};

const CHUNK: usize = 128 << 10;
/// As much of a layer's beginning as tells formats apart.
const START: usize = 8;

/// What manifest and configuration say about a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) packing: Packing,
    pub(super) size: u64,
    pub(super) diff_id: Digest,
}

/// What is said of each layer, by digest.
pub(super) type Claims = BTreeMap<Digest, Claim>;

/// Adds what an image says of its layers. A layer may stand in several places; all must say the same of it.
pub(super) fn add_claims(claims: &mut Claims, layers: &[Descriptor], diff_ids: Vec<Digest>) -> Result<(), LayoutError> {
    for (layer, diff_id) in layers.iter().zip(diff_ids) {
        let claim = Claim {
            packing: Packing::of(&layer.media_type),
            size: layer.size,
            diff_id,
        };
        match claims.get(&layer.digest) {
            Some(earlier) if *earlier != claim => return Err(LayoutError::TwoClaims(layer.digest.clone())),
            Some(_) => {}
            None => {
                claims.insert(layer.digest.clone(), claim);
            }
        }
    }
    Ok(())
}

/// How much layers may unpack to.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// All layers together.
    pub total: u64,
    /// What any layer may unpack to, however small it is packed.
    pub floor: u64,
    /// How often its packed size a larger layer may unpack to.
    pub ratio: u64,
}

impl Bounds {
    /// As images are taken. Deflate packs 1032 to 1 at best, so no honest gzip meets the ratio; zstd packs zeros tighter.
    pub const IMAGES: Self = Self {
        total: 64 << 30,
        floor: 1 << 30,
        ratio: 1100,
    };

    /// What a layer may unpack to that is packed in `size` bytes, when `left` of the total are left.
    pub(super) fn of(&self, size: u64, left: u64) -> u64 {
        size.saturating_mul(self.ratio).max(self.floor).min(left)
    }
}

/// Both digests of a layer, and how much it unpacks to.
#[derive(Debug)]
struct Unpacked {
    packed: Digest,
    unpacked: Digest,
    bytes: u64,
}

/// Reads a layer and finds true what is said of it; returns how much it unpacks to.
pub(super) fn compare(file: impl Read, digest: &Digest, claim: &Claim, limit: u64) -> Result<u64, LayoutError> {
    let wrong = |fault| LayoutError::Layer {
        digest: digest.clone(),
        fault,
    };
    let found = unpack(file, claim, limit).map_err(wrong)?;
    if found.packed != *digest {
        return Err(LayoutError::Digest {
            expected: digest.clone(),
            actual: found.packed,
        });
    }
    if found.unpacked != claim.diff_id {
        return Err(wrong(LayerFault::DiffId {
            claimed: claim.diff_id.clone(),
            actual: found.unpacked,
        }));
    }
    Ok(found.bytes)
}

/// Reads a layer once, to its end, and hashes it packed and unpacked. No byte of it is left out of either.
fn unpack(file: impl Read, claim: &Claim, limit: u64) -> Result<Unpacked, LayerFault> {
    // One byte too many is enough to give a file that grows another digest.
    let mut packed = Hashing {
        inner: file.take(claim.size.saturating_add(1)),
        hasher: Hasher::default(),
    };
    let mut start = Vec::with_capacity(START);
    (&mut packed)
        .take(START as u64)
        .read_to_end(&mut start)
        .map_err(LayerFault::Unpack)?;
    if !claim.packing.begins(&start) {
        return Err(LayerFault::Packing);
    }
    let reader = BufReader::with_capacity(CHUNK, start.as_slice().chain(&mut packed));
    let (unpacked, bytes) = hash(claim.packing.reader(reader), limit)?;
    Ok(Unpacked {
        packed: packed.hasher.finish(),
        unpacked,
        bytes,
    })
}

fn hash(mut reader: impl Read, limit: u64) -> Result<(Digest, u64), LayerFault> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; CHUNK];
    let mut bytes = 0_u64;
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return Ok((hasher.finish(), bytes)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(LayerFault::Unpack(error)),
        };
        bytes += count as u64;
        if bytes > limit {
            return Err(LayerFault::TooLarge { limit });
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
}

struct Hashing<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
