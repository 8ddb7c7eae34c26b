//! Told to a real intake with a real store: whatever order, repetition, crash or outage, each event is stored once, and how
//! every object stands is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use futures::{FutureExt, StreamExt};
use imagefactory_core::audit::{Audited, Teller};
use imagefactory_crds::audit::{DELETED, EventKind, spec_hash};
use imagefactory_crds::{Build, Project};
use imagefactory_serving::audit::{Address, Intake};
use imagefactory_serving::connections::{self, Closing, Limits, Wire};
use imagefactory_serving::tls::{self, Files, Served};
use imagefactory_store::{Entry, Outcome};
use jiff::Timestamp;
use kube::runtime::watcher::Event;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::unconstrained;
use tokio_util::sync::CancellationToken;

use super::sights::{self, Sight};
use super::{Auditor, Telling};
use crate::audit::tests::World;
use crate::testing::{object, project};
use crate::watches::{Guarded, Hub, Hubs, Watched, trim};

const USER: &str = "system:serviceaccount:image-factory-system:operator";
/// A build's way. What it refuses is not on it.
const WAY: [&str; 6] = ["Queued", "Preparing", "Building", "Scanning", "Publishing", "Succeeded"];

/// What the way to the intake does with a request.
const WELL: u8 = 0;
const REFUSES: u8 = 1;

struct Harness {
    world: World,
    hubs: Hubs,
    way: Arc<AtomicU8>,
    address: Address,
    auditor: Auditor,
    shown: Telling,
    sights: futures::stream::BoxStream<'static, Sight>,
    _folder: tempfile::TempDir,
}

impl Harness {
    async fn new() -> Self {
        let world = World::open().await;
        let way = Arc::new(AtomicU8::new(WELL));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = hindered(world.app.clone(), way.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let folder = tempfile::tempdir().unwrap();
        let address = Address {
            url: url.parse().unwrap(),
            token: token(folder.path()),
            authorities: watch::channel(String::new()).1,
        };
        let (hubs, shown) = (Hubs::default(), Telling::default());
        Self {
            sights: sights::changes(&hubs),
            auditor: auditor(&address, &shown),
            world,
            hubs,
            way,
            address,
            shown,
            _folder: folder,
        }
    }

    /// The process dies, and another begins with what the API server has.
    fn crash(&mut self) {
        self.sights = sights::changes(&self.hubs);
        self.auditor = auditor(&self.address, &self.shown);
    }

    /// Takes in all that was heard of, and then does so many steps.
    async fn work(&mut self, steps: usize) {
        // Unconstrained: a task may else take so many at a time, and has to come again.
        while let Some(Some(sight)) = unconstrained(self.sights.next()).now_or_never() {
            self.auditor.see(&sight);
        }
        for _ in 0..steps {
            self.auditor.step(&self.hubs).await;
        }
    }

    /// Until there is nothing to tell, with all objects asked about once more.
    async fn settle(&mut self) {
        self.way.store(WELL, Ordering::SeqCst);
        self.work(0).await;
        self.empty().await;
        // Begins to ask about all objects.
        self.auditor.step(&self.hubs).await;
        self.empty().await;
    }

    async fn empty(&mut self) {
        for _ in 0..200 {
            if self.auditor.backlog.len() + self.auditor.review.len() == 0 {
                return;
            }
            self.auditor.step(&self.hubs).await;
        }
        panic!("there is no end to what is told");
    }

    async fn ids(&self) -> Vec<String> {
        let stored = self.world.stored().await;
        stored.into_iter().map(|entry| entry.event.id).collect()
    }
}

fn auditor(address: &Address, shown: &Telling) -> Auditor {
    Auditor::new(
        Intake::new(address.clone()),
        USER.to_owned(),
        shown.clone(),
        Timestamp::now,
    )
}

fn token(folder: &std::path::Path) -> std::path::PathBuf {
    let path = folder.join("token");
    std::fs::write(&path, "operator").unwrap();
    path
}

fn hindered(app: Router, way: Arc<AtomicU8>) -> Router {
    app.layer(middleware::from_fn(move |request: Request<Body>, next: Next| {
        let way = way.load(Ordering::SeqCst);
        async move {
            let broken = || StatusCode::SERVICE_UNAVAILABLE.into_response();
            match way {
                WELL => next.run(request).await,
                REFUSES => broken(),
                // The answer is lost.
                _ => {
                    let _: Response = next.run(request).await;
                    broken()
                }
            }
        }
    }))
}

/// A build so far on its way.
fn build(number: usize, at: usize) -> Build {
    let phase = WAY[at];
    let succeeded = if phase == "Succeeded" { "True" } else { "Unknown" };
    let time = |second: usize| Timestamp::from_second(1_767_225_600 + second as i64).unwrap();
    let mut build = object(json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build",
        "metadata": {"name": format!("b{number}"), "namespace": "tenant-acme", "uid": format!("uid-{number}"),
            "resourceVersion": format!("{at}"), "generation": 1},
        "spec": {"projectRef": {"name": "web"}},
        "status": {"observedGeneration": 1, "phase": phase, "phaseTime": time(at), "startTime": time(1), "conditions": [{
            "type": "Succeeded", "status": succeeded, "reason": phase, "message": "",
            "lastTransitionTime": time(if phase == "Succeeded" { at } else { 0 }),
        }]},
    }));
    trim::build(&mut build);
    build
}

