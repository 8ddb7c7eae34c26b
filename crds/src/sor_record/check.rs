//! Whether a tenant's product is registered: the precondition of a quarantine request, asked by the webhook and again by
//! the operator.

use std::fmt::Write;

use jiff::Timestamp;

use super::{RecordId, SorRecord};
use crate::denial::{Cause, Code, Denial};

/// How every denial for want of a registration begins. Part of the contract.
pub const REGISTRATION_REQUIRED: &str = "Enterprise EPR registration is required before requesting quarantine.";

/// What to do about it.
pub const HOW_TO_REGISTER: &str = "Register the product for this tenant in the enterprise's system of record, or have \
    its record renewed there, then create a new request that names the record's id in spec.sorRecordId; your platform \
    administrators can tell which records there are.";

/// Path of the field that names the record.
const FIELD: &str = "spec.sorRecordId";
/// Longest id in a message: what the schema admits. Holds where the schema was not asked.
const LONGEST_ID: usize = RecordId::MAX_LENGTH as usize;

/// Why a record does not count for a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NotRegistered {
    /// No record is named.
    Missing,
    /// There is none of that id, or it is not for this tenant.
    Unknown,
    /// It is suspended.
    Suspended,
    /// Its time is over.
    Expired,
    /// It was fetched, and too long ago: the system of record did not say since that it still holds.
    Unverified,
}

impl NotRegistered {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Missing,
        Self::Unknown,
        Self::Suspended,
        Self::Expired,
        Self::Unverified,
    ];

    /// The word in metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unknown => "unknown",
            Self::Suspended => "suspended",
            Self::Expired => "expired",
            Self::Unverified => "unverified",
        }
    }

    /// The denial that says so. Which of the causes it is stands in its message alone: whoever asks for another tenant's
    /// record and whoever asks for one that is not there read the same.
    #[must_use]
    pub fn denial(self, tenant: &str, id: Option<&str>) -> Denial {
        let id: String = id.unwrap_or_default().chars().take(LONGEST_ID).collect();
        let mut message = format!("{REGISTRATION_REQUIRED} ");
        if self != Self::Missing {
            let _ = write!(message, "Record {id} ");
        }
        let _ = write!(message, "{} {HOW_TO_REGISTER}", self.ending());
        let mut denial = Denial::new(Code::SorRegistrationRequired, message).because(Cause::of("Tenant", tenant));
        if !id.is_empty() {
            denial = denial.because(Cause {
                field: FIELD.to_owned(),
                ..Cause::of("SorRecord", id)
            });
        } else {
            denial = denial.because(Cause::field(FIELD, "a record of the system of record has to be named"));
        }
        denial
    }

    /// Which cause the message of a [`NotRegistered::denial`] tells; none of any other message. What is stored of a denial
    /// is its message, and it is counted by its cause.
    #[must_use]
    pub fn told(message: &str) -> Option<Self> {
        let said = message.strip_prefix(REGISTRATION_REQUIRED)?;
        let said = said.strip_suffix(HOW_TO_REGISTER)?.trim_end();
        // What follows the id is ours, whatever the id is.
        Self::ALL.into_iter().find(|cause| said.ends_with(cause.ending()))
    }

    /// What is said of the record, behind its id.
    fn ending(self) -> &'static str {
        match self {
            Self::Missing => "No record is named in spec.sorRecordId.",
            Self::Unknown => "is unknown.",
            Self::Suspended => "is suspended.",
            Self::Expired => "has expired.",
            Self::Unverified => "could not be verified with the system of record for too long.",
        }
    }
}

