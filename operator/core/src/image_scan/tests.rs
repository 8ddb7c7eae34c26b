//! What becomes of a scan, moment by moment.

use imagefactory_crds::build::{FailureClass, Judgement, QueueLimit};
use imagefactory_crds::image_policy::Mode;
use imagefactory_crds::image_scan::{EvidencePlace, ScanPhase};
use imagefactory_crds::names::ANNOTATION_REQUESTED_BY;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::fixtures::{World, resolved};
use super::{Wish, claim, holding, is_settled, wish};
use crate::build::fixtures::{at, digest, done, failed, job, running};
use crate::build::observed::{Course, JobEnd, JobView, PodView};
use crate::build::plan::Action;
use crate::dispatch::{Amounts, Claim, Slot, Standing};

fn off(world: &mut World) {
    world.of.tenant.as_mut().unwrap().spec.capabilities = None;
}

fn created(actions: &[Action]) -> Vec<String> {
    let name = |action: &Action| match action {
        Action::CreateJob(job) => job.metadata.name.clone(),
        _ => None,
    };
    actions.iter().filter_map(name).collect()
}

/// Fails the attempt that goes on.
fn fail(world: &mut World, class: FailureClass, reason: &str) {
    let ended = Some(JobEnd::Failed {
        reason: "BackoffLimitExceeded".to_owned(),
        message: String::new(),
    });
    world.job = Some(job("image-scan", ended, Some(failed("resolve", class, reason))));
}

#[test]
fn its_start_and_its_digest_are_in_status_before_its_job_exists() {
    let mut world = World::new();
    let pinned = digest('d');
    world.scan.spec.image = format!("registry.example.com/output/acme/web@{pinned}").as_str().into();
    let plan = world.step();
    assert!(plan.actions.is_empty());
    assert_eq!(
        created(&plan.then),
        [format!("image-scan-{}-1", crate::build::fixtures::UID)]
    );
    assert_eq!(world.reason(), ("Preparing", "Preparing"));
    assert_eq!(world.status().digest, Some(pinned));
    assert_eq!(
        claim(world.scan.status.as_ref()),
        Claim::Holds {
            turn: 1,
            is_staged: true
        }
    );
}

#[test]
fn what_was_begun_and_has_no_job_gets_it_again_under_the_same_name() {
    let mut world = World::begun();
    world.job = None;
    let plan = world.plan();
    assert_eq!(
        created(&plan.actions),
        [format!("image-scan-{}-1", crate::build::fixtures::UID)]
    );
    assert_eq!(plan.status, None);
}

#[test]
fn a_tag_is_resolved_once_and_later_attempts_name_the_digest() {
    let mut world = World::begun();
    assert_eq!(world.status().digest, None);
    let mut seen = job("image-scan", None, Some(resolved('a', &[])));
    seen.pod.as_mut().unwrap().containers.push(running("scan"));
    world.job = Some(seen);
    world.step();
    assert_eq!(world.reason(), ("Scanning", "Scanning"));
    assert_eq!(world.status().digest, Some(digest('a')));
    fail(&mut world, FailureClass::Scan, "ScannerFailed");
    world.step();
    world.job = None;
    world.of.now = at(10_000);
    let plan = world.step();
    let [Action::CreateJob(job)] = plan.then.as_slice() else {
        panic!("{plan:?}");
    };
    let text = serde_json::to_string(job).unwrap();
    assert!(job.metadata.name.as_deref().unwrap().ends_with("-2"));
    assert!(text.contains(&digest('a').0) && !text.contains("\\\"tag\\\""), "{text}");
}