fn id(number: usize, at: usize) -> String {
    build(number, at).event_id().unwrap()
}

fn show<K: Watched>(hub: &Hub<K>, object: K) {
    hub.take(Event::Apply(Guarded(Ok(object))));
}

fn list<K: Watched>(hub: &Hub<K>, objects: Vec<K>) {
    hub.take(Event::Init);
    for object in objects {
        hub.take(Event::InitApply(Guarded(Ok(object))));
    }
    hub.take(Event::InitDone);
}

#[tokio::test]
async fn every_phase_is_stored_once_and_a_new_leader_adds_nothing() {
    let mut harness = Harness::new().await;
    for at in 0..WAY.len() {
        show(&harness.hubs.builds, build(1, at));
        show(&harness.hubs.builds, build(1, at));
    }
    harness.work(1).await;
    let expected: Vec<_> = (0..WAY.len()).map(|at| id(1, at)).collect();
    assert_eq!(harness.ids().await, expected);
    for _ in 0..3 {
        harness.crash();
        harness.settle().await;
    }
    assert_eq!(harness.ids().await, expected);
    assert!(
        harness
            .world
            .stored()
            .await
            .iter()
            .all(|entry| entry.event.actor.user == USER && entry.outcome == Outcome::Happened)
    );
}

#[tokio::test]
async fn ten_thousand_settled_builds_are_asked_about_and_not_told_again() {
    let mut harness = Harness::new().await;
    let builds = (0..10_000).map(|number| build(number, WAY.len() - 1)).collect();
    list(&harness.hubs.builds, builds);
    harness.crash();
    harness.settle().await;
    assert_eq!(harness.shown.count("told"), 10_000, "nobody had told them");
    harness.crash();
    harness.settle().await;
    assert_eq!(harness.shown.count("told"), 10_000, "nothing is told twice");
}

#[tokio::test]
async fn more_than_finds_room_is_told_when_there_is_room_again() {
    let mut harness = Harness::new().await;
    harness.way.store(REFUSES, Ordering::SeqCst);
    let most = super::backlog::MOST + 300;
    for number in 0..most {
        show(&harness.hubs.builds, build(number, 0));
    }
    harness.work(2).await;
    assert_eq!(harness.auditor.backlog.len(), super::backlog::MOST);
    assert!(harness.shown.unreached() > 0.0 && harness.shown.count("deferred") == 300);
    harness.settle().await;
    assert_eq!(harness.shown.count("told"), most as u64);
    assert!(harness.shown.unreached() == 0.0);
}

