//! Greatest age of evidence.

use std::sync::Arc;

use imagefactory_crds::ImagePolicySpec;
use imagefactory_crds::common::DurationText;
use jiff::{SignedDuration, Timestamp};

use super::Evidence;
use crate::step::AppliedPolicy;

/// Clocks of two nodes may differ by so much.
const SKEW: SignedDuration = SignedDuration::from_mins(5);
pub(super) const NO_SCAN_TIME: &str = "the report does not say when the image was scanned";
pub(super) const NO_DATABASE: &str = "the scanner named no vulnerability database";

/// Reads a policy's limit; none where it has no such limit.
///
/// # Errors
/// What stands there is not a duration from 1 hour to 365 days.
pub fn limit(spec: &ImagePolicySpec) -> Result<Option<SignedDuration>, String> {
    let read = |text: &DurationText| {
        let known = text.parse::<SignedDuration>().ok();
        known
            .filter(|age| (SignedDuration::from_hours(1)..=SignedDuration::from_hours(8760)).contains(age))
            .ok_or_else(|| "maxEvidenceAge of the policy is not a duration from 1h to 8760h".to_owned())
    };
    spec.max_evidence_age.as_ref().map(read).transpose()
}

/// The age at `now` of what was made at `then`. What is a little ahead of a clock has no age.
pub(super) fn between(then: Timestamp, now: Timestamp) -> Result<SignedDuration, &'static str> {
    let age = now.duration_since(then);
    if age < -SKEW {
        return Err("evidence is newer than the clock that it is compared with");
    }
    Ok(age.max(SignedDuration::ZERO))
}

/// What is too old, or of an age that is not known: the policy can say nothing about the image.
pub(super) fn too_old(spec: &ImagePolicySpec, evidence: &Evidence<'_>) -> Vec<String> {
    let limit = match limit(spec) {
        Ok(Some(limit)) => limit,
        Ok(None) => return Vec::new(),
        Err(why) => return vec![why],
    };
    // That there is no report or no database is said elsewhere.
    let Some(report) = evidence.report else {
        return Vec::new();
    };
    let Some(scanned) = report.created_at else {
        return vec![NO_SCAN_TIME.to_owned()];
    };
    let database = evidence
        .database
        .and_then(|database| exceeded("the vulnerability database was", database.updated_at, scanned, limit));
    let scan = exceeded("the scan is", scanned, evidence.now, limit);
    [database, scan].into_iter().flatten().collect()
}

/// The first policy by which a scan of that time is too old to be published on, in words.
#[must_use]
pub fn scan_too_old(policies: &[Arc<AppliedPolicy>], scanned: Timestamp, now: Timestamp) -> Option<String> {
    policies.iter().find_map(|policy| {
        let why = match limit(&policy.spec) {
            Ok(limit) => exceeded("the scan is", scanned, now, limit?)?,
            Err(why) => why,
        };
        Some(format!("ImagePolicy {}: {why}", policy.name))
    })
}

fn exceeded(what: &str, then: Timestamp, now: Timestamp, limit: SignedDuration) -> Option<String> {
    match between(then, now) {
        Ok(age) if age <= limit => None,
        Ok(age) => Some(format!(
            "evidence too old: {what} {} old, {} allowed",
            told(age),
            told(limit)
        )),
        Err(why) => Some(why.to_owned()),
    }
}

/// `75h20m`.
fn told(age: SignedDuration) -> String {
    match (age.as_hours(), age.as_mins() % 60) {
        (hours, 0) => format!("{hours}h"),
        (hours, minutes) => format!("{hours}h{minutes}m"),
    }
}
