//! What the controller of SorRecords asks of the API server, and when it looks again.

use imagefactory_crds::SorRecordSpec;
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::controllers::tenant::mock::{self, Mock, show};

const RECORD: &str = "/apis/imagefactory.dev/v1alpha1/sorrecords/app-1";

fn record(name: &str, created: i64) -> SorRecord {
    let spec = SorRecordSpec {
        record_id: "APP-1".into(),
        tenants: vec!["acme".into()],
        expires_at: Some(Time(mock::now() + SignedDuration::from_hours(721))),
        ..SorRecordSpec::default()
    };
    let mut record = SorRecord::new(name, spec);
    record.metadata.generation = Some(1);
    record.metadata.creation_timestamp = Some(Time(jiff::Timestamp::from_second(created).unwrap()));
    record
}

#[tokio::test]
async fn a_record_gets_its_lifecycle_once_and_is_looked_at_again_when_it_changes() {
    let server = Mock::default()
        .holds(RECORD, &record("app-1", 0))
        .start(&Hubs::default());
    let an_hour = Duration::from_secs(3600);
    let outcome = reconcile(
        Arc::new(record("app-1", 0)),
        server.context.clone(),
        Confirmed::default(),
    )
    .await;
    assert_eq!(outcome.unwrap(), Outcome::changed().again_after(an_hour));
    assert_eq!(server.status()["lifecycle"], "Active");
    let mut known = record("app-1", 0);
    known.status = serde_json::from_value(server.status()).unwrap();
    let outcome = reconcile(Arc::new(known), server.context.clone(), Confirmed::default()).await;
    assert_eq!(outcome.unwrap(), Outcome::unchanged().again_after(an_hour));
    assert_eq!(server.writes(), [format!("PATCH {RECORD}/status")]);
}

#[tokio::test]
async fn of_two_records_with_one_id_the_younger_says_so_with_an_event() {
    let hubs = Hubs::default();
    show(&hubs.sor_records, record("first", 0));
    show(&hubs.sor_records, record("app-1", 5));
    let server = Mock::default()
        .holds(RECORD, &record("app-1", 5))
        .holds(&RECORD.replace("app-1", "first"), &record("first", 0))
        .start(&hubs);
    reconcile(
        Arc::new(record("app-1", 5)),
        server.context.clone(),
        Confirmed::default(),
    )
    .await
    .unwrap();
    let expected = [
        format!("PATCH {RECORD}/status"),
        "POST /apis/events.k8s.io/v1/namespaces/default/events".to_owned(),
    ];
    assert_eq!(server.writes(), expected);
    assert_eq!(server.status()["conditions"][0]["reason"], "DuplicateRecord");

    reconcile(
        Arc::new(record("first", 0)),
        server.context.clone(),
        Confirmed::default(),
    )
    .await
    .unwrap();
    assert_eq!(server.status()["conditions"][0]["reason"], "Active");
}

#[test]
fn records_of_one_id_wake_each_other() {
    let hubs = Hubs::default();
    let mut other = record("other", 0);
    other.spec.record_id = "APP-2".into();
    for record in [record("a", 0), record("b", 1), other] {
        show(&hubs.sor_records, record);
    }
    let woken = doubles(&record("a", 0), &hubs.sor_records.index());
    assert_eq!(woken, [ObjectRef::new("b")]);
}

#[tokio::test]
async fn a_record_that_was_overtaken_is_looked_at_again() {
    let request = format!("PATCH {RECORD}/status");
    let server = Mock::default().refuses(&request, 409).start(&Hubs::default());
    let outcome = reconcile(
        Arc::new(record("app-1", 0)),
        server.context.clone(),
        Confirmed::default(),
    )
    .await;
    assert_eq!(outcome.unwrap(), Outcome::waiting().again_after(SOON));
}