#[tokio::test]
async fn what_was_attempted_is_confirmed_by_what_is_seen_and_by_what_is_gone() {
    let mut harness = Harness::new().await;
    let mut web: Project = object(project("web", 1));
    show(&harness.hubs.projects, web.clone());
    harness.settle().await;
    web.spec.archived = true;
    web.metadata.generation = Some(2);
    let attempt = |id: &str, before: String, after: String| {
        let mut event = web
            .event(Teller {
                user: "olga",
                now: Timestamp::now(),
            })
            .unwrap();
        (event.id, event.kind) = (id.to_owned(), EventKind::Attempt);
        (event.before_hash, event.after_hash) = (before, after);
        event
    };
    let was = spec_hash(&object::<Project>(project("web", 1)).spec);
    let archive = attempt("a", was, spec_hash(&web.spec));
    let delete = attempt("d", spec_hash(&web.spec), DELETED.to_owned());
    let intake = Intake::new(harness.address.clone());
    intake
        .deliver(&[archive, delete], Duration::from_secs(5))
        .await
        .unwrap();
    show(&harness.hubs.projects, web.clone());
    harness.settle().await;
    let outcome = |stored: &[Entry], id: &str| {
        let entry = stored.iter().find(|entry| entry.event.id == id);
        entry.map(|entry| entry.outcome)
    };
    let stored = harness.world.stored().await;
    assert_eq!(
        (outcome(&stored, "a"), outcome(&stored, "d")),
        (Some(Outcome::Confirmed), Some(Outcome::Pending))
    );
    harness.hubs.projects.take(Event::Delete(Guarded(Ok(web))));
    harness.settle().await;
    let stored = harness.world.stored().await;
    assert_eq!(outcome(&stored, "d"), Some(Outcome::Confirmed));
    assert_eq!(outcome(&stored, "uid-web-gone"), Some(Outcome::Attempted));
}

#[tokio::test]
async fn an_object_that_does_not_parse_any_more_is_not_gone() {
    let mut harness = Harness::new().await;
    show(&harness.hubs.projects, object(project("web", 1)));
    let guard: Guarded<Project> = serde_json::from_value(json!({
        "metadata": project("web", 2)["metadata"], "spec": {"archived": "perhaps"},
    }))
    .unwrap();
    assert!(guard.0.is_err());
    harness.hubs.projects.take(Event::Apply(guard));
    harness.settle().await;
    assert_eq!(harness.ids().await, ["uid-web-seen-1"]);
}

#[tokio::test]
async fn one_event_that_is_never_taken_holds_up_no_other() {
    let mut harness = Harness::new().await;
    let mut impossible = build(1, 0);
    // Nobody but the operator writes it, and a clock can be wrong.
    let status = impossible.status.as_mut().unwrap();
    status.phase_time = Some(serde_json::from_value(json!("1999-01-01T00:00:00Z")).unwrap());
    show(&harness.hubs.builds, build(0, 0));
    show(&harness.hubs.builds, impossible);
    show(&harness.hubs.builds, build(2, 0));
    harness.work(5).await;
    let mut ids = harness.ids().await;
    ids.sort();
    assert_eq!(ids, [id(0, 0), id(2, 0)]);
    assert_eq!(harness.shown.count("refused"), 1);
}

#[derive(Clone, Debug)]
enum Step {
    /// A build goes on.
    On(usize),
    /// A build is told again as it is.
    Again(usize),
    /// The auditor works so much.
    Work(usize),
    /// The process dies.
    Crash,
    /// The way to the intake changes.
    Way(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..4_usize).prop_map(Step::On),
        2 => (0..4_usize).prop_map(Step::Again),
        4 => (0..3_usize).prop_map(Step::Work),
        1 => Just(Step::Crash),
        2 => (any::<u8>()).prop_map(|way| Step::Way(way % 3)),
    ];
    proptest::collection::vec(step, 1..60)
}