#[test]
fn a_good_verdict_ends_well_with_counts_and_evidence() {
    let mut world = World::begun();
    let report = world.evaluated(Judgement::Pass, true);
    world.ends_with(vec![resolved('a', &[])], &report);
    let plan = world.step();
    assert_eq!(world.reason(), ("Succeeded", "Scanned"));
    assert_eq!(plan.note, None);
    let status = world.status();
    assert_eq!(status.evidence, Some(EvidencePlace::Attached));
    assert_eq!(status.digest, Some(digest('a')));
    assert!(status.scan.is_some() && status.completion_time.is_some() && is_settled(Some(status)));
    assert_eq!(status.conditions.len(), 2, "neither Reconciling nor Stalled");
}

#[test]
fn a_bad_verdict_ends_badly_unless_every_policy_that_fails_is_on_trial() {
    let mut world = World::begun();
    let report = world.evaluated(Judgement::Fail, false);
    world.ends_with(vec![resolved('a', &[])], &report);
    assert!(world.step().note.is_some());
    assert_eq!(world.reason(), ("Failed", "PolicyFailed"));
    assert!(world.status().conditions[0].message.contains("2 critical"));

    let mut world = World::new();
    world.of.policies.change("default", |policy| policy.mode = Mode::DryRun);
    world.step();
    let report = world.evaluated(Judgement::Fail, true);
    world.ends_with(vec![resolved('a', &[])], &report);
    world.step();
    assert_eq!(world.reason(), ("Succeeded", "ScannedDryRun"));
}

#[test]
fn unknown_is_no_pass_whatever_made_it_so() {
    let judged = |change: fn(&mut Value)| {
        let mut world = World::begun();
        let mut report = world.evaluated(Judgement::Pass, true);
        change(&mut report["done"]);
        world.ends_with(vec![resolved('a', &[])], &report);
        world.step();
        (
            world.reason().0.to_owned(),
            world.reason().1.to_owned(),
            world.status().verdict.clone().unwrap(),
        )
    };
    let another = |report: &mut Value| report["digest"] = json!(digest('f'));
    let unscanned = |report: &mut Value| report["scan"] = Value::Null;
    let contradicting = |report: &mut Value| report["verdict"]["policies"][0]["result"] = json!("Unknown");
    let unjudged = |report: &mut Value| report["verdict"]["policies"] = json!([]);
    let unattached = |report: &mut Value| drop(report["scan"].as_object_mut().unwrap().remove("referrers"));
    for change in [another, unscanned, contradicting, unjudged, unattached] {
        let (phase, reason, verdict) = judged(change);
        assert_eq!((phase.as_str(), reason.as_str()), ("Failed", "EvidenceUnknown"));
        assert_eq!((verdict.result, verdict.publishable), (Judgement::Unknown, false));
    }
    let mut silent = World::begun();
    let report = silent.evaluated(Judgement::Pass, true);
    silent.ends_with(vec![], &report);
    silent.step();
    assert_eq!(
        silent.reason(),
        ("Failed", "EvidenceUnknown"),
        "nobody said what the image is"
    );
    let mut said = World::begun();
    let report = said.evaluated(Judgement::Unknown, false);
    said.ends_with(vec![resolved('a', &[])], &report);
    said.step();
    assert_eq!(said.reason(), ("Failed", "EvidenceUnknown"));
}

#[test]
fn a_verdict_of_another_digest_than_the_one_that_is_named_counts_for_nothing() {
    let mut world = World::new();
    world.scan.spec.image = format!("registry.example.com/output/acme/web@{}", digest('d'))
        .as_str()
        .into();
    world.step();
    let report = world.evaluated(Judgement::Pass, true);
    world.ends_with(vec![resolved('a', &[])], &report);
    world.step();
    assert_eq!(world.reason(), ("Failed", "EvidenceUnknown"));
    assert_eq!(world.status().digest, Some(digest('d')));
}

#[test]
fn every_image_of_an_index_has_to_be_scanned() {
    let mut world = World::begun();
    let report = world.evaluated(Judgement::Pass, true);
    world.ends_with(
        vec![resolved('a', &[("linux/amd64", 'e'), ("linux/arm64", 'f')])],
        &report,
    );
    world.step();
    assert_eq!(world.reason(), ("Failed", "EvidenceUnknown"));
}

