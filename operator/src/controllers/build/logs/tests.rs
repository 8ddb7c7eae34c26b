//! Logs cost a good build no write of their own, and no build its end.

use std::sync::Arc;

use imagefactory_core::build::Observed;
use imagefactory_core::build::validated::{Refusal, Validated};
use imagefactory_core::partial::Pod;
use imagefactory_crds::Build;
use imagefactory_crds::build::Phase;
use imagefactory_crds::conditions::{self, ConditionStatus, SUCCEEDED, Statement};
use jiff::Timestamp;
use kube::runtime::watcher::Event;
use serde_json::json;

use super::*;
use crate::testing::{self, object, server};
use crate::watches::Guarded;
use crate::watches::Hubs;

struct World {
    context: Arc<Context>,
    build: Build,
    pod: Pod,
    observed: Observed,
    validated: Result<Validated, Refusal>,
}

impl World {
    /// A build that goes on, with a pod whose container has ended.
    fn new() -> Self {
        let hubs = Hubs::default();
        let context = testing::context(server().0, &hubs);
        let ended = json!({"terminated": {"exitCode": 0, "containerID": "containerd://1"}});
        let pod: Pod = object(json!({
            "metadata": {"name": "hello-build-1", "namespace": "tenant-acme", "uid": "pod", "labels": {
                "imagefactory.dev/tenant": "acme", "imagefactory.dev/project": "web",
                "imagefactory.dev/build": "hello", "imagefactory.dev/build-uid": "b",
                "imagefactory.dev/attempt": "1", "imagefactory.dev/stage": "build",
            }},
            "status": {"phase": "Failed", "containerStatuses": [
                {"name": "push", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": ended},
            ]},
        }));
        hubs.pods.take(Event::Apply(Guarded(Ok(pod.clone()))));
        let build: Build = object(json!({
            "metadata": {"name": "hello", "namespace": "tenant-acme", "uid": "b", "generation": 1},
            "spec": {"projectRef": {"name": "web"}},
            "status": {"observedGeneration": 1, "phase": "Building"},
        }));
        Self {
            context,
            build,
            observed: Observed {
                pod: Some(PodView::of(&pod)),
                ..Observed::default()
            },
            pod,
            validated: Err(Refusal::archived("web")),
        }
    }

    fn complete(&self, status: Option<BuildStatus>) -> Plan {
        let situation = Situation {
            build: &self.build,
            validated: &self.validated,
            observed: &self.observed,
            settings: &self.context.settings,
            slot: imagefactory_core::dispatch::Slot::Granted,
            now: Timestamp::UNIX_EPOCH,
        };
        let plan = Plan {
            status,
            ..Plan::default()
        };
        complete(plan, situation, &self.context)
    }

    fn current(&self) -> BuildStatus {
        self.build.status.clone().unwrap()
    }

    fn ended(&self) -> BuildStatus {
        let mut status = self.current();
        status.phase = Some(Phase::Failed);
        let failed = Statement {
            type_: SUCCEEDED,
            status: ConditionStatus::False,
            reason: "Build".to_owned(),
            message: String::new(),
        };
        conditions::set(&mut status.conditions, &[failed], 1, Timestamp::UNIX_EPOCH);
        status
    }

    fn scanning(&self) -> BuildStatus {
        BuildStatus {
            phase: Some(Phase::Scanning),
            ..self.current()
        }
    }
}

fn names(plan: &Plan) -> Vec<String> {
    let logs = plan.status.as_ref().and_then(|status| status.logs.as_ref());
    logs.into_iter()
        .flat_map(|logs| {
            logs.containers
                .iter()
                .map(|log| format!("{} {}", log.container, log.bytes))
        })
        .collect()
}

#[tokio::test]
async fn the_end_of_a_build_waits_for_its_logs_and_says_both_in_one_write() {
    let world = World::new();
    let held = world.complete(Some(world.ended()));
    assert_eq!((held.status, held.again), (None, Some(HELD)));
    world.context.keeper.keep_now(&world.pod);
    let ends = world.complete(Some(world.ended()));
    assert_eq!(names(&ends), ["push 7"]);
    let logs = ends.status.unwrap().logs.unwrap();
    assert_eq!(logs.location, "memory:///logs/acme/web/b");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_build_does_not_wait_long() {
    let mut world = World::new();
    assert_eq!(world.complete(Some(world.ended())).status, None);
    tokio::time::sleep(Duration::from_secs(6)).await;
    let ends = world.complete(Some(world.ended()));
    assert_eq!(ends.status, Some(world.ended()), "without its logs");
    world.build.status = ends.status;
    assert_eq!(world.complete(None).status, None, "nothing is said that is not so");
    world.context.keeper.keep_now(&world.pod);
    let late = world.complete(None);
    assert_eq!(names(&late), ["push 7"], "one more write when they are kept");
    world.build.status = late.status;
    assert_eq!(world.complete(None).status, None, "and no other");
}

#[tokio::test]
async fn a_stage_does_not_wait_and_takes_along_what_is_kept() {
    let world = World::new();
    assert_eq!(world.complete(Some(world.scanning())).status, Some(world.scanning()));
    world.context.keeper.keep_now(&world.pod);
    assert_eq!(names(&world.complete(Some(world.scanning()))), ["push 7"]);
}

#[tokio::test]
async fn while_a_build_goes_on_a_kept_log_is_no_reason_to_write() {
    let world = World::new();
    world.complete(None);
    world.context.keeper.keep_now(&world.pod);
    assert_eq!(world.complete(None).status, None);
    assert_eq!(world.complete(Some(world.current())).status, Some(world.current()));
}

#[tokio::test]
async fn a_build_that_is_being_deleted_is_left_alone() {
    let mut world = World::new();
    let deleted = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    world.build.metadata.deletion_timestamp = Some(deleted);
    assert_eq!(world.complete(None), Plan::default());
}
