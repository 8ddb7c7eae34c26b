//! What is delivered, once or again: stored once, one write, folded and counted.

use imagefactory_crds::audit::{AuditEvent, EventKind};
use imagefactory_store::{Appended, CheckError, StoreError};
use serde_json::json;

use crate::on_both;
use crate::support::{Db, attempt, denial, folding};

on_both!(
    an_event_is_stored_once_however_often_it_is_delivered,
    the_same_write_within_ten_seconds_is_one,
    equal_denials_beyond_the_rate_become_one_entry_with_a_count,
    a_fold_keeps_only_what_all_of_it_share,
    windows_that_ended_while_nobody_was_there_are_closed_at_start,
    folded_events_are_forgotten_after_their_time_and_not_before,
    who_asks_is_told_which_ids_are_stored_or_folded,
    counters_are_the_same_after_a_restart,
    a_batch_with_a_bad_event_stores_none_of_it,
    hostile_text_is_kept_as_it_is,
    a_database_of_a_newer_release_still_opens,
);

fn appended(stored: usize, known: usize) -> Appended {
    Appended { stored, known }
}

async fn an_event_is_stored_once_however_often_it_is_delivered(db: Db) {
    let store = db.store().await;
    let batch = vec![denial("a", 0), denial("b", 1), denial("a", 0)];
    assert_eq!(store.append(batch.clone()).await.unwrap(), appended(2, 1));
    assert_eq!(store.append(batch).await.unwrap(), appended(0, 3));
    store.close().await;
    let store = db.store().await;
    let batch = vec![denial("b", 1), denial("c", 2)];
    assert_eq!(store.append(batch).await.unwrap(), appended(1, 1));
    let ids: Vec<_> = db.all().await.into_iter().map(|entry| entry.event.id).collect();
    assert_eq!(ids, ["a", "b", "c"]);
}

async fn the_same_write_within_ten_seconds_is_one(db: Db) {
    let store = db.store().await;
    let write = |id: &str, seconds| AuditEvent {
        write_key: "e".repeat(64),
        ..denial(id, seconds)
    };
    assert_eq!(store.append(vec![write("a", 100)]).await.unwrap(), appended(1, 0));
    // Before it too: the second question may be delivered first.
    assert_eq!(
        store.append(vec![write("b", 110), write("c", 90)]).await.unwrap(),
        appended(0, 2)
    );
    assert_eq!(
        store.append(vec![write("d", 111), write("e", 112)]).await.unwrap(),
        appended(1, 1)
    );
    // What was first refused and is then let in are two things that happened.
    let attempt = AuditEvent {
        write_key: "e".repeat(64),
        ..attempt("f", 100, ("x", "y"))
    };
    assert_eq!(store.append(vec![attempt]).await.unwrap(), appended(1, 0));
    assert_eq!(db.all().await.len(), 3);
}

async fn equal_denials_beyond_the_rate_become_one_entry_with_a_count(db: Db) {
    let store = db.store().await;
    let flood: Vec<_> = (0..100)
        .map(|number| folding(&format!("n{number}"), number % 60))
        .collect();
    for part in flood.chunks(7) {
        store.append(part.to_vec()).await.unwrap();
        // Delivered again at once, folded or not.
        assert_eq!(store.append(part.to_vec()).await.unwrap().stored, 0);
    }
    assert_eq!(db.all().await.len(), 3);
    assert_eq!(denials(&store), 100);
    db.set_clock(61);
    store.append(vec![denial("after", 61)]).await.unwrap();
    let counts: Vec<_> = db.all().await.into_iter().map(|entry| entry.event.count).collect();
    assert_eq!(counts, [1, 1, 1, 97, 1]);
    // Delivered again when its window has become an entry.
    assert_eq!(store.append(flood).await.unwrap(), appended(0, 100));
    assert_eq!(denials(&store), 101);
    db.reader().await.verify(None).await.unwrap().unwrap();
}

async fn a_fold_keeps_only_what_all_of_it_share(db: Db) {
    let store = db.store().await;
    let flood = (0..6)
        .map(|number| folding(&format!("n{number}"), 10 + number))
        .collect();
    store.append(flood).await.unwrap();
    db.set_clock(600);
    store.append(vec![denial("after", 600)]).await.unwrap();
    let entry = db.all().await.remove(3);
    assert_eq!((entry.event.count, entry.event.resource.name.as_str()), (3, ""));
    assert_eq!(entry.event.resource.namespace, "tenant-acme");
    let folded = json!({"folded": {"first": "2026-01-01T00:00:13Z", "last": "2026-01-01T00:00:15Z"}});
    assert_eq!(entry.event.after, Some(folded));
}

async fn windows_that_ended_while_nobody_was_there_are_closed_at_start(db: Db) {
    let store = db.store().await;
    store
        .append((0..8).map(|number| folding(&format!("n{number}"), 5)).collect())
        .await
        .unwrap();
    store.close().await;
    db.set_clock(3000);
    let store = db.store().await;
    assert_eq!(db.all().await.last().unwrap().event.count, 5);
    assert_eq!(denials(&store), 8);
}

