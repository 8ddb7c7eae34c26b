//! Lists: filters, pages, and what became of attempts.

use imagefactory_crds::audit::{AuditEvent, DELETED, EventKind};
use imagefactory_crds::denial::Code;
use imagefactory_store::{Filter, Outcome, Page};
use jiff::{SignedDuration, Timestamp};

use crate::on_both;
use crate::support::{Db, NEW_YEAR, attempt, confirmation, denial};

on_both!(
    filters_take_what_agrees_to_all_of_them,
    pages_follow_each_other_without_gap_or_overlap,
    an_attempt_is_pending_then_confirmed_or_unconfirmed,
    an_attempt_is_confirmed_by_what_a_later_one_found,
    a_deletion_is_confirmed_by_the_object_that_is_gone,
    a_confirmation_names_the_write_or_the_state,
    a_change_that_nobody_attempted_is_shown_as_that,
);

async fn outcomes(db: &Db) -> Vec<(String, Outcome)> {
    db.all()
        .await
        .into_iter()
        .map(|entry| (entry.event.id, entry.outcome))
        .collect()
}

fn named(outcomes: &[(&str, Outcome)]) -> Vec<(String, Outcome)> {
    outcomes
        .iter()
        .map(|(id, outcome)| ((*id).to_owned(), *outcome))
        .collect()
}

async fn filters_take_what_agrees_to_all_of_them(db: Db) {
    let store = db.store().await;
    let other = AuditEvent {
        tenant: Some("globex".to_owned()),
        project: None,
        code: Some(Code::QuotaExceeded),
        actor: imagefactory_crds::audit::Actor {
            user: "alice".to_owned(),
            groups: Vec::new(),
        },
        ..denial("b", 10)
    };
    store
        .append(vec![
            denial("a", 0),
            other,
            attempt("c", 20, ("x", "y")),
            confirmation("d", 21, "y"),
        ])
        .await
        .unwrap();
    for (set, expected) in FILTERS {
        let mut filter = Filter::default();
        set(&mut filter);
        let ids: String = db.list(&filter).await.into_iter().map(|entry| entry.event.id).collect();
        assert_eq!(ids, *expected, "{filter:?}");
    }
}

