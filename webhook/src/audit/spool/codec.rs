//! Records of the spool as bytes. Pure.
//!
//! ```text
//! length of the payload  u32   little-endian, as all that follows
//! checksum of the payload u32  CRC-32
//! count                  u64   how often the event happened; written in place, so the checksum leaves it out
//! payload                      an event as JSON, filled up with zeros to a multiple of 16
//! ```
//!
//! Every record begins at a multiple of 16, so a count never lies in two sectors of a disk: it is written whole or not.

use imagefactory_crds::audit::{AuditEvent, MAX_EVENT_BYTES};

/// Bytes before the payload.
const HEAD: usize = 16;
/// Where a record's count begins.
pub const COUNT_AT: u64 = 8;
/// Most that a count can be; more is no count but damage.
const MAX_COUNT: u64 = 1 << 40;

/// An event can't be written.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Not as JSON.
    #[error("the event can't be written as JSON")]
    Json(#[from] serde_json::Error),
    /// Too long.
    #[error("the event is longer than {MAX_EVENT_BYTES} bytes")]
    Long,
}

/// A record as bytes.
///
/// # Errors
/// When the event is too long.
pub fn encode(event: &AuditEvent) -> Result<Vec<u8>, CodecError> {
    let payload = serde_json::to_vec(event)?;
    let length = u32::try_from(payload.len()).map_err(|_| CodecError::Long)?;
    if payload.len() > MAX_EVENT_BYTES {
        return Err(CodecError::Long);
    }
    let mut record = Vec::with_capacity(HEAD + payload.len().next_multiple_of(HEAD));
    record.extend(length.to_le_bytes());
    record.extend(crc32fast::hash(&payload).to_le_bytes());
    record.extend(event.count.to_le_bytes());
    record.extend(&payload);
    record.resize(record.len().next_multiple_of(HEAD), 0);
    Ok(record)
}

/// Whether an event can be a record.
#[cfg(test)]
pub fn fits(event: &AuditEvent) -> bool {
    encode(event).is_ok()
}

/// All whole records of a file, up to its end or to the first that is damaged: what follows that was never acknowledged.
#[must_use]
pub fn decode(mut bytes: &[u8]) -> Vec<AuditEvent> {
    let mut events = Vec::new();
    while let Some((event, rest)) = first(bytes) {
        events.push(event);
        bytes = rest;
    }
    events
}

fn first(bytes: &[u8]) -> Option<(AuditEvent, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let (count, rest) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if length == 0 || length > MAX_EVENT_BYTES {
        return None;
    }
    let payload = rest.get(..length)?;
    if crc32fast::hash(payload) != u32::from_le_bytes(*sum) {
        return None;
    }
    let mut event: AuditEvent = serde_json::from_slice(payload).ok()?;
    let count = u64::from_le_bytes(*count);
    event.count = if (1..=MAX_COUNT).contains(&count) { count } else { 1 };
    if event.count > 1 {
        // It stands for many writes: that one of them is stored already says nothing of the others.
        event.write_key.clear();
    }
    // The filling of the last record may be torn off; its payload is whole.
    let end = length.next_multiple_of(HEAD).min(rest.len());
    Some((event, rest.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::testing::event;
    use proptest::prelude::*;

    #[test]
    fn a_count_that_was_written_in_place_is_read_and_unbinds_the_event_from_one_write() {
        let mut bytes = encode(&event("a", 1)).unwrap();
        bytes[8..16].copy_from_slice(&7u64.to_le_bytes());
        let events = decode(&bytes);
        assert_eq!((events[0].count, events[0].write_key.as_str()), (7, ""));
    }

    proptest! {
        #[test]
        fn a_torn_tail_costs_the_last_record_and_no_other(sizes in proptest::collection::vec(0usize..200, 1..8), cut in 0usize..4096) {
            let events: Vec<_> = sizes.iter().enumerate().map(|(at, size)| event(&format!("e{at}"), *size)).collect();
            let records: Vec<Vec<u8>> = events.iter().map(|event| encode(event).unwrap()).collect();
            let whole: Vec<u8> = records.concat();
            let torn = &whole[..cut.min(whole.len())];
            let mut end = 0;
            let kept = records.iter().zip(&events).take_while(|(record, event)| {
                let payload = serde_json::to_vec(event).unwrap().len();
                let fits = end + 16 + payload <= torn.len();
                end += record.len();
                fits
            }).count();
            prop_assert_eq!(decode(torn), &events[..kept]);
        }

        #[test]
        fn no_bytes_make_the_reader_fail(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn a_flipped_bit_ends_the_reading(at in 16usize..200, bit in 0u8..8) {
            let bytes = [encode(&event("first", 3)).unwrap(), encode(&event("second", 3)).unwrap()].concat();
            let length = u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
            prop_assume!(at < 16 + length);
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            prop_assert_eq!(decode(&damaged), Vec::new());
        }
    }
}