/// Whether the record of that id counts for the tenant now, among all records that are known (or all of that id). Gives
/// the record.
///
/// # Errors
/// Why it does not. Of a record that does not list the tenant nothing else is told.
pub fn check<'a>(
    tenant: &str,
    id: Option<&str>,
    records: impl IntoIterator<Item = &'a SorRecord>,
    now: Timestamp,
) -> Result<&'a SorRecord, NotRegistered> {
    let id = id.filter(|id| !id.is_empty()).ok_or(NotRegistered::Missing)?;
    let record = records
        .into_iter()
        .filter(|record| record.spec.record_id.as_str() == id)
        .min_by(|one, other| one.seniority().cmp(&other.seniority()))
        .filter(|record| record.spec.tenants.iter().any(|listed| listed.as_str() == tenant))
        .ok_or(NotRegistered::Unknown)?;
    if record.spec.suspended {
        return Err(NotRegistered::Suspended);
    }
    if record.spec.expires_at.as_ref().is_some_and(|end| end.0 <= now) {
        return Err(NotRegistered::Expired);
    }
    if record.is_fetched() && trusted_until(record).is_none_or(|end| end <= now) {
        return Err(NotRegistered::Unverified);
    }
    Ok(record)
}

/// Until when a record that counts will count, if nobody writes it; none if for ever.
#[must_use]
pub fn counts_until(record: &SorRecord) -> Option<Timestamp> {
    let expires = record.spec.expires_at.as_ref().map(|time| time.0);
    let trusted = trusted_until(record).filter(|_| record.is_fetched());
    expires.into_iter().chain(trusted).min()
}

