//! Events on their way to an intake that answers, fails, refuses, comes back, and of a process that is killed.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test says why it ends")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use imagefactory_crds::audit::{AuditEvent, Batch, MAX_EVENT_BYTES};
use imagefactory_webhook::audit::intake::{Address, Intake};
use imagefactory_webhook::audit::recorder::{Delivery, deliverer};
use imagefactory_webhook::audit::spool::Spool;
use imagefactory_webhook::metrics::Metrics;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

fn event(id: &str) -> AuditEvent {
    serde_json::from_value(json!({
        "id": id, "time": "2026-01-01T00:00:00Z", "kind": "attempt", "actor": {"user": "alice"},
        "action": "create", "resource": {"kind": "Build"}, "message": "",
    }))
    .unwrap()
}

/// A denial like all others, of a write of its own.
fn denial(number: usize) -> AuditEvent {
    let mut denial = event(&format!("d{number}"));
    (denial.fold_key, denial.write_key) = ("same".to_owned(), format!("w{number}"));
    denial
}

/// An intake: what it got, by id with how often, the answers that it gives, and events that it does not take.
#[derive(Clone, Default)]
struct Fake {
    got: Arc<Mutex<BTreeMap<String, u32>>>,
    /// What it counts: of each id what came first, as the audit does.
    counted: Arc<Mutex<BTreeMap<String, u64>>>,
    posts: Arc<AtomicU16>,
    answer: Arc<AtomicU16>,
    poison: Arc<Mutex<Option<&'static str>>>,
}

/// The answer of an intake that stores everything and says nothing for too long.
const STORES_IN_SILENCE: u16 = 599;

async fn take(State(fake): State<Fake>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(headers["authorization"], "Bearer secret");
    fake.posts.fetch_add(1, Ordering::Relaxed);
    let answer = fake.answer.load(Ordering::Relaxed);
    let batch: Batch = serde_json::from_slice(&body).unwrap();
    let poison = *fake.poison.lock().unwrap();
    let is_bad = |event: &AuditEvent| {
        Some(event.id.as_str()) == poison || serde_json::to_vec(event).unwrap().len() > MAX_EVENT_BYTES
    };
    if answer < 300 && batch.events.iter().any(is_bad) {
        return StatusCode::BAD_REQUEST;
    }
    if answer < 300 || answer == STORES_IN_SILENCE {
        let (mut got, mut counted) = (fake.got.lock().unwrap(), fake.counted.lock().unwrap());
        for event in batch.events {
            counted.entry(event.id.clone()).or_insert(event.count);
            *got.entry(event.id).or_default() += 1;
        }
    }
    if answer == STORES_IN_SILENCE {
        sleep(Duration::from_secs(5)).await;
    }
    StatusCode::from_u16(answer).unwrap_or(StatusCode::OK)
}