#[test]
fn where_the_platform_may_not_write_the_counts_stand_and_the_message_says_so() {
    let mut world = World::new();
    world.of.tenant.as_mut().unwrap().spec.registries = vec!["quay.io/acme".into()];
    world.scan.spec.image = "quay.io/acme/web:1".into();
    world.step();
    let mut report = world.evaluated(Judgement::Pass, true);
    report["done"]["scan"].as_object_mut().unwrap().remove("referrers");
    world.ends_with(vec![resolved('a', &[])], &report);
    world.step();
    assert_eq!(world.reason(), ("Succeeded", "Scanned"));
    assert_eq!(world.status().evidence, Some(EvidencePlace::CountsOnly));
    assert!(world.status().conditions[0].message.contains("not attached"));
}

#[test]
fn a_policy_that_changed_meanwhile_judges_again() {
    let mut world = World::begun();
    let mut report = world.evaluated(Judgement::Pass, true);
    report["done"]["verdict"]["policies"][0]["hash"] = json!("old");
    world.ends_with(vec![resolved('a', &[])], &report);
    let plan = world.plan();
    assert!(
        matches!(plan.actions.as_slice(), [Action::DeleteJob { .. }]),
        "{plan:?}"
    );
    assert_eq!(plan.status, None);
}

#[test]
fn without_the_capability_nothing_starts_and_the_code_stands_in_the_condition() {
    let mut world = World::new();
    off(&mut world);
    world.of.slot = Slot::NotYet;
    assert_eq!(world.with_situation(wish), Wish::Nothing);
    world.of.slot = Slot::Granted;
    let plan = world.step();
    assert!(plan.actions.is_empty() && plan.then.is_empty(), "{plan:?}");
    assert_eq!(world.reason(), ("Failed", "tenant_capability_not_entitled"));
    assert_eq!(
        world.status().conditions[0].message,
        "On-demand image scanning is not enabled for this tenant. Contact your administrator to request access."
    );
}

#[test]
fn a_scan_whose_capability_is_withdrawn_is_stopped_and_fails_with_the_code() {
    let mut world = World::begun();
    world.job.as_mut().unwrap().pod = Some(PodView {
        has_node: true,
        phase: "Running".to_owned(),
        ..PodView::default()
    });
    off(&mut world);
    let plan = world.step();
    assert!(
        matches!(plan.actions.as_slice(), [Action::EndPod { .. }]),
        "its log stays: {plan:?}"
    );
    assert_eq!(world.reason(), ("Failed", "tenant_capability_not_entitled"));
    assert_eq!(world.status().verdict, None);
}

#[test]
fn a_project_that_turns_scans_off_stops_its_own() {
    let mut world = World::begun();
    let narrowed = serde_json::from_value(json!({"onDemandImageScanning": false})).unwrap();
    world.of.project.as_mut().unwrap().spec.capabilities = Some(narrowed);
    world.step();
    assert_eq!(world.reason(), ("Failed", "tenant_capability_not_entitled"));
}

#[test]
fn an_image_of_another_s_is_never_asked_for() {
    for image in ["registry.example.com/output/other/web:1", "quay.io/acme/web:1", "web:1"] {
        let mut world = World::new();
        world.scan.spec.image = image.into();
        let plan = world.step();
        assert!(plan.actions.is_empty() && plan.then.is_empty(), "{plan:?}");
        assert_eq!(world.reason(), ("Failed", "invalid_object"), "{image}");
    }
}

#[test]
fn a_suspended_tenant_s_scan_waits_and_one_that_runs_goes_on() {
    let mut world = World::new();
    world.of.tenant.as_mut().unwrap().spec.suspended = true;
    assert_eq!(world.with_situation(wish), Wish::Nothing);
    world.step();
    assert_eq!(world.reason(), ("Queued", "TenantSuspended"));
    let mut world = World::begun();
    world.of.tenant.as_mut().unwrap().spec.suspended = true;
    world.step();
    assert_eq!(world.reason(), ("Preparing", "Preparing"));
}

