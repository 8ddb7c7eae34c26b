//! Who asked for a build: copied once, and nothing is dispatched for nobody.

use imagefactory_crds::names::ANNOTATION_REQUESTED_BY;

use super::fixtures::{World, at};
use super::plan::{Action, Plan};
use super::validated::REQUESTER_UNKNOWN;

fn world(stamps: bool, stamp: Option<&str>) -> World {
    let mut world = World::new();
    world.settings.stamps_requester = stamps;
    let stamp = stamp.map(|name| (ANNOTATION_REQUESTED_BY.to_owned(), name.to_owned()));
    world.build.metadata.annotations = Some(stamp.into_iter().collect());
    world
}

fn makes_a_pod(plan: &Plan) -> bool {
    plan.actions.iter().any(|action| matches!(action, Action::CreatePod(_)))
}

#[test]
fn where_the_webhook_stamps_nothing_is_dispatched_for_nobody() {
    let too_long = "a".repeat(513);
    for stamp in [None, Some(""), Some(too_long.as_str())] {
        let mut world = world(true, stamp);
        let plan = world.step();
        assert!(!makes_a_pod(&plan) && plan.then.is_empty());
        assert_eq!(world.succeeded_reason(), REQUESTER_UNKNOWN);
    }
}

#[test]
fn an_unentitled_build_of_nobody_carries_the_entitlements_code() {
    let mut world = world(true, None);
    world.settings.onboarding.build = false;
    world.step();
    assert_eq!(world.succeeded_reason(), "tenant_capability_not_entitled");
}

#[test]
fn who_asked_is_copied_with_the_first_status_and_stays() {
    let mut world = world(true, Some("mia"));
    assert!(makes_a_pod(&world.step()));
    assert_eq!(world.status().requested_by.as_deref(), Some("mia"));
    let annotations = world.build.metadata.annotations.as_mut().unwrap();
    annotations.insert(ANNOTATION_REQUESTED_BY.to_owned(), "eve".to_owned());
    world.build.spec.cancelled = true;
    world.step();
    assert_eq!(world.status().requested_by.as_deref(), Some("mia"));
}

#[test]
fn without_the_webhook_nothing_is_read_into_the_stamp_and_builds_run() {
    let mut world = world(false, Some("mallory"));
    assert!(makes_a_pod(&world.step()));
    assert_eq!(world.status().requested_by, None);
}

#[test]
fn what_was_dispatched_before_the_webhook_stamped_goes_on_and_is_tried_again() {
    let mut world = World::dispatched();
    world.settings.stamps_requester = true;
    assert_eq!(world.plan().note, None, "it runs on");
    // The attempt has failed, and the next is due.
    let status = world.build.status.as_mut().unwrap();
    status.next_attempt_at = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(50)));
    world.observed.pod = None;
    assert!(makes_a_pod(&world.plan()));
}

#[test]
fn what_waited_in_the_queue_before_the_webhook_stamped_fails_and_says_what_to_do() {
    let mut world = world(false, None);
    world.tenant.as_mut().unwrap().spec.suspended = true;
    world.step();
    world.settings.stamps_requester = true;
    world.step();
    assert_eq!(world.succeeded_reason(), REQUESTER_UNKNOWN);
    let message = &world.status().conditions[0].message;
    assert!(message.contains("Create a new Build"), "{message}");
}
