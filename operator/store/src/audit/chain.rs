//! The hash of an entry: sha256 over
//!
//! ```text
//! "imagefactory-audit-1\n"      21 bytes
//! seq                            8 bytes, big endian
//! hash of the entry before      32 bytes; zeros before the first
//! length of the event            8 bytes, big endian
//! event                          its canonical JSON, UTF-8
//! ```
//!
//! Every part has a fixed length or says its own, so no two entries are encoded alike. Columns are not in it: they follow
//! from the event, and `verify` derives them again.

use sha2::{Digest, Sha256};

const MARK: &[u8] = b"imagefactory-audit-1\n";

/// What stands for the hash before the first entry.
pub(super) const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The hash of an entry, in hex. A `previous` that is no hash counts as zeros, which no entry but the first has before it.
pub(super) fn hash(seq: i64, previous: &str, event: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(MARK);
    hash.update(seq.to_be_bytes());
    hash.update(from_hex(previous).unwrap_or_default());
    hash.update((event.len() as u64).to_be_bytes());
    hash.update(event.as_bytes());
    hex(&hash.finalize())
}

/// Sha256 in hex of parts, each with its length before it.
pub(super) fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing into a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
