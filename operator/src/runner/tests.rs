//! When a reconciler is called, and what becomes of what it returns.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use imagefactory_crds::{Project, Tenant};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::testing::{Server, context, object, project, server};
use crate::watches::Guarded;
use crate::watches::{Hub, Hubs};

#[derive(Debug, thiserror::Error)]
#[error("it went wrong")]
struct Wrong {
    category: &'static str,
    permanent: bool,
}

impl ErrorCategory for Wrong {
    fn category(&self) -> &'static str {
        self.category
    }

    fn is_permanent(&self) -> bool {
        self.permanent
    }
}

type Answers = VecDeque<Result<Outcome, Wrong>>;

/// A controller whose reconciler takes some time and answers as told; after that, that all is well.
struct World {
    hub: Hub<Project>,
    tenants: Hub<Tenant>,
    context: Arc<Context>,
    api: Option<Server>,
    stop: CancellationToken,
    calls: Arc<Mutex<Vec<(String, Duration)>>>,
    ended: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
}

fn world(answers: impl IntoIterator<Item = Result<Outcome, Wrong>>, takes: Duration) -> World {
    wired(answers, takes, |wiring| wiring)
}

fn wired(
    answers: impl IntoIterator<Item = Result<Outcome, Wrong>>,
    takes: Duration,
    change: impl FnOnce(Wiring<Project>) -> Wiring<Project>,
) -> World {
    let (client, api) = server();
    let hubs = Hubs::default();
    let (hub, context) = (hubs.projects.clone(), context(client, &hubs));
    let (calls, ended, stop) = (
        Arc::<Mutex<Vec<_>>>::default(),
        Arc::<Mutex<usize>>::default(),
        CancellationToken::new(),
    );
    let answers = Arc::new(Mutex::new(answers.into_iter().collect::<Answers>()));
    let (began, called, done) = (Instant::now(), calls.clone(), ended.clone());
    let reconcile = move |project: Arc<Project>, _| {
        called.lock().unwrap().push((project.name_any(), began.elapsed()));
        let (answers, done) = (answers.clone(), done.clone());
        async move {
            sleep(takes).await;
            *done.lock().unwrap() += 1;
            answers.lock().unwrap().pop_front().unwrap_or(Ok(Outcome::unchanged()))
        }
    };
    let other = hubs
        .tenants
        .leads_to(|_| Some(ObjectRef::new("a").within("tenant-acme")));
    let wiring = change(Wiring::new("test", &hub).concurrency(2).also_on(other));
    let task = tokio::spawn(run(wiring, context.clone(), stop.clone(), reconcile));
    World {
        hub,
        tenants: hubs.tenants,
        context,
        api: Some(api),
        stop,
        calls,
        ended,
        task,
    }
}

fn good(name: &str, version: u32) -> Guarded<Project> {
    object(project(name, version))
}

fn fill(hub: &Hub<Project>, names: &[&str]) {
    hub.take(Event::Init);
    for name in names {
        hub.take(Event::InitApply(good(name, 1)));
    }
    hub.take(Event::InitDone);
}

impl World {
    fn calls(&self) -> Vec<(String, Duration)> {
        self.calls.lock().unwrap().clone()
    }

    fn count(&self, outcome: &str) -> u64 {
        let text = self.context.metrics.encode().unwrap();
        let line = format!("imagefactory_reconcile_total{{controller=\"test\",outcome=\"{outcome}\"}} ");
        text.lines()
            .find_map(|text| text.strip_prefix(&line))
            .map_or(0, |count| count.parse().unwrap())
    }

    /// Takes every event that is published, and gives their reasons and notes.
    fn events(&mut self) -> Arc<Mutex<Vec<Value>>> {
        let (mut api, events) = (self.api.take().unwrap(), Arc::<Mutex<Vec<Value>>>::default());
        let seen = events.clone();
        tokio::spawn(async move {
            loop {
                let asked = api
                    .expect("POST /apis/events.k8s.io/v1/namespaces/tenant-acme/events")
                    .await;
                seen.lock().unwrap().push(asked.body.clone());
                asked.echo();
            }
        });
        events
    }
}

fn wrong(category: &'static str) -> Result<Outcome, Wrong> {
    Err(Wrong {
        category,
        permanent: false,
    })
}

