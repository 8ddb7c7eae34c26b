//! Counts are brought up to date at most once in ten seconds per project (product.md), however many builds there are.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Shortest time between two counts.
pub const PAUSE: SignedDuration = SignedDuration::from_secs(10);

/// Whether it is time to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It is.
    Now,
    /// It will be, after this time.
    In(Duration),
}

/// Whether it is time to count again, after the project was counted at `last`. A clock that was put back does not stop
/// the counting.
#[must_use]
pub fn due(last: Option<Timestamp>, now: Timestamp) -> Due {
    let Some(last) = last else { return Due::Now };
    let since = now.duration_since(last);
    match PAUSE - since {
        _ if since.is_negative() => Due::Now,
        left if left.is_positive() => Due::In(left.unsigned_abs()),
        _ => Due::Now,
    }
}
