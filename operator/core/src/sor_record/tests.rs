//! Where records stand, when that is written, and when it is looked again.

use imagefactory_crds::conditions::{find, is_true};
use imagefactory_crds::names::LABEL_SOR_SOURCE;
use imagefactory_crds::{SorRecordSpec, sor_record};
use proptest::prelude::*;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

const WINDOW: SignedDuration = SignedDuration::from_secs(100);
const AGE: SignedDuration = SignedDuration::from_secs(400);

fn record(end: Option<i64>) -> SorRecord {
    let spec = SorRecordSpec {
        record_id: "APP-1".into(),
        tenants: vec!["acme".into()],
        expires_at: end.map(|second| Time(at(second))),
        ..SorRecordSpec::default()
    };
    let mut record = SorRecord::new("app-1", spec);
    record.metadata.generation = Some(1);
    record
}

fn fetched() -> SorRecord {
    let mut record = record(None);
    record.metadata.labels = Some([(LABEL_SOR_SOURCE.to_owned(), "http".to_owned())].into());
    record
}

fn situation(record: &SorRecord, now: i64) -> Situation<'_> {
    Situation {
        record,
        elder: None,
        confirmed: None,
        window: WINDOW,
        greatest_age: Some(AGE),
        now: at(now),
    }
}

fn fetched_at<'a>(record: &'a SorRecord, confirmed: i64, now: i64) -> Situation<'a> {
    Situation {
        confirmed: Some(at(confirmed)),
        ..situation(record, now)
    }
}

fn reason(status: &SorRecordStatus) -> &str {
    &find(&status.conditions, "Ready").unwrap().reason
}

/// The record as it is after its status was written and read back.
fn written(record: &SorRecord, status: &SorRecordStatus) -> SorRecord {
    let text = serde_json::to_string(status).unwrap();
    let mut record = record.clone();
    record.status = Some(serde_json::from_str(&text).unwrap());
    record
}

#[test]
fn every_state_is_ready_with_the_state_as_its_reason() {
    let mut record = record(Some(1000));
    for (now, word) in [(0, "Active"), (900, "Expiring"), (1000, "Expired")] {
        let status = status(situation(&record, now)).unwrap();
        assert_eq!(status.lifecycle.map(Lifecycle::as_str), Some(word));
        assert_eq!(reason(&status), word);
        assert!(is_true(&status.conditions, "Ready"), "{word}");
        assert_eq!(status.tenants, Some(1));
    }
    record.spec.suspended = true;
    assert_eq!(reason(&status(situation(&record, 0)).unwrap()), "Suspended");
}

#[test]
fn the_messages_name_the_end_and_what_to_do() {
    let message = |record: &SorRecord, now| {
        let status = status(situation(record, now)).unwrap();
        find(&status.conditions, "Ready").unwrap().message.clone()
    };
    assert!(message(&record(Some(1000)), 950).contains("1970-01-01T00:16:40Z: have it renewed"));
    let mut nobodys = record(None);
    nobodys.spec.tenants.clear();
    assert!(message(&nobodys, 0).contains("It lists no tenant"));
}

#[test]
fn of_two_records_with_one_id_the_younger_is_stalled_and_names_the_other() {
    let record = record(None);
    let doubled = Situation {
        elder: Some("first"),
        ..situation(&record, 0)
    };
    let status = status(doubled).unwrap();
    assert!(is_true(&status.conditions, "Stalled"));
    assert_eq!(reason(&status), DUPLICATE_RECORD);
    assert!(find(&status.conditions, "Ready").unwrap().message.contains("first"));
}

#[test]
fn a_record_that_is_kept_by_hand_is_verified_when_its_spec_is_first_seen() {
    let mut record = record(None);
    let first = status(situation(&record, 10)).unwrap();
    assert_eq!(first.verified_at, Some(Time(at(10))));
    assert_eq!(first.trusted_until, None);
    record = written(&record, &first);
    assert_eq!(status(situation(&record, 5000)), Some(first));
    record.metadata.generation = Some(2);
    let changed = status(situation(&record, 6000)).unwrap();
    assert_eq!(changed.verified_at, Some(Time(at(6000))));
}

