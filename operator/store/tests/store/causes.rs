//! Refusals for want of a registration, counted by what is wrong with the record.

use std::collections::BTreeMap;

use imagefactory_crds::audit::{AuditEvent, EventKind};
use imagefactory_crds::denial::Code;
use imagefactory_crds::sor_record::NotRegistered;
use imagefactory_store::Store;

use crate::on_both;
use crate::support::{Db, denial};

on_both!(
    refusals_are_counted_by_cause_whether_stored_or_folded_and_after_a_restart,
    what_another_process_stored_is_counted_by_cause_too,
    a_message_that_tells_no_cause_is_counted_without_one,
);

fn refused(id: &str, seconds: i64, cause: NotRegistered) -> AuditEvent {
    AuditEvent {
        code: Some(Code::SorRegistrationRequired),
        capability: None,
        message: cause.denial("acme", Some("APP-1 is unknown.")).message,
        ..denial(id, seconds)
    }
}

/// What a flood of one person's is folded by.
fn folding(event: AuditEvent, key: char) -> AuditEvent {
    AuditEvent {
        fold_key: key.to_string().repeat(64),
        ..event
    }
}

fn causes(store: &Store) -> BTreeMap<&'static str, u64> {
    let counts = store.counts();
    counts.iter().fold(BTreeMap::new(), |mut sums, (key, count)| {
        *sums.entry(key.cause).or_default() += count;
        sums
    })
}

async fn refusals_are_counted_by_cause_whether_stored_or_folded_and_after_a_restart(db: Db) {
    let store = db.store().await;
    let flood = |cause, key| move |number: i64| folding(refused(&format!("{key}{number}"), 5, cause), key);
    let mut events: Vec<AuditEvent> = (0..30).map(flood(NotRegistered::Unknown, 'a')).collect();
    events.extend((0..25).map(flood(NotRegistered::Expired, 'b')));
    events.push(denial("other", 5));
    events.push(AuditEvent {
        kind: EventKind::Transition,
        ..refused("lost", 6, NotRegistered::Suspended)
    });
    store.append(events).await.unwrap();
    let expected = BTreeMap::from([("", 1), ("expired", 25), ("suspended", 1), ("unknown", 30)]);
    assert_eq!(causes(&store), expected);
    let counts = store.counts();
    store.close().await;
    let store = db.store().await;
    assert_eq!(store.counts(), counts, "folds are open");
    // The floods become entries.
    db.set_clock(600);
    store
        .append(vec![refused("late", 600, NotRegistered::Expired)])
        .await
        .unwrap();
    assert_eq!(causes(&store)["expired"], 26);
    let counts = store.counts();
    store.close().await;
    assert_eq!(db.store().await.counts(), counts, "folds are entries");
}

async fn what_another_process_stored_is_counted_by_cause_too(db: Db) {
    let stores = [db.store().await, db.store().await];
    // More than are read at a time.
    let many = (0..1100).map(|number| refused(&format!("n{number}"), 1, NotRegistered::Missing));
    let many: Vec<AuditEvent> = many.collect();
    for some in many.chunks(100) {
        stores[0].append(some.to_vec()).await.unwrap();
    }
    stores[1]
        .append(vec![refused("z", 2, NotRegistered::Unverified)])
        .await
        .unwrap();
    assert_eq!(
        causes(&stores[1]),
        BTreeMap::from([("missing", 1100), ("unverified", 1)])
    );
}

async fn a_message_that_tells_no_cause_is_counted_without_one(db: Db) {
    let store = db.store().await;
    let event = AuditEvent {
        message: "Register first.".to_owned(),
        ..refused("a", 1, NotRegistered::Missing)
    };
    store.append(vec![event]).await.unwrap();
    assert_eq!(causes(&store), BTreeMap::from([("", 1)]));
}