#[test]
fn nothing_new_starts_in_an_archived_project_and_what_runs_finishes() {
    let mut world = World::new();
    world.of.project.as_mut().unwrap().spec.archived = true;
    world.step();
    assert_eq!(world.reason(), ("Failed", "project_archived"));
    let mut world = World::begun();
    world.of.project.as_mut().unwrap().spec.archived = true;
    world.step();
    assert_eq!(world.reason(), ("Preparing", "Preparing"));
}

fn stamped(stamp: Option<&str>) -> World {
    let mut world = World::new();
    world.of.settings.stamps_requester = true;
    let stamp = stamp.map(|name| (ANNOTATION_REQUESTED_BY.to_owned(), name.to_owned()));
    world.scan.metadata.annotations = Some(stamp.into_iter().collect());
    world
}

#[test]
fn where_the_webhook_stamps_who_asked_nothing_is_done_without_it() {
    let too_long = "a".repeat(513);
    for stamp in [None, Some(""), Some(too_long.as_str())] {
        let mut world = stamped(stamp);
        assert_eq!(world.with_situation(wish), Wish::Nothing);
        let plan = world.step();
        assert!(plan.actions.is_empty() && plan.then.is_empty());
        assert_eq!(world.reason(), ("Failed", "RequesterUnknown"));
        let message = &world.status().conditions[0].message;
        assert!(
            message.contains("this scan") && message.contains("a new ImageScan"),
            "{message}"
        );
    }
    let mut world = stamped(Some("mia"));
    world.step();
    assert_eq!(world.status().requested_by.as_deref(), Some("mia"));
}

#[test]
fn an_unentitled_scan_of_nobody_carries_the_entitlements_code() {
    let mut world = stamped(None);
    off(&mut world);
    world.step();
    assert_eq!(world.reason(), ("Failed", "tenant_capability_not_entitled"));
}

#[test]
fn a_scan_that_was_dispatched_before_the_webhook_stamped_goes_on_and_is_tried_again() {
    let mut world = World::begun();
    world.of.settings.stamps_requester = true;
    assert_eq!(world.plan().note, None, "it runs on");
    fail(&mut world, FailureClass::Scan, "ScannerFailed");
    world.step();
    world.job = None;
    world.of.now = world.status().next_attempt_at.as_ref().unwrap().0;
    assert_eq!(created(&world.step().then).len(), 1);
}

#[test]
fn a_cancelled_scan_of_nobody_is_cancelled() {
    let mut world = stamped(None);
    world.scan.spec.cancelled = true;
    world.step();
    assert_eq!(world.reason(), ("Cancelled", "Cancelled"));
}

#[test]
fn what_was_applied_together_is_waited_for_a_moment() {
    let mut world = World::new();
    world.of.project = None;
    world.of.now = at(5);
    world.step();
    assert_eq!(world.reason(), ("Queued", "ProjectNotFound"));
    world.of.now = at(11);
    world.step();
    assert_eq!(world.reason(), ("Failed", "Source"));
}

#[test]
fn a_scan_waits_for_its_slot_like_a_build_and_takes_nothing_of_the_quota() {
    let mut world = World::new();
    world.of.slot = Slot::Waits(Standing {
        limit: QueueLimit::TenantLimit,
        position: 3,
        tenants_ahead: 0,
    });
    let Wish::Slot(application) = world.with_situation(wish) else {
        panic!("it wants a slot");
    };
    assert_eq!(application.demand, Amounts::default());
    world.step();
    assert_eq!(world.reason(), ("Queued", "TenantLimit"));
    assert_eq!(world.status().queue.as_ref().unwrap().position, 3);
    assert_eq!(world.plan().status, None, "said once");
    assert_eq!(holding(&world.scan), None);
    assert!(holding(&World::begun().scan).is_some());
}