#[test]
fn a_record_that_is_fetched_counts_for_the_greatest_age_and_then_no_more() {
    let mut record = fetched();
    let fresh = status(fetched_at(&record, 50, 60)).unwrap();
    assert_eq!(fresh.verified_at, Some(Time(at(50))));
    assert_eq!(fresh.trusted_until, Some(Time(at(450))));
    assert_eq!(reason(&fresh), "Active");
    record = written(&record, &fresh);
    assert_eq!(
        sor_record::check("acme", Some("APP-1"), [&record], at(449)).map(|_| ()),
        Ok(())
    );
    let old = status(situation(&record, 450)).unwrap();
    assert_eq!(reason(&old), NOT_VERIFIED);
    assert!(is_true(&old.conditions, "Reconciling"));
    assert_eq!(
        sor_record::check("acme", Some("APP-1"), [&record], at(450)).map(|_| ()),
        Err(sor_record::NotRegistered::Unverified)
    );
}

#[test]
fn a_record_that_was_never_fetched_by_anybody_who_told_does_not_count() {
    let record = fetched();
    let unknown = status(situation(&record, 0)).unwrap();
    assert_eq!(
        (unknown.verified_at.clone(), unknown.trusted_until.clone()),
        (None, None)
    );
    assert_eq!(reason(&unknown), NOT_VERIFIED);
}

#[test]
fn that_a_record_was_fetched_again_is_written_only_after_a_part_of_the_greatest_age() {
    let mut record = fetched();
    let mut writes = 0;
    for now in (0..4000).step_by(10) {
        let status = status(fetched_at(&record, now, now)).unwrap();
        assert_eq!(reason(&status), "Active", "{now}");
        if record.status.as_ref() != Some(&status) {
            writes += 1;
            record = written(&record, &status);
        }
    }
    assert_eq!(writes, 40, "one in a hundred seconds, of 400 looks");
}

#[test]
fn a_change_of_what_was_fetched_is_verified_at_once() {
    let mut record = fetched();
    record = written(&record, &status(fetched_at(&record, 50, 50)).unwrap());
    record.metadata.generation = Some(2);
    let changed = status(fetched_at(&record, 60, 61)).unwrap();
    assert_eq!(changed.verified_at, Some(Time(at(60))));
}

#[test]
fn where_nothing_is_fetched_any_more_records_stay_trusted_no_longer_than_they_were() {
    let mut record = fetched();
    record = written(&record, &status(fetched_at(&record, 50, 50)).unwrap());
    let off = Situation {
        greatest_age: None,
        ..situation(&record, 60)
    };
    assert_eq!(status(off).unwrap().trusted_until, Some(Time(at(450))));
}

#[test]
fn it_is_looked_again_at_the_very_moment_and_within_a_day() {
    let look = |record: &SorRecord, now| {
        let situation = situation(record, now);
        look_again(situation, &status(situation).unwrap())
    };
    let ending = record(Some(1000));
    assert_eq!(look(&ending, 0), Some(Duration::from_secs(900)));
    assert_eq!(look(&ending, 900), Some(Duration::from_secs(100)));
    assert_eq!(look(&ending, 1000), None);
    assert_eq!(look(&record(None), 0), None);
    assert_eq!(look(&record(Some(1_000_000_000)), 0), Some(Duration::from_secs(86_400)));
    let mut fetched = fetched();
    fetched = written(&fetched, &status(fetched_at(&fetched, 50, 50)).unwrap());
    assert_eq!(look(&fetched, 60), Some(Duration::from_secs(390)));
    assert_eq!(look(&fetched, 450), None, "it is woken when it is fetched again");
}

#[test]
fn of_a_record_that_goes_nothing_is_said() {
    let mut record = record(None);
    record.metadata.deletion_timestamp = Some(Time(at(0)));
    assert_eq!(status(situation(&record, 0)), None);
}

proptest! {
    /// Whoever looks only when he is told to writes each state once, and misses none.
    #[test]
    fn a_record_is_written_once_for_each_state_that_it_goes_through(
        end in 1i64..5_000, window in 0i64..5_000, nanos in 0i32..1_000_000_000,
    ) {
        let mut record = record(Some(end));
        let (mut now, mut states, mut writes) = (Timestamp::new(0, nanos).unwrap(), Vec::new(), 0);
        for _ in 0..10 {
            let situation = Situation { window: SignedDuration::from_secs(window), now, ..situation(&record, 0) };
            let status = status(situation).unwrap();
            let again = look_again(situation, &status);
            states.extend(status.lifecycle);
            if record.status.as_ref() != Some(&status) {
                writes += 1;
                record = written(&record, &status);
            }
            let Some(again) = again else { break };
            prop_assert!(!again.is_zero());
            now += SignedDuration::try_from(again).unwrap();
        }
        prop_assert_eq!(states.last(), Some(&Lifecycle::Expired));
        prop_assert_eq!(writes, states.len());
        prop_assert!(states.len() <= 3);
        prop_assert!(states.is_sorted());
        prop_assert_eq!(states.contains(&Lifecycle::Active), end > window);
    }
}
