//! What an event must keep to. One that does not is refused for good: whoever sends it again is refused again.

use imagefactory_crds::audit::{AuditEvent, MAX_EVENT_BYTES};
use jiff::{SignedDuration, Timestamp};

use super::canonical;

/// Longest id or key.
const MAX_KEY: usize = 64;
/// Longest action.
const MAX_ACTION: usize = 64;
/// Largest count of one event.
const MAX_COUNT: u64 = 1_000_000_000;
/// No event is older: 2020-01-01.
const EARLIEST: i64 = 1_577_836_800;
/// How far a clock may be ahead of ours.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// What is wrong with an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The id is empty, too long, or has other characters.
    #[error("its id is not 1 to 64 characters of [A-Za-z0-9-]")]
    Id,
    /// A write or fold key is too long, or has other characters.
    #[error("its {0} is not up to 64 characters of [A-Za-z0-9-]")]
    Key(&'static str),
    /// The action is empty or too long.
    #[error("its action is not 1 to 64 bytes")]
    Action,
    /// The time can't be.
    #[error("its time is before 2020 or more than a day ahead")]
    Time,
    /// The count can't be.
    #[error("its count is not 1 to 1000000000")]
    Count,
    /// It is too long.
    #[error("it has {0} bytes as JSON, more than 32768")]
    TooLong(usize),
    /// It can't be written as JSON.
    #[error("it can't be written as JSON")]
    Json,
}

/// Checks an event.
///
/// # Errors
/// Says what is wrong.
pub fn check(event: &AuditEvent, now: Timestamp) -> Result<(), CheckError> {
    if event.id.is_empty() || !is_key(&event.id) {
        return Err(CheckError::Id);
    }
    for (name, key) in [("writeKey", &event.write_key), ("foldKey", &event.fold_key)] {
        if !is_key(key) {
            return Err(CheckError::Key(name));
        }
    }
    if event.action.is_empty() || event.action.len() > MAX_ACTION {
        return Err(CheckError::Action);
    }
    let latest = now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX);
    if event.time.as_second() < EARLIEST || event.time > latest {
        return Err(CheckError::Time);
    }
    if !(1..=MAX_COUNT).contains(&event.count) {
        return Err(CheckError::Count);
    }
    let length = canonical::event(event).map_err(|_| CheckError::Json)?.len();
    if length > MAX_EVENT_BYTES {
        return Err(CheckError::TooLong(length));
    }
    Ok(())
}

pub(super) fn is_key(text: &str) -> bool {
    text.len() <= MAX_KEY && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