#[test]
fn cancelling_ends_it_wherever_it_is() {
    let mut world = World::new();
    world.scan.spec.cancelled = true;
    world.step();
    assert_eq!(world.reason(), ("Cancelled", "Cancelled"));
    let mut world = World::begun();
    world.scan.spec.cancelled = true;
    let plan = world.step();
    assert_eq!(plan.actions.len(), 1);
    assert_eq!(world.reason(), ("Cancelled", "Cancelled"));
}

#[test]
fn a_scan_that_is_deleted_and_held_by_a_strangers_finalizer_is_ended() {
    for mut world in [World::new(), World::begun()] {
        world.scan.metadata.deletion_timestamp = Some(Time(at(90)));
        assert!(!matches!(world.with_situation(wish), Wish::Slot(_)));
        world.step();
        assert_eq!(world.reason(), ("Cancelled", "Cancelled"));
        assert_eq!(holding(&world.scan), None);
    }
}

#[test]
fn a_job_that_is_to_be_ended_is_asked_for_its_pod_and_ended_by_it_where_it_has_begun() {
    let (runs, cancelled, settled) = ((false, false), (false, true), (true, false));
    let course = |(settled, cancelled)| Course { settled, cancelled };
    let mut lagging = job("image-scan", None, None);
    assert!(!lagging.asks_for_pod(course(runs)));
    assert!(lagging.asks_for_pod(course(cancelled)) && lagging.asks_for_pod(course(settled)));
    let mut pod = PodView {
        name: "p".to_owned(),
        uid: "of-p".to_owned(),
        ..PodView::default()
    };
    lagging.pod = Some(pod.clone());
    assert!(lagging.asks_for_pod(course(cancelled)), "it may have a node by now");
    pod.has_node = true;
    let mut world = World::begun();
    world.scan.spec.cancelled = true;
    world.job = Some(JobView {
        pod: Some(pod),
        ..lagging
    });
    assert!(
        !world.job.as_ref().unwrap().asks_for_pod(course(cancelled)),
        "it is known"
    );
    let ended_by_its_pod = |world: &World| {
        let actions = world.plan().actions;
        matches!(actions.as_slice(), [Action::EndPod { uid, .. }] if uid == "of-p")
    };
    assert!(ended_by_its_pod(&world));
    world.step();
    assert!(ended_by_its_pod(&world), "and so it is once the scan has ended");
    world.job.as_mut().unwrap().deleting = true;
    world.job.as_mut().unwrap().pod = None;
    assert!(!world.job.as_ref().unwrap().asks_for_pod(course(settled)), "it goes");
}

#[test]
fn why_a_job_failed_is_asked_for_until_the_scan_has_ended() {
    let failed = Some(JobEnd::Failed {
        reason: "BackoffLimitExceeded".to_owned(),
        message: String::new(),
    });
    let asks = |ended, pod, settled| {
        let cancelled = false;
        job("image-scan", ended, pod).asks_for_pod(Course { settled, cancelled })
    };
    assert!(asks(failed.clone(), None, false));
    assert!(!asks(failed.clone(), None, true));
    assert!(!asks(failed, Some(running("scan")), false));
    assert!(!asks(Some(JobEnd::Complete), None, false));
}

#[test]
fn a_scan_that_takes_too_long_is_ended() {
    let mut world = World::begun();
    world.scan.spec.timeout = Some("1m".into());
    world.of.now = at(60 + 60);
    let plan = world.step();
    assert_eq!(plan.actions.len(), 1);
    assert_eq!(world.reason(), ("TimedOut", "TimedOut"));
    assert_eq!(world.status().phase, Some(ScanPhase::TimedOut));
}

