//! SorRecord: where a record stands, whether it counts, and when to look again.

pub mod fetch;
pub mod listing;
pub mod settings;

#[cfg(test)]
mod tests;

use std::time::Duration;

use imagefactory_crds::sor_record::{Lifecycle, lifecycle, next_change};
use imagefactory_crds::{SorRecord, SorRecordStatus};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::tenant::readiness::{Readiness, Standing};

/// Reason: another record has the same id and is older.
pub const DUPLICATE_RECORD: &str = "DuplicateRecord";
/// Reason: the record was fetched, and the system of record did not say for too long that it still holds.
pub const NOT_VERIFIED: &str = "NotVerified";

/// Longest time that is waited for a moment at a stretch: timers count no further than some years, and a clock that was
/// set is noticed within it.
const LONGEST_SLEEP: SignedDuration = SignedDuration::from_hours(24);
/// A record that was fetched again is written when what stands there has used up this part of the greatest age.
const WRITTEN_AFTER_PART: i32 = 4;

/// Everything that a record's status is made from.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The record.
    pub record: &'a SorRecord,
    /// Name of the record that has the same id and counts instead.
    pub elder: Option<&'a str>,
    /// When it was last fetched, as it is, since this process leads.
    pub confirmed: Option<Timestamp>,
    /// How long before its end a record is Expiring.
    pub window: SignedDuration,
    /// How long a record that is fetched counts without being fetched again; none where none are fetched.
    pub greatest_age: Option<SignedDuration>,
    /// The time.
    pub now: Timestamp,
}

/// The status of a record; none for one that is being deleted.
#[must_use]
pub fn status(situation: Situation<'_>) -> Option<SorRecordStatus> {
    let Situation {
        record, window, now, ..
    } = situation;
    if record.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let before = record.status.clone().unwrap_or_default();
    let verified_at = verified_at(situation, &before);
    let trusted_until = if record.is_fetched() {
        trusted_until(verified_at, situation.greatest_age, &before)
    } else {
        None
    };
    let readiness = readiness(situation, trusted_until);
    Some(SorRecordStatus {
        observed_generation: generation(record),
        lifecycle: Some(lifecycle(&record.spec, window, now)),
        verified_at: verified_at.map(Time),
        trusted_until: trusted_until.map(Time),
        tenants: u32::try_from(record.spec.tenants.len()).ok(),
        conditions: readiness.conditions(&before.conditions, &record.metadata, now),
    })
}

/// How long until the record is to be looked at again although nobody writes it: until the very moment when something of
/// its status changes by itself.
#[must_use]
pub fn look_again(situation: Situation<'_>, status: &SorRecordStatus) -> Option<Duration> {
    let Situation {
        record, window, now, ..
    } = situation;
    let trusted_until = status.trusted_until.as_ref().map(|time| time.0);
    let next = next_change(&record.spec, window, now)
        .into_iter()
        .chain(trusted_until.filter(|end| *end > now))
        .min()?;
    Some(next.duration_since(now).min(LONGEST_SLEEP).unsigned_abs())
}

fn generation(record: &SorRecord) -> i64 {
    record.metadata.generation.unwrap_or_default()
}

/// Of a record that is kept by hand, when this spec was first seen. Of one that is fetched, when it last was, written
/// anew only now and then: a thousand records that are fetched every minute are not a thousand writes a minute.
fn verified_at(situation: Situation<'_>, before: &SorRecordStatus) -> Option<Timestamp> {
    let Situation { record, now, .. } = situation;
    let known = before.verified_at.as_ref().map(|time| time.0);
    let is_new = before.observed_generation != generation(record);
    if !record.is_fetched() {
        return if is_new {
            Some(whole(now))
        } else {
            known.or(Some(whole(now)))
        };
    }
    let Some(confirmed) = situation.confirmed.map(whole) else {
        return known;
    };
    let pause = situation.greatest_age.unwrap_or_default() / WRITTEN_AFTER_PART;
    let is_due = known.is_none_or(|known| is_new || confirmed.duration_since(known) >= pause);
    if is_due { Some(confirmed) } else { known }
}

/// Until when a record that is fetched counts. Where none are fetched any more, what stands there still holds.
fn trusted_until(
    verified_at: Option<Timestamp>,
    greatest_age: Option<SignedDuration>,
    before: &SorRecordStatus,
) -> Option<Timestamp> {
    match greatest_age {
        Some(age) => verified_at?.checked_add(age).ok(),
        None => before.trusted_until.as_ref().map(|time| time.0),
    }
}

/// Times in objects are whole seconds: a part of one would differ from itself when it is read back.
fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Where the record stands. One that is suspended or has expired is `Ready`: it is what its spec asks for, and who waits
/// for it (`kubectl wait`, Flux, Helm) is not to wait for ever. The reason says so.
fn readiness(situation: Situation<'_>, trusted_until: Option<Timestamp>) -> Readiness {
    let Situation { record, now, .. } = situation;
    if let Some(elder) = situation.elder {
        let message = format!(
            "SorRecord {elder} has the same recordId and is older, so it counts and this one does not. Delete one of them."
        );
        return Readiness::new(Standing::Stalled, DUPLICATE_RECORD, message);
    }
    let stands = lifecycle(&record.spec, situation.window, now);
    if stands.counts() && record.is_fetched() && trusted_until.is_none_or(|end| end <= now) {
        let message = "The system of record did not say for too long that this record still holds, so it does not count \
                       until it is fetched again. See the operator's log for why it is not.";
        return Readiness::new(Standing::Retrying, NOT_VERIFIED, message);
    }
    let none_listed = if record.spec.tenants.is_empty() {
        " It lists no tenant, so it counts for nobody."
    } else {
        ""
    };
    let message = format!("{}{none_listed}", describe(record, stands));
    Readiness::new(Standing::Ready, stands.as_str(), message)
}

fn describe(record: &SorRecord, stands: Lifecycle) -> String {
    let end = record.spec.expires_at.as_ref().map(|time| whole(time.0));
    match (stands, end) {
        (Lifecycle::Active, None) => "It counts for the tenants that it lists.".to_owned(),
        (Lifecycle::Active, Some(end)) => format!("It counts for the tenants that it lists until {end}."),
        (Lifecycle::Expiring, Some(end)) => {
            format!(
                "It expires at {end}: have it renewed in the system of record, or requests are refused from then on."
            )
        }
        (Lifecycle::Expired, Some(end)) => {
            format!("It expired at {end}: requests that name it are refused until it is renewed.")
        }
        (Lifecycle::Expiring | Lifecycle::Expired, None) => "Its time is over.".to_owned(),
        (Lifecycle::Suspended, _) => "It is suspended: requests that name it are refused.".to_owned(),
    }
}