fn trusted_until(record: &SorRecord) -> Option<Timestamp> {
    let status = record.status.as_ref()?;
    status.trusted_until.as_ref().map(|time| time.0)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::super::{SorRecordSpec, SorRecordStatus};
    use super::*;
    use crate::names::LABEL_SOR_SOURCE;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn record(name: &str, id: &str, tenants: &[&str]) -> SorRecord {
        let spec = SorRecordSpec {
            record_id: id.into(),
            tenants: tenants.iter().map(|tenant| (*tenant).into()).collect(),
            expires_at: Some(Time(at(1000))),
            ..SorRecordSpec::default()
        };
        let mut record = SorRecord::new(name, spec);
        record.metadata.creation_timestamp = Some(Time(at(0)));
        record
    }

    fn fetched(trusted_until: Option<i64>) -> SorRecord {
        let mut record = record("f", "APP-1", &["acme"]);
        record.metadata.labels = Some([(LABEL_SOR_SOURCE.to_owned(), "http".to_owned())].into());
        record.status = Some(SorRecordStatus {
            trusted_until: trusted_until.map(|second| Time(at(second))),
            ..SorRecordStatus::default()
        });
        record
    }

    fn says(records: &[SorRecord], id: Option<&str>, now: i64) -> Result<(), NotRegistered> {
        check("acme", id, records, at(now)).map(|_| ())
    }

    /// Longest message that is told of a run, in characters (operator/core/src/audit/runs.rs).
    const TOLD: usize = 512;

    #[test]
    fn a_message_tells_its_cause_whatever_the_id_says_and_no_other_message_does() {
        let long = "x".repeat(10_000);
        for id in [
            "APP-1",
            "is suspended.",
            "a is unknown. b",
            HOW_TO_REGISTER,
            "",
            long.as_str(),
        ] {
            for cause in NotRegistered::ALL {
                let message = cause.denial("acme", Some(id)).message;
                assert_eq!(NotRegistered::told(&message), Some(cause), "{message}");
                assert!(message.chars().count() <= TOLD, "{message}");
            }
        }
        let held = format!(
            "The request waits. {}",
            NotRegistered::Unverified.denial("a", None).message
        );
        for other in [held.as_str(), "", REGISTRATION_REQUIRED, "Record a is unknown."] {
            assert_eq!(NotRegistered::told(other), None, "{other}");
        }
    }

    #[test]
    fn a_record_counts_for_the_tenants_that_it_lists_until_the_very_second_of_its_end() {
        let records = [record("a", "APP-1", &["acme", "globex"])];
        assert_eq!(says(&records, Some("APP-1"), 999), Ok(()));
        assert_eq!(says(&records, Some("APP-1"), 1000), Err(NotRegistered::Expired));
        assert_eq!(counts_until(&records[0]), Some(at(1000)));
    }

    #[test]
    fn no_id_is_missing_and_another_id_is_unknown() {
        let records = [record("a", "APP-1", &["acme"])];
        assert_eq!(says(&records, None, 0), Err(NotRegistered::Missing));
        assert_eq!(says(&records, Some(""), 0), Err(NotRegistered::Missing));
        assert_eq!(says(&records, Some("app-1"), 0), Err(NotRegistered::Unknown));
        assert_eq!(says(&[], Some("APP-1"), 0), Err(NotRegistered::Unknown));
    }

    #[test]
    fn of_another_tenants_record_nothing_is_told_not_even_that_it_is_suspended() {
        let mut foreign = record("a", "APP-1", &["globex"]);
        foreign.spec.suspended = true;
        let unknown = check("acme", Some("APP-1"), [&foreign], at(5000)).unwrap_err();
        assert_eq!(unknown, NotRegistered::Unknown);
        let nowhere = check("acme", Some("APP-1"), [], at(5000)).unwrap_err();
        assert_eq!(
            unknown.denial("acme", Some("APP-1")),
            nowhere.denial("acme", Some("APP-1"))
        );
    }

    #[test]
    fn of_two_records_with_one_id_the_older_counts_alone() {
        let older = record("b", "APP-1", &["globex"]);
        let mut younger = record("a", "APP-1", &["acme"]);
        younger.metadata.creation_timestamp = Some(Time(at(1)));
        assert_eq!(
            says(&[younger.clone(), older.clone()], Some("APP-1"), 5),
            Err(NotRegistered::Unknown)
        );
        younger.metadata.creation_timestamp = Some(Time(at(0)));
        assert_eq!(says(&[older, younger], Some("APP-1"), 5), Ok(()), "then by name");
    }

    #[test]
    fn a_suspended_record_does_not_count() {
        let mut record = record("a", "APP-1", &["acme"]);
        record.spec.suspended = true;
        assert_eq!(says(&[record], Some("APP-1"), 0), Err(NotRegistered::Suspended));
    }

    #[test]
    fn a_record_that_is_fetched_counts_only_while_it_is_verified() {
        let known = |until| says(&[fetched(until)], Some("APP-1"), 100);
        assert_eq!(known(Some(101)), Ok(()));
        assert_eq!(known(Some(100)), Err(NotRegistered::Unverified));
        assert_eq!(known(None), Err(NotRegistered::Unverified));
        assert_eq!(counts_until(&fetched(Some(101))), Some(at(101)));
        let mut by_hand = fetched(Some(100));
        by_hand.metadata.labels = None;
        assert_eq!(says(&[by_hand], Some("APP-1"), 100), Ok(()));
    }

    #[test]
    fn a_denial_begins_with_the_words_of_the_contract_and_goes_on_with_the_record_and_what_to_do() {
        for cause in NotRegistered::ALL {
            let denial = cause.denial("acme", Some("APP-1"));
            assert_eq!(denial.code, Code::SorRegistrationRequired);
            assert!(
                denial
                    .message
                    .starts_with("Enterprise EPR registration is required before requesting quarantine. "),
                "{}",
                denial.message
            );
            assert!(denial.message.contains("APP-1") || cause == NotRegistered::Missing);
            assert!(denial.message.ends_with(HOW_TO_REGISTER), "{}", denial.message);
            assert!(denial.message.chars().count() <= crate::conditions::MAX_MESSAGE);
            let causes: Vec<_> = denial
                .causes
                .iter()
                .map(|cause| (cause.reason, &*cause.message))
                .collect();
            assert_eq!(causes, [("Tenant", "acme"), ("SorRecord", "APP-1")]);
        }
        let nameless = NotRegistered::Missing.denial("acme", None);
        assert_eq!(nameless.causes[1].field, "spec.sorRecordId");
    }

    #[test]
    fn an_id_that_the_schema_never_saw_is_cut() {
        let denial = NotRegistered::Unknown.denial("acme", Some(&"x".repeat(10_000)));
        assert!(denial.message.chars().count() <= crate::conditions::MAX_MESSAGE);
    }
}