#[test]
fn a_scan_that_ended_well_is_no_timeout_however_late_it_is_seen() {
    let mut world = World::begun();
    let report = world.evaluated(Judgement::Pass, true);
    world.ends_with(vec![resolved('a', &[])], &report);
    world.of.now = at(3 * 3600);
    world.step();
    assert_eq!(world.reason(), ("Succeeded", "Scanned"));
}

#[test]
fn what_may_pass_by_itself_is_tried_again_up_to_the_budget_and_then_the_image_is_unknown() {
    let mut world = World::begun();
    let budget = world.of.settings.builds.retries.scan;
    for retry in 1..=budget {
        fail(&mut world, FailureClass::Scan, "ScannerFailed");
        let plan = world.step();
        assert!(plan.note.is_some());
        assert_eq!(world.status().conditions[0].status, "Unknown");
        assert_eq!(claim(world.scan.status.as_ref()), Claim::Waits { turn: retry + 1 });
        world.earlier = world.job.take();
        world.of.now = world.status().next_attempt_at.as_ref().unwrap().0;
        assert_eq!(created(&world.step().then).len(), 1, "retry {retry}");
        world.earlier = None;
    }
    fail(&mut world, FailureClass::Scan, "ScannerFailed");
    world.step();
    assert_eq!(world.reason(), ("Failed", "EvidenceUnknown"));
    assert_eq!(world.status().verdict.as_ref().unwrap().result, Judgement::Unknown);
}

#[test]
fn an_image_that_is_not_there_is_its_user_s_to_mend_and_not_tried_again() {
    let mut world = World::begun();
    fail(&mut world, FailureClass::Pull, "RegistryNotFound");
    world.step();
    assert_eq!(world.reason(), ("Failed", "Pull"));
    assert_eq!(world.status().failure.as_ref().unwrap().reason, "RegistryNotFound");
}

#[test]
fn what_an_earlier_attempt_left_running_is_ended_before_the_next_begins() {
    let mut world = World::begun();
    fail(&mut world, FailureClass::Scan, "ScannerFailed");
    world.step();
    world.of.now = world.status().next_attempt_at.as_ref().unwrap().0;
    world.job = None;
    world.earlier = Some(job("image-scan", None, None));
    let plan = world.plan();
    assert!(
        matches!(plan.actions.as_slice(), [Action::DeleteJob { .. }]),
        "{plan:?}"
    );
    assert!(plan.then.is_empty());
}

#[test]
fn a_job_that_can_t_start_is_ended_after_its_time() {
    let mut world = World::begun();
    world.job.as_mut().unwrap().created = Some(at(0));
    world.of.now = at(300);
    let plan = world.step();
    assert!(
        matches!(plan.actions.as_slice(), [Action::DeleteJob { .. }]),
        "{plan:?}"
    );
    assert_eq!(world.reason(), ("Failed", "EvidenceUnknown"));
}

#[test]
fn what_has_ended_is_left_alone_and_what_still_runs_for_it_is_ended() {
    let mut world = World::begun();
    world.scan.spec.cancelled = true;
    world.step();
    world.job = Some(JobView {
        ended: None,
        ..job("image-scan", None, None)
    });
    assert_eq!(world.plan().actions.len(), 1);
    world.job = None;
    assert_eq!(world.plan(), super::Plan::default());
    world.scan.metadata.generation = Some(2);
    assert_eq!(world.plan().status.unwrap().observed_generation, 2);
    off(&mut world);
    world.step();
    assert_eq!(world.reason(), ("Cancelled", "Cancelled"), "an end is an end");
}

#[test]
fn a_scan_of_a_namespace_that_goes_away_is_left_alone() {
    let mut world = World::begun();
    world.of.is_leaving = true;
    let plan = world.plan();
    assert!(plan.actions.is_empty() && plan.status.is_none());
    assert!(plan.again.is_some());
    let _ = done("x", &Value::Null);
}