async fn folded_events_are_forgotten_after_their_time_and_not_before(db: Db) {
    let flood: Vec<_> = (0..5).map(|number| folding(&format!("n{number}"), 5)).collect();
    let store = db.store().await;
    store.append(flood.clone()).await.unwrap();
    store.close().await;
    for (clock, new) in [(3600, 0), (3700, 2)] {
        db.set_clock(clock);
        let store = db.store().await;
        assert_eq!(store.append(flood.clone()).await.unwrap().stored, new, "{clock}");
        store.close().await;
    }
}

async fn who_asks_is_told_which_ids_are_stored_or_folded(db: Db) {
    let store = db.store().await;
    store
        .append((0..5).map(|number| folding(&format!("n{number}"), 5)).collect())
        .await
        .unwrap();
    let ids: Vec<_> = ["n0", "n4", "none", "'", "\0", "n0"].map(str::to_owned).into();
    let reader = db.reader().await;
    let mut known = reader.known(&ids).await.unwrap();
    known.sort();
    assert_eq!(known, ["n0", "n4"], "an entry, and one that was folded");
    assert!(reader.known(&[]).await.unwrap().is_empty());
}

async fn counters_are_the_same_after_a_restart(db: Db) {
    let store = db.store().await;
    store
        .append((0..20).map(|number| folding(&format!("n{number}"), 5)).collect())
        .await
        .unwrap();
    store
        .append(vec![attempt("a", 1, ("x", "y")), denial("d", 2)])
        .await
        .unwrap();
    let before = store.counts();
    assert_eq!((denials(&store), before.len()), (21, 2));
    store.close().await;
    let store = db.store().await;
    assert_eq!(store.counts(), before);
    db.set_clock(500);
    store.append(vec![denial("e", 500)]).await.unwrap();
    assert_eq!(denials(&store), 22);
}

async fn a_batch_with_a_bad_event_stores_none_of_it(db: Db) {
    let store = db.store().await;
    let with = |change: fn(&mut AuditEvent)| {
        let mut event = denial("bad", 0);
        change(&mut event);
        event
    };
    let bad = [
        (with(|event| event.id = String::new()), CheckError::Id),
        (with(|event| event.id = "a b".to_owned()), CheckError::Id),
        (with(|event| event.id = "a".repeat(65)), CheckError::Id),
        (
            with(|event| event.write_key = "ü".to_owned()),
            CheckError::Key("writeKey"),
        ),
        (with(|event| event.action = String::new()), CheckError::Action),
        (with(|event| event.count = 0), CheckError::Count),
        (with(|event| event.count = u64::MAX), CheckError::Count),
        (with(|event| event.time = jiff::Timestamp::MIN), CheckError::Time),
        (with(|event| event.time = jiff::Timestamp::MAX), CheckError::Time),
    ];
    for (event, expected) in bad {
        match store.append(vec![denial("good", 0), event]).await {
            Err(StoreError::Invalid { index: 1, problem }) => assert_eq!(problem, expected),
            other => panic!("{other:?}"),
        }
    }
    let long = with(|event| event.message = "x".repeat(32 * 1024));
    let error = store.append(vec![long]).await.unwrap_err();
    assert!(error.to_string().contains("bytes as JSON"), "{error}");
    assert!(!error.may_pass());
    assert_eq!(db.all().await, []);
}

async fn hostile_text_is_kept_as_it_is(db: Db) {
    let store = db.store().await;
    let mut event = denial("h", 0);
    event.actor.user = format!("\0'; DROP TABLE audit; --{}", "😈".repeat(2000));
    event.resource.name = "\u{202e}\0".repeat(500);
    event.resource.namespace = "n".repeat(5000);
    event.resource.kind = "\\\"".repeat(400);
    event.after = Some(json!({"\0": ["\u{feff}", 1e300, -0.0, u64::MAX]}));
    store.append(vec![event.clone()]).await.unwrap();
    assert_eq!(store.append(vec![event.clone()]).await.unwrap(), appended(0, 1));
    assert_eq!(db.all().await.remove(0).event, event);
    let filter = imagefactory_store::Filter {
        actor: Some(event.actor.user.clone()),
        ..Default::default()
    };
    assert_eq!(db.list(&filter).await.len(), 1);
    db.reader().await.verify(None).await.unwrap().unwrap();
}

async fn a_database_of_a_newer_release_still_opens(db: Db) {
    db.store().await.close().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) ";
    let values = if db.is_sqlite() {
        "VALUES (99, 'later', TRUE, x'00', 1)"
    } else {
        "VALUES (99, 'later', TRUE, '\\x00', 1)"
    };
    db.sql(&format!("{newer}{values}")).await.unwrap();
    let store = db.store().await;
    assert_eq!(store.append(vec![denial("a", 0)]).await.unwrap(), appended(1, 0));
}

fn denials(store: &imagefactory_store::Store) -> u64 {
    let counts = store.counts();
    let denials = counts.iter().filter(|(key, _)| key.kind == EventKind::Denial.as_str());
    denials.map(|(_, count)| count).sum()
}
