//! Any order and any repetition of deliveries, in any batches and over restarts, gives the same.

use std::collections::{BTreeMap, BTreeSet};

use imagefactory_crds::audit::AuditEvent;
use proptest::prelude::{Just, Strategy, any};
use proptest::test_runner::{Config, TestRunner};

use crate::on_both;
use crate::support::{Db, denial};

on_both!(any_order_and_repetition_of_deliveries_counts_each_event_once);

const MINUTE: i64 = 60;

/// Of which kind an event is: alone, one of a write's, or one of a flood's.
fn event(number: usize, kind: u8, minute: i64) -> AuditEvent {
    let id = format!("n{number}");
    let seconds = minute * MINUTE;
    match kind {
        0 => denial(&id, seconds),
        // One write, asked for again within its ten seconds.
        1 => AuditEvent {
            write_key: format!("w{minute}"),
            ..denial(&id, seconds + number as i64 % 10)
        },
        _ => AuditEvent {
            fold_key: format!("f{}", kind % 2),
            ..denial(&id, seconds + number as i64 % 60)
        },
    }
}

#[derive(Clone, Debug)]
struct Deliveries {
    events: Vec<AuditEvent>,
    /// Which events, one after the other, and whether a batch ends, or the process.
    order: Vec<(usize, u8)>,
}

fn deliveries() -> impl Strategy<Value = Deliveries> {
    proptest::collection::vec((0..5_u8, 0..3_i64), 1..60).prop_flat_map(|kinds| {
        let events: Vec<_> = kinds
            .iter()
            .enumerate()
            .map(|(number, (kind, minute))| event(number, *kind, *minute))
            .collect();
        let again = proptest::collection::vec(0..events.len(), 0..80);
        let all = (0..events.len()).collect::<Vec<_>>();
        (Just(events), again, Just(all)).prop_flat_map(|(events, again, mut all)| {
            all.extend(again);
            let ends = proptest::collection::vec(any::<u8>(), all.len());
            (Just(all).prop_shuffle(), ends).prop_map(move |(all, ends)| Deliveries {
                events: events.clone(),
                order: all.into_iter().zip(ends).collect(),
            })
        })
    })
}

/// How often, by what makes events equal: id, write, or fold and minute.
type Multiset = BTreeMap<String, u64>;

fn key(event: &AuditEvent) -> String {
    if !event.write_key.is_empty() {
        return event.write_key.clone();
    }
    if event.fold_key.is_empty() && !event.id.starts_with("fold-") {
        return event.id.clone();
    }
    format!("flood of minute {}", event.time.as_second() / MINUTE)
}

fn expected(events: &[AuditEvent]) -> Multiset {
    let (mut expected, mut writes) = (Multiset::new(), BTreeSet::new());
    for event in events {
        if event.write_key.is_empty() || writes.insert(event.write_key.clone()) {
            *expected.entry(key(event)).or_default() += 1;
        }
    }
    expected
}

async fn deliver(db: &Db, deliveries: &Deliveries) {
    let mut store = db.store().await;
    let mut batch = Vec::new();
    for (index, end) in &deliveries.order {
        batch.push(deliveries.events[*index].clone());
        if end % 4 == 0 {
            store.append(std::mem::take(&mut batch)).await.unwrap();
        }
        if end % 32 == 0 {
            store.close().await;
            store = db.store().await;
        }
    }
    store.append(batch).await.unwrap();
    let counted: u64 = store.counts().values().sum();
    assert_eq!(counted, expected(&deliveries.events).values().sum::<u64>());
    store.close().await;
}

async fn any_order_and_repetition_of_deliveries_counts_each_event_once(first: Db) {
    let cases = if first.is_sqlite() { 24 } else { 8 };
    let handle = tokio::runtime::Handle::current();
    let is_sqlite = first.is_sqlite();
    let run = move || {
        let config = Config {
            cases,
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new(config)
            .run(&deliveries(), |deliveries| {
                handle.block_on(async {
                    let db = if is_sqlite {
                        Db::sqlite().await
                    } else {
                        Db::postgres().await
                    };
                    deliver(&db, &deliveries).await;
                    // All windows are over: everything is an entry.
                    db.set_clock(3600);
                    db.store().await.close().await;
                    let mut stored = Multiset::new();
                    for entry in db.all().await {
                        *stored.entry(key(&entry.event)).or_default() += entry.event.count;
                    }
                    assert_eq!(stored, expected(&deliveries.events));
                    db.reader().await.verify(None).await.unwrap().unwrap();
                });
                Ok(())
            })
            .unwrap();
    };
    tokio::task::spawn_blocking(run).await.unwrap();
}