type Case = (fn(&mut Filter), &'static str);

const FILTERS: &[Case] = &[
    (|filter| (filter.since, filter.until) = (at(10), at(20)), "b"),
    (|filter| filter.actor = text("alice"), "b"),
    (|filter| filter.actor = text("nobody"), ""),
    (|filter| filter.action = text("update"), "dc"),
    (|filter| filter.kind = Some(EventKind::Attempt), "c"),
    (|filter| filter.resource_kind = text("Build"), "ba"),
    (
        |filter| (filter.namespace, filter.name) = (text("tenant-acme"), text("build-a")),
        "a",
    ),
    (|filter| filter.tenant = text("globex"), "b"),
    (
        |filter| (filter.project, filter.kind) = (text("shop"), Some(EventKind::Denial)),
        "a",
    ),
    (|filter| filter.code = Some(Code::QuotaExceeded), "b"),
    (|filter| filter.outcome = Some(Outcome::Denied), "ba"),
    (|filter| filter.outcome = Some(Outcome::Confirmed), "c"),
    (|filter| filter.outcome = Some(Outcome::Pending), ""),
    (|filter| filter.outcome = Some(Outcome::Unconfirmed), ""),
    (|filter| filter.outcome = Some(Outcome::Attempted), "d"),
    (|filter| filter.outcome = Some(Outcome::Unattempted), ""),
    (|_| (), "dcba"),
];

fn at(seconds: i64) -> Option<Timestamp> {
    Timestamp::from_second(NEW_YEAR + seconds).ok()
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

async fn pages_follow_each_other_without_gap_or_overlap(db: Db) {
    let store = db.store().await;
    store
        .append((0..25).map(|number| denial(&format!("n{number}"), number)).collect())
        .await
        .unwrap();
    let reader = db.reader().await;
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = Page {
            before,
            limit: 10,
            now: Timestamp::now(),
            patience: SignedDuration::from_mins(5),
        };
        let entries = reader.list(&Filter::default(), &page).await.unwrap();
        before = entries.last().map(|entry| entry.seq);
        if entries.is_empty() {
            break;
        }
        seen.extend(entries.into_iter().map(|entry| entry.seq));
    }
    assert_eq!(seen, (1..=25).rev().collect::<Vec<_>>());
}

async fn an_attempt_is_pending_then_confirmed_or_unconfirmed(db: Db) {
    let store = db.store().await;
    store
        .append(vec![attempt("a", 0, ("x", "y")), attempt("b", 100, ("x", "z"))])
        .await
        .unwrap();
    db.set_clock(300);
    assert_eq!(
        outcomes(&db).await,
        named(&[("a", Outcome::Pending), ("b", Outcome::Pending)])
    );
    db.set_clock(301);
    assert_eq!(
        outcomes(&db).await,
        named(&[("a", Outcome::Unconfirmed), ("b", Outcome::Pending)])
    );
    // Late, but seen; and of another state that confirms nothing.
    store
        .append(vec![confirmation("c", 350, "z"), confirmation("d", 351, "w")])
        .await
        .unwrap();
    let expected = [
        ("a", Outcome::Unconfirmed),
        ("b", Outcome::Confirmed),
        ("c", Outcome::Attempted),
        ("d", Outcome::Unattempted),
    ];
    assert_eq!(outcomes(&db).await, named(&expected));
}

async fn an_attempt_is_confirmed_by_what_a_later_one_found(db: Db) {
    let store = db.store().await;
    let back = attempt("c", 20, ("z", "x"));
    // Delivered in any order. What an earlier one found confirms nothing: x is what "a" left behind it.
    store
        .append(vec![back, attempt("b", 10, ("y", "z")), attempt("a", 0, ("x", "y"))])
        .await
        .unwrap();
    let expected = [
        ("c", Outcome::Pending),
        ("b", Outcome::Confirmed),
        ("a", Outcome::Confirmed),
    ];
    assert_eq!(outcomes(&db).await, named(&expected));
    // The same name once more, and another object.
    let mut other = confirmation("d", 30, "x");
    other.resource.uid = "another".to_owned();
    store.append(vec![other]).await.unwrap();
    assert_eq!(outcomes(&db).await[0].1, Outcome::Pending);
}

async fn a_deletion_is_confirmed_by_the_object_that_is_gone(db: Db) {
    let store = db.store().await;
    let gone = |event: AuditEvent| AuditEvent {
        action: "delete".to_owned(),
        after_hash: DELETED.to_owned(),
        ..event
    };
    store.append(vec![gone(attempt("a", 0, ("x", "")))]).await.unwrap();
    assert_eq!(outcomes(&db).await[0].1, Outcome::Pending);
    store.append(vec![gone(confirmation("b", 3, ""))]).await.unwrap();
    let expected = [("a", Outcome::Confirmed), ("b", Outcome::Attempted)];
    assert_eq!(outcomes(&db).await, named(&expected));
}

async fn a_confirmation_names_the_write_or_the_state(db: Db) {
    let store = db.store().await;
    let keyed = |event: AuditEvent| AuditEvent {
        write_key: "d".repeat(64),
        after_hash: String::new(),
        ..event
    };
    store
        .append(vec![
            keyed(attempt("a", 0, ("x", "y"))),
            keyed(confirmation("b", 4, "")),
        ])
        .await
        .unwrap();
    let expected = [("a", Outcome::Confirmed), ("b", Outcome::Attempted)];
    assert_eq!(outcomes(&db).await, named(&expected));
}

async fn a_change_that_nobody_attempted_is_shown_as_that(db: Db) {
    let store = db.store().await;
    store.append(vec![confirmation("a", 0, "y")]).await.unwrap();
    assert_eq!(outcomes(&db).await, named(&[("a", Outcome::Unattempted)]));
    // Whoever attempts it later has not made it.
    store.append(vec![attempt("b", 60, ("x", "y"))]).await.unwrap();
    let expected = [("a", Outcome::Unattempted), ("b", Outcome::Pending)];
    assert_eq!(outcomes(&db).await, named(&expected));
}
