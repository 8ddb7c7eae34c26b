//! What a builder says it used is shown with its attempt's end, costs no write of its own, and decides nothing.

use imagefactory_crds::build::{FailureClass, Method, Phase, Usage};
use serde_json::json;

use super::fixtures::{World, done, ended, prepared, pushed, running, waiting};
use super::observed::{ContainerView, PodView};

const USED: &str = "imagefactory: used 1500 ms of CPU, 2048 bytes of memory at most\n";

fn pod(phase: &str, builder: ContainerView, push: ContainerView) -> PodView {
    super::fixtures::pod(phase, vec![done("prepare", &prepared()), builder, push])
}

fn good() -> PodView {
    pod(
        "Succeeded",
        ended("build", 0, "Completed", USED),
        done("push", &pushed('a')),
    )
}

fn used() -> Option<Box<Usage>> {
    Some(Box::new(Usage {
        cpu_seconds: 2,
        peak_memory: 2048,
    }))
}

#[test]
fn what_a_good_build_used_stands_with_the_staged_image_and_stays() {
    let mut world = World::new();
    world.step();
    world.observed.pod = Some(pod("Running", running("build"), waiting("push", "PodInitializing")));
    world.step();
    let push = running("push");
    world.observed.pod = Some(pod("Running", ended("build", 0, "Completed", USED), push));
    let plan = world.plan();
    assert_eq!(plan.status.as_ref(), world.build.status.as_ref(), "no write of its own");
    world.observed.pod = Some(good());
    world.step();
    assert_eq!(
        (world.status().phase, world.status().usage.clone()),
        (Some(Phase::Scanning), used())
    );
    world.build.spec.cancelled = true;
    world.step();
    assert_eq!(
        (world.status().phase, world.status().usage.clone()),
        (Some(Phase::Cancelled), used())
    );
}

#[test]
fn what_a_failed_or_stopped_build_used_is_read_from_the_end_of_its_log() {
    let log = format!("error: it broke\n{USED}");
    for cancelled in [false, true] {
        let mut world = World::new();
        world.step();
        let builder = ended("build", 1, "Error", &log);
        world.observed.pod = Some(pod("Failed", builder, waiting("push", "PodInitializing")));
        world.build.spec.cancelled = cancelled;
        world.step();
        let status = world.status();
        assert_eq!(status.usage, used());
        let failure = status
            .failure
            .as_ref()
            .map(|failure| (failure.class, failure.log.as_deref()));
        let expected = (!cancelled).then_some((FailureClass::Build, Some("error: it broke\n")));
        assert_eq!(failure, expected);
    }
}

#[test]
fn of_a_container_that_was_killed_nothing_is_known() {
    let mut world = World::new();
    world.step();
    let builder = ended("build", 137, "OOMKilled", "");
    world.observed.pod = Some(pod("Failed", builder, waiting("push", "PodInitializing")));
    world.step();
    assert_eq!(
        world.status().failure.as_ref().unwrap().class,
        FailureClass::OutOfMemory
    );
    assert_eq!(world.status().usage, None);
}

#[test]
fn a_program_of_the_tenants_own_is_not_asked() {
    let mut world = World::new();
    world.build.spec.method = Some(Method::Custom);
    let image = format!("docker.io/library/builder@sha256:{}", "a".repeat(64));
    world.build.spec.custom = Some(serde_json::from_value(json!({ "image": image })).unwrap());
    world.step();
    world.observed.pod = Some(good());
    world.step();
    assert_eq!(
        (world.status().phase, world.status().usage.clone()),
        (Some(Phase::Scanning), None)
    );
}