impl Fake {
    async fn listen(&self) -> u16 {
        let app = Router::new()
            .route("/intake/v1/events", post(take))
            .layer(DefaultBodyLimit::disable())
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, app).await });
        port
    }

    fn has(&self, id: &str) -> bool {
        self.got.lock().unwrap().contains_key(id)
    }

    fn counted(&self) -> u64 {
        self.counted.lock().unwrap().values().sum()
    }

    fn refuses(&self, id: Option<&'static str>) {
        *self.poison.lock().unwrap() = id;
    }

    async fn gets(&self, id: &str) {
        let patience = Instant::now() + Duration::from_secs(10);
        while !self.has(id) {
            assert!(Instant::now() < patience, "{id} did not come");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

fn begin(folder: &Path, port: u16, limit: u64) -> (Delivery, JoinHandle<()>, CancellationToken) {
    let token = folder.join("token");
    std::fs::write(&token, "secret").unwrap();
    let intake = Intake::new(Address {
        url: format!("http://127.0.0.1:{port}").parse().unwrap(),
        token,
        authorities: watch::channel(String::new()).1,
    });
    let spool = Spool::open(&folder.join("spool"), limit).unwrap();
    let (delivery, deliverer) = deliverer(spool, intake, Arc::new(Metrics::default()));
    let end = CancellationToken::new();
    let task = tokio::spawn(deliverer.run(end.clone()));
    (delivery, task, end)
}

fn spooled(folder: &Path) -> Vec<String> {
    let mut spool = Spool::open(&folder.join("spool"), 1 << 26).unwrap();
    let mut ids = Vec::new();
    while let Some(oldest) = spool.oldest().unwrap() {
        ids.extend(oldest.events.iter().map(|event| event.id.clone()));
        spool.delivered(&oldest, &[]).unwrap();
    }
    ids
}

#[tokio::test]
async fn an_event_is_with_the_intake_before_it_counts_as_recorded_and_those_that_come_together_go_together() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let (delivery, task, _end) = begin(folder.path(), fake.listen().await, 1 << 20);
    delivery.record(event("first")).await.unwrap();
    assert!(fake.has("first"));
    let many = (0..200).map(|number| {
        let delivery = delivery.clone();
        async move { delivery.record(event(&format!("e{number}"))).await }
    });
    assert!(
        futures::future::join_all(many)
            .await
            .into_iter()
            .all(|done| done.is_ok())
    );
    assert_eq!(fake.got.lock().unwrap().len(), 201);
    assert!(fake.posts.load(Ordering::Relaxed) < 50, "{:?}", fake.posts);
    drop(delivery);
    task.await.unwrap();
    assert_eq!(spooled(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn while_the_intake_fails_events_are_spooled_at_once_and_delivered_in_order_when_it_is_back() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let (delivery, task, _end) = begin(folder.path(), fake.listen().await, 1 << 20);
    fake.answer.store(503, Ordering::Relaxed);
    delivery.record(event("a")).await.unwrap();
    let began = Instant::now();
    delivery.record(event("b")).await.unwrap();
    assert!(
        began.elapsed() < Duration::from_millis(400),
        "nobody waits for an intake that fails"
    );
    assert!(!fake.has("a"));
    fake.answer.store(200, Ordering::Relaxed);
    fake.gets("b").await;
    assert!(fake.has("a"));
    drop(delivery);
    task.await.unwrap();
    assert_eq!(spooled(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_process_left_behind_the_next_one_delivers() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let (delivery, task, end) = begin(folder.path(), 1, 1 << 20);
    delivery.record(event("left")).await.unwrap();
    drop(delivery);
    end.cancel();
    task.await.unwrap();
    let (_delivery, _task, _end) = begin(folder.path(), fake.listen().await, 1 << 20);
    fake.gets("left").await;
}

#[tokio::test]
async fn an_event_that_the_intake_does_not_take_holds_up_no_other_and_stays_on_the_spool() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    fake.refuses(Some("bad"));
    let (delivery, task, _end) = begin(folder.path(), fake.listen().await, 1 << 20);
    let together = ["a", "bad", "b"].map(|id| delivery.record(event(id)));
    let done = futures::future::join_all(together).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    // Nothing is wrong with the intake: what comes next is with it at once.
    delivery.record(event("next")).await.unwrap();
    assert!(fake.has("next"));
    fake.gets("b").await;
    assert!(fake.has("a") && !fake.has("bad"));
    drop(delivery);
    task.await.unwrap();
    assert_eq!(spooled(folder.path()), ["bad"]);
}

#[tokio::test]
async fn a_disk_that_keeps_nothing_apart_is_no_failure_of_the_intake() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    fake.refuses(Some("bad"));
    let (delivery, task, _end) = begin(folder.path(), fake.listen().await, 1 << 20);
    // No file can be begun but the first.
    let taken: Vec<_> = (1..100)
        .map(|number| folder.path().join("spool").join(format!("{number:016x}.log")))
        .collect();
    for path in &taken {
        std::fs::create_dir(path).unwrap();
    }
    let together = ["a", "bad", "b"].map(|id| delivery.record(event(id)));
    let done = futures::future::join_all(together).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    fake.gets("b").await;
    let first = folder.path().join("spool").join(format!("{:016x}.log", 0));
    let patience = Instant::now() + Duration::from_secs(10);
    while first.exists() {
        assert!(Instant::now() < patience, "its room is not given back");
        sleep(Duration::from_millis(20)).await;
    }
    delivery.record(event("next")).await.unwrap();
    assert!(fake.has("next"), "the breaker is closed");
    for path in &taken {
        std::fs::remove_dir(path).unwrap();
    }
    drop(delivery);
    task.await.unwrap();
    assert_eq!(spooled(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn what_an_older_intake_refused_is_delivered_to_the_newer_one_now_and_then_and_by_the_next_process() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    fake.refuses(Some("new1"));
    let port = fake.listen().await;
    let (delivery, task, _end) = begin(folder.path(), port, 1 << 20);
    for id in ["new1", "other"] {
        delivery.record(event(id)).await.unwrap();
    }
    fake.gets("other").await;
    // It is refused alone and put aside meanwhile.
    sleep(Duration::from_millis(500)).await;
    fake.refuses(Some("new2"));
    let posts = fake.posts.load(Ordering::Relaxed);
    sleep(Duration::from_millis(500)).await;
    assert_eq!(fake.posts.load(Ordering::Relaxed), posts, "nobody asks all the time");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(601)).await;
    tokio::time::resume();
    fake.gets("new1").await;

    delivery.record(event("new2")).await.unwrap();
    drop(delivery);
    task.await.unwrap();
    assert!(!fake.has("new2"));
    fake.refuses(None);
    let (_delivery, _task, _end) = begin(folder.path(), port, 1 << 20);
    fake.gets("new2").await;
}

#[tokio::test]
async fn an_event_that_is_too_long_is_refused_alone() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let (delivery, _task, _end) = begin(folder.path(), fake.listen().await, 1 << 20);
    let mut long = event("long");
    long.project = Some("x".repeat(MAX_EVENT_BYTES));
    let together = [event("a"), long.clone(), event("b")].map(|event| delivery.record(event));
    let done = futures::future::join_all(together).await;
    assert_eq!(done.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    fake.gets("a").await;
    fake.gets("b").await;
    delivery.record(event("next")).await.unwrap();
    assert!(fake.has("next"), "the breaker is closed");

    // Also where there is no room on the spool.
    let folder = tempfile::tempdir().unwrap();
    let (delivery, _task, _end) = begin(folder.path(), fake.listen().await, 16);
    let together = [event("c"), long, event("d")].map(|event| delivery.record(event));
    let done = futures::future::join_all(together).await;
    assert_eq!(done.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert!(fake.has("c") && fake.has("d"));
}

#[tokio::test]
async fn a_flood_is_counted_exactly_while_the_intake_stores_and_does_not_answer() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let (delivery, task, _end) = begin(folder.path(), fake.listen().await, 1 << 20);
    let record = async |numbers: std::ops::Range<usize>| {
        let done = futures::future::join_all(numbers.map(|number| delivery.record(denial(number)))).await;
        assert!(done.iter().all(Result::is_ok));
    };
    // Sent, stored, and not answered; those after them go to the spool.
    fake.answer.store(STORES_IN_SILENCE, Ordering::Relaxed);
    record(0..30).await;
    record(30..100).await;
    // Those of before again, as the API server asks more than once.
    record(20..40).await;
    fake.answer.store(200, Ordering::Relaxed);
    drop(delivery);
    task.await.unwrap();
    assert_eq!(spooled(folder.path()), Vec::<String>::new());
    assert_eq!(fake.counted(), 100);
}

#[tokio::test]
async fn with_the_spool_full_and_the_intake_gone_an_event_is_not_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let (delivery, _task, _end) = begin(folder.path(), 1, 2048);
    let full = delivery.clone_full();
    assert!(full(), "less than two of the longest events fit");
    let mut refused = 0;
    for number in 0..20 {
        refused += u32::from(delivery.record(event(&format!("e{number}"))).await.is_err());
    }
    assert!(refused > 0 && refused < 20, "{refused}");
}

const CHILD: &str = "WEBHOOK_TEST_SPOOL";

/// The child: records for as long as it lives, and says which events were.
#[tokio::test]
#[ignore = "started by the test that kills it"]
async fn child() {
    let folder = std::env::var(CHILD).unwrap();
    let (delivery, _task, _end) = begin(Path::new(&folder), 1, 1 << 26);
    let pid = std::process::id();
    let writers = (0..8).map(|writer| {
        let delivery = delivery.clone();
        async move {
            for number in 0u64.. {
                let id = format!("{pid}-{writer}-{number}");
                delivery.record(event(&id)).await.unwrap();
                println!("recorded {id}");
            }
        }
    });
    futures::future::join_all(writers).await;
}

#[test]
fn kill_9_at_any_moment_loses_no_event_that_was_recorded_and_doubles_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorded = BTreeSet::new();
    let kills = std::env::var("IMAGEFACTORY_KILLS").map_or(20, |kills| kills.parse().unwrap());
    for round in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.contains("recorded"));
        assert!(first.is_some(), "the child records");
        std::thread::sleep(Duration::from_millis(3 + 7 * (round % 20)));
        child.kill().unwrap();
        child.wait().unwrap();
        let said = first.into_iter().chain(lines.map_while(Result::ok));
        // The last line may be torn: what was not said in full was not said.
        let whole = said.filter_map(|line| Some(line.split_once("recorded ")?.1.to_owned()));
        recorded.extend(whole.filter(|id| id.matches('-').count() == 2 && !id.ends_with('-')));
    }
    let kept = spooled(folder.path());
    let ids: BTreeSet<&String> = kept.iter().collect();
    assert_eq!(ids.len(), kept.len(), "none is there twice");
    let lost: Vec<&String> = recorded.iter().filter(|id| !ids.contains(id)).collect();
    // A torn last line names a shorter number, which was recorded too: it is no loss that could hide.
    assert_eq!(lost, Vec::<&String>::new(), "of {} recorded", recorded.len());
    assert!(recorded.len() > 100, "{}", recorded.len());
}
