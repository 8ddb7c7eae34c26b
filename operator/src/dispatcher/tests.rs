//! The queue at its edge, with an API server that answers as a scenario says.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use imagefactory_core::build::plan::Situation;
use imagefactory_core::build::{Observed, validate};
use imagefactory_core::dispatch::Slot;
use imagefactory_crds::Build;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::controllers::build::references;
use crate::testing::{Server, context, object, project, server};
use crate::watches::Guarded;
use crate::watches::{Hub, Hubs, Watched};

/// A cluster of one tenant, whose cap is one build, and the process that has just become leader.
struct World {
    context: Arc<Context>,
    hubs: Hubs,
    server: Server,
    wakes: BoxStream<'static, ObjectRef<Build>>,
    stop: CancellationToken,
}

fn apply<K: Watched + DeserializeOwned>(hub: &Hub<K>, value: Value) {
    let _ = hub.take(Event::Apply(Guarded(Ok(object(value)))));
}

fn delete<K: Watched + DeserializeOwned>(hub: &Hub<K>, value: Value) {
    let _ = hub.take(Event::Delete(Guarded(Ok(object(value)))));
}

fn tenant() -> Value {
    json!({
        "metadata": {"name": "acme", "uid": "uid-acme"},
        "spec": {"owners": [{"kind": "User", "name": "olga"}], "quota": {"concurrentBuilds": 1},
                 "capabilities": {"build": true, "changeReason": "T-1"}},
        "status": {"observedGeneration": 1, "namespace": "tenant-acme", "conditions": [
            {"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
    })
}

fn build(name: &str, status: &Value) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "tenant-acme", "uid": format!("uid-{name}"), "generation": 1,
                     "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"projectRef": {"name": "web"}, "source": {"inline": {"files": [{"path": "Dockerfile", "content": "FROM scratch"}]}}},
        "status": status,
    })
}

fn started() -> Value {
    json!({"observedGeneration": 1, "attempts": 1, "startTime": "2026-01-01T00:00:00Z"})
}

fn ended() -> Value {
    let succeeded = json!({"type": "Succeeded", "status": "True", "reason": "Published", "message": "",
                           "lastTransitionTime": "2026-01-01T00:00:00Z"});
    json!({"observedGeneration": 1, "attempts": 1, "startTime": "2026-01-01T00:00:00Z", "conditions": [succeeded]})
}

fn pod(build: &str, phase: &str) -> Value {
    json!({
        "metadata": {"name": format!("{build}-build-1"), "namespace": "tenant-acme", "uid": format!("pod-{build}"), "labels": {
            "imagefactory.dev/tenant": "acme", "imagefactory.dev/build": build,
            "imagefactory.dev/build-uid": format!("uid-{build}"), "imagefactory.dev/stage": "build",
            "imagefactory.dev/attempt": "1"}},
        "status": {"phase": phase},
    })
}

fn list(pods: &[Value]) -> Value {
    json!({"metadata": {"resourceVersion": "9"}, "items": pods})
}

impl World {
    /// Begins with these builds in the stores, while these pods live.
    async fn new(builds: &[Value], live: &[Value]) -> Self {
        let hubs = Hubs::default();
        apply(&hubs.tenants, tenant());
        apply(&hubs.projects, project("web", 1));
        apply(&hubs.policies, json!({"metadata": {"name": "default"}, "spec": {}}));
        for build in builds {
            apply(&hubs.builds, build.clone());
        }
        let (client, mut server) = server();
        let context = context(client, &hubs);
        let wakes = context.dispatcher.wakes();
        let stop = CancellationToken::new();
        tokio::spawn(super::run(context.clone(), hubs.clone(), stop.clone()));
        let asked = server.expect("GET /api/v1/pods").await;
        assert!(
            asked.query.contains("stage%3Dbuild") && !asked.query.contains("resourceVersion"),
            "{}",
            asked.query
        );
        asked.answer(200, &list(live));
        let world = Self {
            context,
            hubs,
            server,
            wakes,
            stop,
        };
        world.settle().await;
        world
    }

    async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    /// A reconcile of this build asks for a slot.
    fn ask(&self, name: &str) -> Slot {
        let build = self
            .context
            .stores
            .builds
            .get(&ObjectRef::new(name).within("tenant-acme"));
        self.ask_of(&build.unwrap())
    }