/// Does the steps; says how far each build came, and whether anything was lost on the way.
async fn walk(harness: &mut Harness, steps: &[Step]) -> (BTreeMap<usize, usize>, bool) {
    let (mut at, mut crashed) = (BTreeMap::new(), false);
    for step in steps {
        match step {
            Step::On(number) => {
                let next = at.get(number).map_or(0, |at: &usize| (at + 1).min(WAY.len() - 1));
                at.insert(*number, next);
                show(&harness.hubs.builds, build(*number, next));
            }
            Step::Again(number) => {
                if let Some(at) = at.get(number) {
                    show(&harness.hubs.builds, build(*number, *at));
                }
            }
            Step::Work(steps) => harness.work(*steps).await,
            Step::Crash => {
                crashed = true;
                harness.crash();
            }
            Step::Way(way) => harness.way.store(*way, Ordering::SeqCst),
        }
    }
    harness.settle().await;
    (at, crashed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_order_repetition_crash_and_outage_stores_each_event_once() {
    let handle = tokio::runtime::Handle::current();
    let run = move || {
        let config = Config {
            cases: 32,
            failure_persistence: None,
            ..Config::default()
        };
        let result = TestRunner::new(config).run(&steps(), |steps| {
            handle.block_on(async {
                let mut harness = Harness::new().await;
                let (at, crashed) = walk(&mut harness, &steps).await;
                let mut stored = harness.ids().await;
                stored.sort();
                let all: Vec<_> = at
                    .iter()
                    .flat_map(|(number, at)| (0..=*at).map(|at| id(*number, at)))
                    .collect();
                let mut once = stored.clone();
                once.dedup();
                assert_eq!(stored, once, "each once");
                assert!(stored.iter().all(|id| all.contains(id)), "nothing else");
                for (number, at) in &at {
                    assert!(stored.contains(&id(*number, *at)), "how it stands: {steps:?}");
                }
                if !crashed {
                    let mut all = all;
                    all.sort();
                    assert_eq!(stored, all, "every phase, where no process died");
                }
            });
            Ok(())
        });
        result.unwrap();
    };
    tokio::task::spawn_blocking(run).await.unwrap();
}

/// A certificate for this machine in two files, and the PEM of its authority.
fn certificate(folder: &std::path::Path) -> String {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.join("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    made.cert.pem()
}

#[tokio::test]
async fn the_intake_is_told_over_tls_as_soon_as_its_authority_is_known() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let world = World::open().await;
    let folder = tempfile::tempdir().unwrap();
    let authority = certificate(folder.path());
    let served = Served::default();
    assert!(Files::in_folder(folder.path()).load(&served).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let limits = Limits {
        connections: 8,
        handshake: Duration::from_secs(5),
        head: Duration::from_secs(5),
        idle: Duration::from_secs(60),
    };
    let (stop, config) = (CancellationToken::new(), tls::config(&served).unwrap());
    let server = tokio::spawn(connections::serve(
        listener,
        Wire::tls(config),
        world.app.clone(),
        limits,
        Closing::at(stop.clone()),
    ));
    let (authorities, followed) = watch::channel(String::new());
    let address = Address {
        url: url.parse().unwrap(),
        token: token(folder.path()),
        authorities: followed,
    };
    let (hubs, shown) = (Hubs::default(), Telling::default());
    list(&hubs.builds, vec![build(1, 5)]);
    let end = CancellationToken::new();
    let running = tokio::spawn(auditor(&address, &shown).run(hubs.clone(), end.clone()));
    until(|| shown.unreached() > 0.0).await;
    assert!(world.stored().await.is_empty(), "nobody is told who can't be known");
    authorities.send(authority).unwrap();
    until(|| shown.count("told") == 1).await;
    // Told at the very end too.
    show(&hubs.builds, build(2, 0));
    tokio::time::sleep(Duration::from_millis(50)).await;
    end.cancel();
    running.await.unwrap();
    let stored: Vec<_> = world.stored().await.into_iter().map(|entry| entry.event.id).collect();
    assert_eq!(stored, [id(1, 5), id(2, 0)]);
    stop.cancel();
    server.await.unwrap();
}

async fn until(so: impl Fn() -> bool) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(tokio::time::Instant::now() < patience, "it takes too long");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