#[tokio::test(start_paused = true)]
async fn every_object_is_reconciled_once_the_list_is_complete_and_when_it_is_touched() {
    let world = world([], Duration::ZERO);
    world.hub.take(Event::Init);
    world.hub.take(Event::InitApply(good("a", 1)));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.calls(), [], "half a list is nothing to act on");
    fill(&world.hub, &["a", "b"]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.calls().len(), 2);
    world.hub.take(Event::Apply(good("b", 2)));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.calls().last().unwrap().0, "b");
    assert_eq!((world.calls().len(), world.count("unchanged")), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn what_was_written_is_given_time_to_come_back_before_the_object_is_looked_at_again() {
    for (outcome, waits) in [(Outcome::changed(), ECHO), (Outcome::unchanged(), Duration::ZERO)] {
        let takes = Duration::from_millis(20);
        let world = world([Ok(outcome)], takes);
        fill(&world.hub, &["a"]);
        sleep(takes / 2).await;
        world.hub.take(Event::Apply(good("a", 2)));
        sleep(Duration::from_secs(1)).await;
        let calls = world.calls();
        let apart = calls[1].1.saturating_sub(calls[0].1 + takes);
        assert_eq!(calls.len(), 2);
        assert!(
            apart >= waits && apart < waits + Duration::from_millis(10),
            "{outcome:?}: {apart:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_knows_what_he_wrote_is_not_held_up_nor_are_others_whose_turn_it_is() {
    let takes = Duration::from_millis(20);
    let changed = std::iter::repeat_n(Outcome::changed(), 6).map(Ok);
    let world = wired(changed, takes, Wiring::knows_its_writes);
    fill(&world.hub, &["a", "b", "c", "d", "e", "f"]);
    sleep(Duration::from_secs(1)).await;
    let calls = world.calls();
    let last = calls.iter().map(|(_, time)| *time).max().unwrap();
    assert_eq!(calls.len(), 6);
    assert!(last < takes * 3 + Duration::from_millis(10), "two at a time: {calls:?}");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_gone_is_not_reconciled_and_no_error() {
    let world = world([], Duration::ZERO);
    fill(&world.hub, &["a"]);
    sleep(Duration::from_secs(1)).await;
    world.hub.take(Event::Delete(good("a", 2)));
    sleep(Duration::from_secs(1)).await;
    assert_eq!((world.calls().len(), world.count("failed")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_tried_again_after_longer_and_longer() {
    let mut world = world(
        [wrong("Conflict"), wrong("Conflict"), wrong("Conflict")],
        Duration::ZERO,
    );
    let events = world.events();
    fill(&world.hub, &["a"]);
    sleep(Duration::from_secs(3600)).await;
    let times: Vec<_> = world.calls().into_iter().map(|(_, time)| time.as_secs_f64()).collect();
    let waits: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waits.len(), 3, "three failures, then well, then nothing");
    for (wait, longest) in waits.iter().zip([1.0, 2.0, 4.0]) {
        assert!(*wait <= longest + 0.01 && *wait >= longest * 0.74, "{waits:?}");
    }
    assert_eq!((world.count("failed"), world.count("unchanged")), (3, 1));
    let events = events.lock().unwrap();
    assert_eq!(events.len(), 1, "one event for a row of equal failures");
    assert_eq!(
        (&events[0]["reason"], &events[0]["type"]),
        (&json!("Conflict"), &json!("Warning"))
    );
    assert_eq!(events[0]["note"], "reconcile failed: it went wrong");
    assert_eq!(events[0]["regarding"]["uid"], "uid-a");
}

#[tokio::test(start_paused = true)]
async fn what_can_not_get_better_waits_for_a_change() {
    let mut world = world(
        [Err(Wrong {
            category: "Refused",
            permanent: true,
        })],
        Duration::ZERO,
    );
    let _events = world.events();
    fill(&world.hub, &["a"]);
    sleep(Duration::from_secs(7200)).await;
    assert_eq!((world.calls().len(), world.count("refused")), (1, 1));
    world.hub.take(Event::Apply(good("a", 2)));
    sleep(Duration::from_secs(1)).await;
    assert_eq!((world.calls().len(), world.count("unchanged")), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn waiting_is_no_failure_and_looks_again_when_it_said_so() {
    let again = Outcome::waiting().again_after(Duration::from_secs(30));
    let world = world([Ok(again), Ok(Outcome::changed())], Duration::ZERO);
    fill(&world.hub, &["a"]);
    sleep(Duration::from_secs(29)).await;
    assert_eq!(world.calls().len(), 1);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(
        (
            world.calls().len(),
            world.count("waiting"),
            world.count("changed"),
            world.count("failed")
        ),
        (2, 1, 1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_ended_and_tried_again() {
    let mut world = world([], Duration::from_secs(100_000));
    let events = world.events();
    fill(&world.hub, &["a"]);
    sleep(Duration::from_secs(70)).await;
    assert_eq!((world.calls().len(), world.count("failed")), (2, 1));
    assert_eq!(events.lock().unwrap()[0]["reason"], "ReconcileTimedOut");
}

#[tokio::test(start_paused = true)]
async fn a_graceful_stop_lets_what_has_begun_finish_and_begins_nothing() {
    let world = world([], Duration::from_secs(5));
    fill(&world.hub, &["a", "b", "c"]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.calls().len(), 2, "two at a time");
    world.stop.cancel();
    world.task.await.unwrap();
    assert_eq!(
        (*world.ended.lock().unwrap(), world.calls.lock().unwrap().len()),
        (2, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_dropped_counts_what_it_abandoned() {
    let world = world([], Duration::from_secs(5));
    fill(&world.hub, &["a"]);
    sleep(Duration::from_secs(1)).await;
    world.task.abort();
    sleep(Duration::from_secs(60)).await;
    assert_eq!((*world.ended.lock().unwrap(), world.count("abandoned")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn the_user_of_an_object_that_does_not_parse_is_told() {
    let mut world = world([], Duration::ZERO);
    let events = world.events();
    fill(&world.hub, &["a"]);
    let mut broken = project("a", 2);
    broken["metadata"]["generation"] = 2.into();
    broken["spec"]["archived"] = "x".repeat(5000).into();
    world.hub.take(Event::Apply(object(broken)));
    sleep(Duration::from_secs(1)).await;
    let events = events.lock().unwrap();
    assert_eq!((events.len(), &events[0]["reason"]), (1, &json!("Malformed")));
    assert!(events[0]["note"].as_str().unwrap().len() <= 1024);
}

#[tokio::test(start_paused = true)]
async fn another_kind_wakes_the_objects_that_it_leads_to() {
    let world = world([], Duration::ZERO);
    fill(&world.hub, &["a", "b"]);
    sleep(Duration::from_secs(1)).await;
    let tenant = json!({"apiVersion": "imagefactory.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme"}, "spec": {"owners": []}});
    world.tenants.take(Event::Apply(object(tenant)));
    sleep(Duration::from_secs(1)).await;
    assert_eq!((world.calls().len(), world.calls()[2].0.as_str()), (3, "a"));
}
