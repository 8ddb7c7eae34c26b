//! Several candidates against one API server that keeps one Lease, in simulated time.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Frame;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::client::Body;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::testing::failure;

/// How the API server behaves.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Well,
    Failing,
    Silent,
}

/// An API server that keeps one Lease.
struct Keeper {
    lease: Option<Value>,
    version: u64,
    mood: Mood,
    watchable: bool,
    watchers: Vec<UnboundedSender<Bytes>>,
}

type Shared = Arc<Mutex<Keeper>>;

fn keeper() -> Shared {
    let keeper = Keeper {
        lease: None,
        version: 0,
        mood: Mood::Well,
        watchable: true,
        watchers: Vec::new(),
    };
    Arc::new(Mutex::new(keeper))
}

impl Keeper {
    fn delete(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        self.tell("DELETED", &lease);
    }

    fn store(&mut self, mut lease: Value) -> (u16, Value) {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.tell("MODIFIED", &lease);
        self.lease = Some(lease.clone());
        (200, lease)
    }

    fn tell(&mut self, what: &str, lease: &Value) {
        let event = json!({"type": what, "object": lease}).to_string() + "\n";
        self.watchers
            .retain(|watcher| watcher.send(Bytes::from(event.clone())).is_ok());
    }

    fn answer(&mut self, method: &Method, sent: Value) -> (u16, Value) {
        let version = |lease: &Value| lease["metadata"]["resourceVersion"].clone();
        match (method, &self.lease) {
            (_, _) if self.mood == Mood::Failing => (500, failure(500, "InternalError", "broken")),
            (&Method::GET, Some(lease)) => (200, lease.clone()),
            (&Method::GET, None) | (&Method::PUT, None) => (404, failure(404, "NotFound", "no lease")),
            (&Method::POST, Some(_)) => (409, failure(409, "AlreadyExists", "is there")),
            (&Method::POST, None) => self.store(sent),
            (&Method::PUT, Some(lease)) if version(lease) == version(&sent) => self.store(sent),
            (&Method::PUT, Some(_)) => (409, failure(409, "Conflict", "has changed")),
            _ => (405, failure(405, "MethodNotAllowed", "no")),
        }
    }
}

/// A body that is there, or one that comes piece by piece and never ends.
enum Answer {
    Whole(Option<Bytes>),
    Events(UnboundedReceiver<Bytes>),
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = match &mut *self {
            Self::Whole(whole) => Poll::Ready(whole.take()),
            Self::Events(events) => events.poll_recv(cx),
        };
        piece.map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

async fn serve(keeper: Shared, request: Request<Body>) -> Result<Response<Answer>, tower::BoxError> {
    let watches = request.uri().query().is_some_and(|query| query.contains("watch=true"));
    let method = request.method().clone();
    let sent = serde_json::from_slice(&request.into_body().collect_bytes().await?).unwrap_or_default();
    if keeper.lock().unwrap().mood == Mood::Silent {
        return std::future::pending().await;
    }
    let mut keeper = keeper.lock().unwrap();
    if watches && keeper.watchable {
        let (sender, receiver) = unbounded_channel();
        keeper.watchers.push(sender);
        return Ok(Response::new(Answer::Events(receiver)));
    }
    let (code, body) = if watches {
        (403, failure(403, "Forbidden", "no"))
    } else {
        keeper.answer(&method, sent)
    };
    let body = Answer::Whole(Some(Bytes::from(serde_json::to_vec(&body)?)));
    Ok(Response::builder().status(code).body(body)?)
}

/// A process that stands for election.
struct Candidate {
    leads: watch::Receiver<bool>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Lost>>,
}

impl Candidate {
    fn leads(&self) -> bool {
        *self.leads.borrow()
    }

    /// How long until it leads.
    async fn leads_after(&mut self) -> Duration {
        let began = Instant::now();
        self.leads.wait_for(|leads| *leads).await.unwrap();
        began.elapsed()
    }