    /// The same, of a build that it has read before.
    fn ask_of(&self, build: &Build) -> Slot {
        let found = references(build, &self.context);
        let validated = validate(build, found.references(), &self.context.settings);
        let situation = Situation {
            build,
            validated: &validated,
            observed: &Observed::default(),
            slot: Slot::NotYet,
            settings: &self.context.settings,
            now: self.context.now(),
        };
        self.context.dispatcher.ask(&situation, &self.context.stores)
    }

    async fn woken(&mut self) -> String {
        let next = tokio::time::timeout(Duration::from_secs(5), self.wakes.next()).await;
        next.expect("somebody is woken").unwrap().name
    }

    fn running(&self) -> u32 {
        self.context
            .dispatcher
            .counts()
            .iter()
            .map(|(_, _, running)| running)
            .sum()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test]
async fn a_pod_that_no_store_shows_yet_takes_its_slot_when_the_leader_changes() {
    let waiting = build("waits", &Value::Null);
    let mut world = World::new(&[build("runs", &Value::Null), waiting], &[pod("runs", "Running")]).await;
    assert!(matches!(world.ask("waits"), Slot::Waits(_)));
    apply(&world.hubs.pods, pod("runs", "Succeeded"));
    apply(&world.hubs.builds, build("runs", &ended()));
    while world.woken().await != "waits" || world.ask("waits") != Slot::Granted {}
    assert_eq!(world.running(), 1);
}

#[tokio::test]
async fn a_pod_that_only_says_that_it_builds_takes_no_slot() {
    let mut elsewhere = pod("feigned", "Running");
    elsewhere["metadata"]["namespace"] = "shop".into();
    let mut of_another = pod("other", "Running");
    of_another["metadata"]["labels"]["imagefactory.dev/tenant"] = "globex".into();
    let world = World::new(&[build("waits", &Value::Null)], &[elsewhere, of_another]).await;
    assert_eq!(world.ask("waits"), Slot::Granted);
    assert_eq!(world.running(), 1, "its own");
}

#[tokio::test]
async fn a_slot_is_free_when_the_build_has_ended_and_its_pod_does_not_live() {
    let mut world = World::new(&[build("first", &Value::Null), build("second", &Value::Null)], &[]).await;
    let _ = (world.woken().await, world.woken().await);
    let (first, second) = if world.ask("first") == Slot::Granted {
        ("first", "second")
    } else {
        ("second", "first")
    };
    assert!(matches!(world.ask(second), Slot::Waits(_)));
    apply(&world.hubs.pods, pod(first, "Running"));
    apply(&world.hubs.builds, build(first, &started()));
    apply(&world.hubs.builds, build(first, &ended()));
    world.settle().await;
    assert!(matches!(world.ask(second), Slot::Waits(_)), "the pod lives");
    apply(&world.hubs.pods, pod(first, "Failed"));
    world.settle().await;
    assert_eq!(world.ask(second), Slot::Granted);
}

#[tokio::test]
async fn the_slot_of_a_build_that_is_deleted_is_free_once_the_api_server_knows_of_no_pod() {
    let mut world = World::new(&[build("gone", &Value::Null)], &[]).await;
    assert_eq!(world.ask("gone"), Slot::Granted);
    delete(&world.hubs.builds, build("gone", &Value::Null));
    let line = "GET /api/v1/namespaces/tenant-acme/pods";
    world
        .server
        .expect(line)
        .await
        .answer(200, &list(&[pod("gone", "Pending")]));
    world.settle().await;
    assert_eq!(world.running(), 1);
    delete(&world.hubs.pods, pod("gone", "Pending"));
    world.server.expect(line).await.answer(200, &list(&[]));
    world.settle().await;
    assert_eq!(world.running(), 0);
}

#[tokio::test]
async fn the_slot_of_a_build_that_is_deleted_is_not_free_while_a_pass_may_make_its_pod() {
    let mut world = World::new(&[build("gone", &Value::Null)], &[]).await;
    let known = world
        .context
        .stores
        .builds
        .get(&ObjectRef::new("gone").within("tenant-acme"));
    let pass = world.context.dispatcher.pass(&*known.unwrap());
    assert_eq!(world.ask("gone"), Slot::Granted);
    delete(&world.hubs.builds, build("gone", &Value::Null));
    assert!(
        world.server.is_quiet_for(Duration::from_millis(200)).await,
        "it is asked too early"
    );
    drop(pass);
    let line = "GET /api/v1/namespaces/tenant-acme/pods";
    world.server.expect(line).await.answer(200, &list(&[]));
    world.settle().await;
    assert_eq!(world.running(), 0);
}

#[tokio::test]
async fn a_build_that_waits_leaves_the_queue_when_it_is_deleted_or_its_tenant_is_suspended() {
    let builds = ["a", "b", "c"].map(|name| build(name, &Value::Null));
    let world = World::new(&builds, &[]).await;
    let waiting = || world.context.dispatcher.counts()[0].1;
    assert_eq!(waiting(), 2);
    let late = ["a", "b", "c"]
        .into_iter()
        .find(|name| world.ask(name) != Slot::Granted)
        .unwrap();
    delete(&world.hubs.builds, build(late, &Value::Null));
    world.settle().await;
    assert_eq!(waiting(), 1);
    let mut suspended = tenant();
    suspended["spec"]["suspended"] = json!(true);
    apply(&world.hubs.tenants, suspended);
    for name in ["a", "b", "c"].into_iter().filter(|name| *name != late) {
        assert_eq!(world.ask(name), Slot::NotYet);
    }
    assert_eq!(waiting(), 0);
}

#[tokio::test]
async fn nothing_starts_while_it_can_not_be_asked_what_runs() {
    let hubs = Hubs::default();
    let (client, mut server) = server();
    let context = context(client, &hubs);
    let stop = CancellationToken::new();
    tokio::spawn(super::run(context.clone(), hubs.clone(), stop.clone()));
    server
        .expect("GET /api/v1/pods")
        .await
        .fail(503, "ServiceUnavailable", "not now");
    let world = World {
        wakes: context.dispatcher.wakes(),
        context,
        hubs,
        server,
        stop,
    };
    apply(&world.hubs.tenants, tenant());
    apply(&world.hubs.projects, project("web", 1));
    apply(
        &world.hubs.policies,
        json!({"metadata": {"name": "default"}, "spec": {}}),
    );
    apply(&world.hubs.builds, build("early", &Value::Null));
    assert_eq!(world.ask("early"), Slot::NotYet);
}

#[tokio::test]
async fn a_pass_that_outlives_its_build_leaves_nothing_in_the_queue() {
    let mut world = World::new(&[build("runs", &Value::Null)], &[]).await;
    assert_eq!(world.ask("runs"), Slot::Granted);
    apply(&world.hubs.builds, build("waits", &Value::Null));
    let read = world
        .context
        .stores
        .builds
        .get(&ObjectRef::new("waits").within("tenant-acme"))
        .unwrap();
    delete(&world.hubs.builds, build("waits", &Value::Null));
    // Another of its name is another build.
    let mut another = build("waits", &Value::Null);
    another["metadata"]["uid"] = "another".into();
    for put in [false, true] {
        if put {
            apply(&world.hubs.builds, another.clone());
        }
        world.settle().await;
        assert_eq!(world.ask_of(&read), Slot::NotYet, "{put}");
        let counts = world.context.dispatcher.counts();
        assert_eq!(counts, [("acme".to_owned(), 0, 1)], "{put}: nobody waits");
    }
    // Also if there is room, so that it is granted a slot at once.
    apply(&world.hubs.pods, pod("runs", "Succeeded"));
    apply(&world.hubs.builds, build("runs", &ended()));
    world.settle().await;
    assert_eq!(world.ask_of(&read), Slot::NotYet);
    let asking = world.server.expect("GET /api/v1/namespaces/tenant-acme/pods");
    asking.await.answer(200, &list(&[]));
    world.settle().await;
    assert_eq!(world.running(), 0);
}

#[tokio::test]
async fn a_build_that_ends_before_its_pod_is_shown_keeps_its_slot_until_the_api_server_knows_of_none() {
    let mut world = World::new(&[build("ends", &Value::Null), build("waits", &Value::Null)], &[]).await;
    let _ = (world.woken().await, world.woken().await);
    let (ends, waits) = if world.ask("ends") == Slot::Granted {
        ("ends", "waits")
    } else {
        ("waits", "ends")
    };
    // Its pod was made, and the answer was lost; then its user cancelled it.
    let mut cancelled = ended();
    cancelled.as_object_mut().unwrap().remove("startTime");
    cancelled["conditions"][0]["status"] = "False".into();
    apply(&world.hubs.builds, build(ends, &cancelled));
    let line = "GET /api/v1/namespaces/tenant-acme/pods";
    let lives = list(&[pod(ends, "Running")]);
    world.server.expect(line).await.answer(200, &lives);
    world.settle().await;
    assert!(matches!(world.ask(waits), Slot::Waits(_)), "the pod lives");
    apply(&world.hubs.pods, pod(ends, "Running"));
    apply(&world.hubs.pods, pod(ends, "Failed"));
    world.settle().await;
    assert_eq!(world.ask(waits), Slot::Granted);
}
