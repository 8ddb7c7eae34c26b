//! What ended while nobody looked, and what was refused when it was too late.

use imagefactory_crds::build::{FailureClass, Judgement, Phase};
use serde_json::json;

use super::fixtures::{World, at, done, evaluated, failed, job, pod, prepared, published, pushed, seconds};
use super::observed::JobEnd;
use super::plan::Action;

/// Past the timeout of every build here.
const LATE: i64 = 3 * 3600;

fn withdraw(world: &mut World) {
    let withdrawn = json!({"build": false, "changeReason": "T-4"});
    world.tenant.as_mut().unwrap().spec.capabilities = Some(serde_json::from_value(withdrawn).unwrap());
}

fn publish_ends(world: &mut World, end: JobEnd) {
    let container = match end {
        JobEnd::Complete => done("publish", &published('a')),
        JobEnd::Failed { .. } => failed("publish", FailureClass::Publish, "PushFailed"),
    };
    world.observed.publish = Some(job("publish", Some(end), Some(container)));
}

#[test]
fn what_was_published_is_told_although_the_capability_was_withdrawn_meanwhile() {
    let mut world = World::publishing();
    withdraw(&mut world);
    let plan = world.step();
    assert!(plan.actions.is_empty() && plan.status.is_none(), "it goes on: {plan:?}");
    publish_ends(&mut world, JobEnd::Complete);
    world.step();
    assert_eq!(world.status().phase, Some(Phase::Succeeded));
    let output = world.status().output.as_ref().unwrap();
    assert!(output.image.ends_with("/acme/web:hello"), "{output:?}");
    let message = &world.status().conditions[0].message;
    assert!(message.contains("Image build is not enabled"), "{message}");
}

#[test]
fn a_build_whose_publishing_fails_after_it_was_refused_ends_with_the_code() {
    let mut world = World::publishing();
    withdraw(&mut world);
    let (reason, message) = ("BackoffLimitExceeded".to_owned(), String::new());
    publish_ends(&mut world, JobEnd::Failed { reason, message });
    world.step();
    assert_eq!(world.succeeded_reason(), "tenant_capability_not_entitled");
    assert!(world.status().output.is_none());
}

#[test]
fn a_publish_job_that_can_not_start_does_not_hold_a_build_that_was_refused() {
    let mut world = World::publishing();
    world.observed.publish.as_mut().unwrap().created = Some(at(60));
    withdraw(&mut world);
    world.now = at(60) + seconds(300);
    assert!(matches!(world.step().actions.as_slice(), [Action::DeleteJob { .. }]));
    assert_eq!(world.succeeded_reason(), "tenant_capability_not_entitled");
}

#[test]
fn a_pod_that_ended_well_is_no_timeout_however_late_it_is_seen() {
    let mut world = World::dispatched();
    let containers = vec![done("prepare", &prepared()), done("push", &pushed('a'))];
    world.observed.pod = Some(pod("Succeeded", containers));
    world.now = at(LATE);
    world.step();
    assert_eq!(world.status().phase, Some(Phase::Scanning));

    world.observed.scan = Some(job("scan", None, None));
    world.now = at(LATE + 60);
    world.step();
    assert_eq!(
        world.status().phase,
        Some(Phase::Scanning),
        "the scan has a time of its own"
    );
    world.now = at(2 * LATE);
    world.step();
    assert_eq!(world.status().phase, Some(Phase::TimedOut));
}

#[test]
fn a_pod_that_failed_by_itself_is_no_timeout_however_late_it_is_seen() {
    let mut world = World::dispatched();
    let broken = failed("prepare", FailureClass::Source, "CommitNotFound");
    world.observed.pod = Some(pod("Failed", vec![broken]));
    world.now = at(LATE);
    world.step();
    assert_eq!(world.status().failure.as_ref().unwrap().reason, "CommitNotFound");
}

#[test]
fn a_scan_that_ended_well_is_no_timeout_however_late_it_is_seen() {
    let mut world = World::scanning();
    let report = evaluated(&world, Judgement::Pass, true);
    let evaluate = done("evaluate", &report);
    world.observed.scan = Some(job("scan", Some(JobEnd::Complete), Some(evaluate)));
    world.now = at(LATE);

    let told = world.observed.scan.as_mut().unwrap().ended.take();
    let plan = world.step();
    assert!(
        plan.actions.is_empty() && plan.status.is_none(),
        "its job says so soon: {plan:?}"
    );
    world.observed.scan.as_mut().unwrap().ended = told;
    world.step();
    assert_eq!(world.status().phase, Some(Phase::Publishing));
}

#[test]
fn a_scan_that_was_ended_for_its_time_is_a_timeout_and_not_tried_again() {
    let mut world = World::scanning();
    let (reason, message) = ("DeadlineExceeded".to_owned(), String::new());
    let mut ended = job(
        "scan",
        Some(JobEnd::Failed { reason, message }),
        Some(done("scan", &json!({}))),
    );
    ended.pod.as_mut().unwrap().reason = Some("DeadlineExceeded".to_owned());
    world.observed.scan = Some(ended);
    world.now = at(LATE);
    world.step();
    assert_eq!(world.status().phase, Some(Phase::TimedOut));
}

#[test]
fn a_scan_that_is_seen_too_late_and_by_another_policy_is_a_timeout() {
    let mut world = World::scanning();
    let report = evaluated(&world, Judgement::Pass, true);
    world.observed.scan = Some(job("scan", Some(JobEnd::Complete), Some(done("evaluate", &report))));
    world.policies.change("default", |policy| policy.ignore_unfixed = true);
    assert!(
        matches!(world.plan().actions.as_slice(), [Action::DeleteJob { .. }]),
        "it is scanned again"
    );
    world.now = at(LATE);
    let plan = world.step();
    assert!(plan.actions.is_empty(), "{plan:?}");
    assert_eq!(world.status().phase, Some(Phase::TimedOut));
}

#[test]
fn what_was_published_is_told_although_the_pod_that_did_it_is_gone() {
    for withdrawn in [false, true] {
        let mut world = World::publishing();
        let mut gone = job("publish", Some(JobEnd::Complete), None);
        gone.created = Some(at(60));
        world.observed.publish = Some(gone);
        if withdrawn {
            withdraw(&mut world);
        }
        assert!(world.plan().status.is_none(), "the pod's watch may lag");
        world.now = at(60) + seconds(300);
        world.step();
        assert_eq!(world.status().phase, Some(Phase::Succeeded));
        assert!(world.status().output.is_some());
    }
}