    /// Ends without a word.
    fn die(&self) {
        self.task.abort();
    }
}

fn client(keeper: &Shared) -> Client {
    let keeper = keeper.clone();
    let service = tower::service_fn(move |request| serve(keeper.clone(), request));
    Client::new(service, "default")
}

fn election(keeper: &Shared, me: &str) -> Election {
    let api: Api<Lease> = Api::namespaced(client(keeper), "system");
    let timing = Timing::of_lease(Duration::from_secs(15));
    let candidacy = Candidacy {
        name: "factory".to_owned(),
        me: me.to_owned(),
        timing,
    };
    Election::new(api, candidacy, || Timestamp::UNIX_EPOCH)
}

fn candidate(keeper: &Shared, me: &str) -> Candidate {
    stands(election(keeper, me))
}

fn stands(election: Election) -> Candidate {
    let (leads, stop) = (election.leads(), CancellationToken::new());
    Candidate {
        leads,
        task: tokio::spawn(election.run(stop.clone())),
        stop,
    }
}

fn holder(keeper: &Shared) -> Value {
    keeper.lock().unwrap().lease.clone().unwrap()["spec"]["holderIdentity"].clone()
}

fn set(keeper: &Shared, mood: Mood) {
    keeper.lock().unwrap().mood = mood;
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_lone_candidate_leads_at_once_and_goes_on() {
    let keeper = keeper();
    let mut a = candidate(&keeper, "a");
    assert!(a.leads_after().await < SECOND);
    sleep(Duration::from_secs(600)).await;
    assert!(a.leads());
    assert_eq!(holder(&keeper), "a");
    let writes = keeper.lock().unwrap().version;
    assert!((118..=121).contains(&writes), "{writes} writes: one every five seconds");
}

#[tokio::test(start_paused = true)]
async fn of_many_who_come_together_one_leads() {
    let keeper = keeper();
    let all: Vec<_> = ["a", "b", "c", "d"]
        .into_iter()
        .map(|me| candidate(&keeper, me))
        .collect();
    for _ in 0..100 {
        sleep(SECOND).await;
        assert_eq!(all.iter().filter(|candidate| candidate.leads()).count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn who_ends_well_is_followed_at_once() {
    let keeper = keeper();
    let mut a = candidate(&keeper, "a");
    a.leads_after().await;
    let mut b = candidate(&keeper, "b");
    sleep(Duration::from_secs(32)).await;
    assert!(a.leads() && !b.leads());
    a.stop.cancel();
    assert!(b.leads_after().await < Duration::from_millis(500));
    assert_eq!(a.task.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn where_the_lease_can_not_be_watched_it_is_still_read() {
    let keeper = keeper();
    keeper.lock().unwrap().watchable = false;
    let mut a = candidate(&keeper, "a");
    a.leads_after().await;
    let mut b = candidate(&keeper, "b");
    sleep(Duration::from_secs(32)).await;
    a.stop.cancel();
    assert!(b.leads_after().await <= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn who_dies_is_followed_when_the_lease_has_stood_still_and_not_before() {
    let keeper = keeper();
    let mut a = candidate(&keeper, "a");
    a.leads_after().await;
    let mut b = candidate(&keeper, "b");
    sleep(Duration::from_secs(31)).await;
    a.die();
    let waited = b.leads_after().await;
    assert!(
        waited >= Duration::from_secs(14) && waited <= Duration::from_secs(16),
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_time_counts_that_a_lease_stands_still_while_a_candidate_fills_its_caches() {
    let keeper = keeper();
    let mut a = candidate(&keeper, "a");
    a.leads_after().await;
    a.die();
    let mut b = election(&keeper, "b");
    b.look().await;
    sleep(9 * SECOND).await;
    let mut b = stands(b);
    let waited = b.leads_after().await;
    assert!(waited >= 5 * SECOND && waited <= 7 * SECOND, "{waited:?}");

    // One that is renewed meanwhile is another.
    let mut c = election(&keeper, "c");
    c.look().await;
    sleep(40 * SECOND).await;
    let c = stands(c);
    sleep(60 * SECOND).await;
    assert!(b.leads() && !c.leads(), "b goes on");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_starts_anew_under_its_name_leads_at_once() {
    let keeper = keeper();
    let mut a = candidate(&keeper, "a");
    a.leads_after().await;
    a.die();
    assert!(candidate(&keeper, "a").leads_after().await < SECOND);
}

/// The leader can't reach the API server, the other one can. Gives how long each takes.
async fn cut_off(mood: Mood) -> (Result<(), Lost>, Duration, Duration) {
    let (near, far) = (keeper(), keeper());
    let mut a = candidate(&near, "a");
    a.leads_after().await;
    far.lock().unwrap().lease = near.lock().unwrap().lease.clone();
    let mut b = candidate(&far, "b");
    sleep(Duration::from_millis(10)).await;
    let began = Instant::now();
    set(&near, mood);
    let lost = (&mut a.task).await.unwrap();
    assert!(!a.leads());
    let stopped = began.elapsed();
    b.leads_after().await;
    (lost, stopped, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_can_not_renew_ends_before_another_takes_over() {
    for mood in [Mood::Failing, Mood::Silent] {
        let (lost, stopped, followed) = cut_off(mood).await;
        assert_eq!(lost, Err(Lost::NotRenewed));
        assert!(stopped <= Duration::from_secs(10), "{stopped:?}");
        assert!(followed >= stopped + Duration::from_secs(4), "{stopped:?} {followed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_failure_costs_nobody_the_lease() {
    let keeper = keeper();
    let mut a = candidate(&keeper, "a");
    a.leads_after().await;
    sleep(Duration::from_secs(4)).await;
    set(&keeper, Mood::Failing);
    sleep(Duration::from_secs(4)).await;
    set(&keeper, Mood::Well);
    sleep(Duration::from_secs(60)).await;
    assert!(a.leads() && !a.task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_lease_another_holds_ends() {
    let keeper = keeper();
    let mut a = candidate(&keeper, "a");
    a.leads_after().await;
    {
        let mut keeper = keeper.lock().unwrap();
        let mut lease = keeper.lease.clone().unwrap();
        lease["spec"]["holderIdentity"] = "thief".into();
        keeper.store(lease);
    }
    let began = Instant::now();
    assert_eq!((&mut a.task).await.unwrap(), Err(Lost::Taken(Some("thief".to_owned()))));
    assert!(!a.leads() && began.elapsed() <= Duration::from_secs(6));
    assert_eq!(
        holder(&keeper),
        "thief",
        "who lost does not release what is not its own"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_changed_meanwhile_is_released_all_the_same() {
    let keeper = keeper();
    let mut a = candidate(&keeper, "a");
    a.leads_after().await;
    {
        let mut keeper = keeper.lock().unwrap();
        let mut lease = keeper.lease.clone().unwrap();
        lease["metadata"]["annotations"] = json!({"looked-at": "by somebody"});
        keeper.store(lease);
    }
    a.stop.cancel();
    assert_eq!(a.task.await.unwrap(), Ok(()));
    assert_eq!(holder(&keeper), "");
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_ends_leaves_the_lease_alone() {
    let keeper = keeper();
    let mut a = candidate(&keeper, "a");
    a.leads_after().await;
    let b = candidate(&keeper, "b");
    sleep(SECOND).await;
    b.stop.cancel();
    assert_eq!(b.task.await.unwrap(), Ok(()));
    assert_eq!(holder(&keeper), "a");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_deleted_is_made_again_by_who_leads() {
    let keeper = keeper();
    let mut a = candidate(&keeper, "a");
    a.leads_after().await;
    keeper.lock().unwrap().lease = None;
    sleep(Duration::from_secs(10)).await;
    assert!(a.leads());
    assert_eq!(holder(&keeper), "a");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_deleted_makes_nobody_lead_beside_its_holder() {
    let keeper = keeper();
    let mut a = candidate(&keeper, "a");
    a.leads_after().await;
    let mut b = candidate(&keeper, "b");
    sleep(Duration::from_secs(31)).await;
    keeper.lock().unwrap().delete();
    for _ in 0..100 {
        sleep(Duration::from_millis(100)).await;
        assert!(a.leads() && !b.leads());
    }
    assert_eq!(holder(&keeper), "a", "who leads makes it again");

    // Whoever held it is gone as well: then its time has to pass all the same.
    a.die();
    keeper.lock().unwrap().delete();
    let waited = b.leads_after().await;
    assert!(waited >= 14 * SECOND && waited <= 16 * SECOND, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn an_election_whose_loop_does_not_go_round_is_stuck() {
    let keeper = keeper();
    let service = tower::service_fn(move |request| serve(keeper.clone(), request));
    let api: Api<Lease> = Api::namespaced(Client::new(service, "default"), "system");
    let timing = Timing::of_lease(Duration::from_secs(15));
    let candidacy = Candidacy {
        name: "factory".to_owned(),
        me: "a".to_owned(),
        timing,
    };
    let election = Election::new(api, candidacy, || Timestamp::UNIX_EPOCH);
    let stuck = election.stuck();
    assert!(!stuck());
    sleep(Duration::from_secs(16)).await;
    assert!(stuck(), "it was never run");
    let task = tokio::spawn(election.run(CancellationToken::new()));
    sleep(Duration::from_secs(100)).await;
    assert!(!stuck());
    task.abort();
}

/// Writes as a reconcile does that was begun before: whether the API server was asked at all.
async fn writes(client: &Client) -> bool {
    let leases: Api<Lease> = Api::namespaced(client.clone(), "system");
    match leases.create(&PostParams::default(), &Lease::default()).await {
        Ok(_) | Err(kube::Error::Api(_)) => true,
        Err(_) => false,
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_frozen_past_its_lease_writes_nothing_when_it_thaws() {
    let keeper = keeper();
    let election = election(&keeper, "a");
    let (mut leads, fence) = (election.leads(), election.fence());
    let of_leader = fence.clone().around(&client(&keeper));
    assert!(!writes(&of_leader).await, "it does not lead yet");
    let mut a = Box::pin(election.run(CancellationToken::new()));
    // It lives only while it is polled.
    tokio::select! {
        lost = &mut a => panic!("{lost:?}"),
        _ = leads.wait_for(|leads| *leads) => {}
    }
    assert!(writes(&of_leader).await, "it leads");
    let mut b = candidate(&keeper, "b");
    b.leads_after().await;
    let version = keeper.lock().unwrap().version;
    assert!(*leads.borrow(), "it thaws, and thinks that it leads");
    assert!(!writes(&of_leader).await);
    assert_eq!(a.await, Err(Lost::NotRenewed));
    assert_eq!(keeper.lock().unwrap().version, version);
    assert_eq!(holder(&keeper), "b");
}

#[tokio::test(start_paused = true)]
async fn the_fence_is_open_as_long_as_a_leader_renews_and_closed_when_it_leaves() {
    let keeper = keeper();
    let election = election(&keeper, "a");
    let (mut leads, fence, stop) = (election.leads(), election.fence(), CancellationToken::new());
    let task = tokio::spawn(election.run(stop.clone()));
    leads.wait_for(|leads| *leads).await.unwrap();
    for _ in 0..100 {
        sleep(SECOND).await;
        assert!(fence.is_open());
    }
    stop.cancel();
    assert_eq!(task.await.unwrap(), Ok(()));
    assert!(!fence.is_open());
}
