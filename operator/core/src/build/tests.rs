//! How builds go, by what is seen.

use imagefactory_crds::build::{FailureClass, Judgement, Phase, QueueLimit};
use imagefactory_crds::conditions;
use imagefactory_crds::image_policy::Mode;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::fixtures::{
    World, at, digest, done, ended, evaluated, failed, job, pod, policy_ref, prepared, published, pushed, running,
    seconds, waiting,
};
use super::observed::{Disruption, JobEnd, PodView};
use super::plan::{Action, Rejection, Wish, after_rejection, wish};
use super::status::with_next;
use crate::dispatch::{Claim, Slot, Standing, claim};

pub(super) fn waits(limit: QueueLimit, position: u32) -> Slot {
    Slot::Waits(Standing {
        limit,
        position,
        tenants_ahead: 2,
    })
}

fn makes_pod(actions: &[Action]) -> bool {
    matches!(actions, [Action::CreatePod(_)])
}

fn makes_job(actions: &[Action], prefix: &str) -> bool {
    matches!(actions, [Action::CreateJob(job)] if job.metadata.name.as_deref().is_some_and(|name| name.starts_with(prefix)))
}

#[test]
fn a_start_that_nothing_hinders_is_one_status_write() {
    let mut world = World::new();
    world.step();
    for containers in [
        vec![],
        vec![
            waiting("prepare", "PodInitializing"),
            waiting("build", "PodInitializing"),
        ],
        vec![running("prepare"), waiting("build", "PodInitializing")],
        vec![done("prepare", &prepared()), waiting("build", "PodInitializing")],
    ] {
        for has_node in [false, true] {
            world.observed.pod = Some(PodView {
                has_node,
                ..pod("Pending", containers.clone())
            });
            let plan = world.plan();
            assert_eq!(
                plan.status.as_ref(),
                world.build.status.as_ref(),
                "a start is one write"
            );
        }
    }
}

#[test]
fn a_good_build_takes_three_creates_and_five_status_writes() {
    let mut world = World::new();
    assert!(makes_pod(&world.step().actions));
    assert_eq!(world.status().phase, Some(Phase::Preparing));
    world.observed.pod = Some(pod(
        "Running",
        vec![
            done("prepare", &prepared()),
            running("build"),
            waiting("push", "PodInitializing"),
        ],
    ));
    assert!(world.step().actions.is_empty());
    assert_eq!(world.status().phase, Some(Phase::Building));
    assert_eq!(
        world.plan().status.as_ref(),
        world.build.status.as_ref(),
        "the same sight writes nothing new"
    );

    world.observed.pod = Some(pod(
        "Succeeded",
        vec![done("prepare", &prepared()), done("push", &pushed('a'))],
    ));
    assert!(makes_job(&world.step().then, "scan-"));
    assert_eq!(world.status().phase, Some(Phase::Scanning));
    assert_eq!(world.status().staged.as_ref().unwrap().digest, digest('a'));

    let report = evaluated(&world, Judgement::Pass, true);
    world.observed.scan = Some(job("scan", Some(JobEnd::Complete), Some(done("evaluate", &report))));
    assert!(makes_job(&world.step().then, "publish-"));
    assert_eq!(world.status().phase, Some(Phase::Publishing));

    world.observed.publish = Some(job(
        "publish",
        Some(JobEnd::Complete),
        Some(done("publish", &published('a'))),
    ));
    assert!(world.step().actions.is_empty());
    assert_eq!(
        (world.status().phase, world.succeeded_reason()),
        (Some(Phase::Succeeded), "Published")
    );
    assert_eq!(
        world.status().output.as_ref().unwrap().image,
        "registry.example.com/output/acme/web:hello"
    );

    let settled = world.plan();
    assert!(
        settled.actions.is_empty() && settled.status.is_none() && settled.again.is_none(),
        "{settled:?}"
    );
}

#[test]
fn without_the_capability_a_build_fails_with_the_code_and_without_a_pod() {
    let mut world = World::new();
    world.tenant.as_mut().unwrap().spec.capabilities =
        Some(serde_json::from_value(json!({"build": false, "changeReason": "T-1"})).unwrap());
    let plan = world.step();
    assert!(plan.actions.is_empty());
    let succeeded = conditions::find(&world.status().conditions, conditions::SUCCEEDED).unwrap();
    assert_eq!(
        (succeeded.status.as_str(), succeeded.reason.as_str()),
        ("False", "tenant_capability_not_entitled")
    );
    assert_eq!(
        succeeded.message,
        "Image build is not enabled for this tenant. Contact your administrator to request access."
    );
    assert!(conditions::is_true(&world.status().conditions, conditions::STALLED));
}

#[test]
fn what_is_wrong_before_the_start_ends_the_build_without_a_pod() {
    type Change = fn(&mut World);
    let cases: [(&str, Change, &str); 8] = [
        (
            "archived",
            |world| world.project.as_mut().unwrap().spec.archived = true,
            "project_archived",
        ),
        (
            "project off",
            |world| {
                world.project.as_mut().unwrap().spec.capabilities =
                    Some(serde_json::from_value(json!({"build": false})).unwrap());
            },
            "tenant_capability_not_entitled",
        ),
        ("no project", |world| world.project = None, "Source"),
        ("no tenant", |world| world.tenant = None, "Source"),
        (
            "no policy",
            |world| world.build.spec.policy_ref = policy_ref("nope"),
            "Policy",
        ),
        ("no source", |world| world.build.spec.source = None, "Source"),
        ("cancelled", |world| world.build.spec.cancelled = true, "Cancelled"),
        (
            "foreign output",
            |world| {
                world.build.spec.output =
                    Some(serde_json::from_value(json!({"image": "evil.example.com/a/b:c"})).unwrap());
            },
            "Publish",
        ),
    ];
    for (name, change, reason) in cases {
        let mut world = World::new();
        change(&mut world);
        let plan = world.step();
        assert!(plan.actions.is_empty(), "{name}");
        assert_eq!(world.succeeded_reason(), reason, "{name}");
        assert!(plan.note.is_some(), "{name}");
    }
}

#[test]
fn outputs_are_bound_to_the_tenants_prefixes() {
    for (image, allowed) in [
        ("registry.example.com/output/acme/web:1", true),
        ("registry.example.com/output/acme-b/web:1", false),
        ("registry.example.com/output/other/web:1", false),
        ("registry.example.com/staging/acme/web:1", false),
        ("REGISTRY.example.com:443/output/other/web:1", false),
        ("team.example.com/acme/web:1", true),
        ("team.example.com.evil.org/acme/web:1", false),
        ("web:1", false),
        ("acme/web:1", false),
        ("registry.example.com/output/acme/web:sha256-abc", false),
        ("registry.example.com/output/acme/web:sha256", true),
    ] {
        let mut world = World::new();
        world.tenant.as_mut().unwrap().spec.registries =
            vec!["team.example.com/acme".into(), "registry.example.com".into()];
        world.build.spec.output = Some(serde_json::from_value(json!({"image": image})).unwrap());
        assert_eq!(world.validated().is_ok(), allowed, "{image}");
    }
}

#[test]
fn a_missing_project_may_still_turn_up_in_the_first_seconds() {
    let mut world = World::new();
    world.project = None;
    world.now = at(5);
    let plan = world.step();
    assert_eq!(world.status().phase, Some(Phase::Queued));
    assert!(plan.again.is_some());
}

#[test]
fn a_suspended_tenants_build_waits_and_a_running_one_finishes() {
    let mut world = World::new();
    world.tenant.as_mut().unwrap().spec.suspended = true;
    assert!(world.step().actions.is_empty());
    assert_eq!(
        (world.status().phase, world.succeeded_reason()),
        (Some(Phase::Queued), "TenantSuspended")
    );

    let mut world = World::scanning();
    world.tenant.as_mut().unwrap().spec.suspended = true;
    let report = evaluated(&world, Judgement::Pass, true);
    world.observed.scan = Some(job("scan", Some(JobEnd::Complete), Some(done("evaluate", &report))));
    assert!(makes_job(&world.step().then, "publish-"));
}

#[test]
fn a_capability_withdrawn_while_the_build_runs_ends_it_with_the_code() {
    let mut world = World::dispatched();
    world.tenant.as_mut().unwrap().spec.capabilities =
        Some(serde_json::from_value(json!({"build": false, "changeReason": "T-2"})).unwrap());
    assert!(matches!(world.step().actions.as_slice(), [Action::EndPod { .. }]));
    world.observed.pod.as_mut().unwrap().phase = "Failed".to_owned();
    world.step();
    assert_eq!(world.succeeded_reason(), "tenant_capability_not_entitled");
}

#[test]
fn a_cancelled_build_ends_its_pod_first_and_keeps_its_logs() {
    let mut world = World::dispatched();
    world.build.spec.cancelled = true;
    let plan = world.step();
    assert!(matches!(plan.actions.as_slice(), [Action::EndPod { uid, .. }] if uid == "pod-uid"));
    assert_ne!(
        world.status().phase,
        Some(Phase::Cancelled),
        "not before the pod has ended"
    );
    world.observed.pod.as_mut().unwrap().phase = "Failed".to_owned();
    world.step();
    assert_eq!(
        (world.status().phase, world.succeeded_reason()),
        (Some(Phase::Cancelled), "Cancelled")
    );
}

#[test]
fn a_cancelled_build_whose_pod_has_no_node_deletes_it() {
    let mut world = World::dispatched();
    world.build.spec.cancelled = true;
    let pod = world.observed.pod.as_mut().unwrap();
    (pod.has_node, pod.resource_version) = (false, Some("7".to_owned()));
    // As it was read: by now it may have a node, and a log.
    let actions = world.plan().actions;
    assert!(
        matches!(actions.as_slice(), [Action::DeletePod { resource_version: Some(version), .. }] if version == "7")
    );
}

#[test]
fn a_build_that_publishes_finishes_although_it_is_cancelled() {
    let mut world = World::publishing();
    world.build.spec.cancelled = true;
    assert!(world.step().actions.is_empty());
    world.observed.publish = Some(job(
        "publish",
        Some(JobEnd::Complete),
        Some(done("publish", &published('a'))),
    ));
    world.step();
    assert_eq!(world.status().phase, Some(Phase::Succeeded));
}

#[test]
fn a_cancelled_scan_is_deleted_and_nothing_is_published() {
    let mut world = World::scanning();
    world.build.spec.cancelled = true;
    assert!(matches!(world.step().actions.as_slice(), [Action::DeleteJob { .. }]));
    assert_eq!(world.status().phase, Some(Phase::Cancelled));
}

#[test]
fn a_build_past_its_timeout_is_ended_and_says_so() {
    let mut world = World::dispatched();
    world.now = at(60) + seconds(1800);
    assert!(matches!(world.step().actions.as_slice(), [Action::EndPod { .. }]));
    let pod = world.observed.pod.as_mut().unwrap();
    (pod.phase, pod.reason) = ("Failed".to_owned(), Some("DeadlineExceeded".to_owned()));
    world.step();
    assert_eq!(
        (world.status().phase, world.succeeded_reason()),
        (Some(Phase::TimedOut), "TimedOut")
    );
    assert_eq!(world.status().failure.as_ref().unwrap().class, FailureClass::Timeout);
}

#[test]
fn a_pod_that_the_kubelet_ended_at_its_deadline_is_a_timeout_too() {
    let mut world = World::dispatched();
    let pod = world.observed.pod.as_mut().unwrap();
    (pod.phase, pod.reason) = ("Failed".to_owned(), Some("DeadlineExceeded".to_owned()));
    world.step();
    assert_eq!(world.status().phase, Some(Phase::TimedOut));
}

#[test]
fn an_image_that_is_staged_is_scanned_however_its_pod_ended_after_that() {
    for (reason, exit_code) in [
        (Some("Evicted"), 137),
        (Some("NodeShutdown"), 0),
        (Some("Terminated"), 143),
        (None, 137),
    ] {
        let mut world = World::dispatched();
        let push = ended("push", exit_code, "Error", &pushed('a').to_string());
        let containers = vec![done("prepare", &prepared()), push];
        world.observed.pod = Some(PodView {
            reason: reason.map(str::to_owned),
            ..pod("Failed", containers)
        });
        assert!(makes_job(&world.step().then, "scan-"), "{reason:?}");
        assert_eq!(world.status().staged.as_ref().unwrap().digest, digest('a'));
    }
}

#[test]
fn a_report_is_not_believed_in_part_or_of_a_pod_that_still_runs() {
    let mut world = World::dispatched();
    let whole = pushed('a').to_string();
    let push = |message: &str| ended("push", 137, "Error", message);
    world.observed.pod = Some(pod("Running", vec![push(&whole)]));
    assert!(world.plan().then.is_empty());
    world.observed.pod = Some(pod("Failed", vec![push(whole.strip_suffix('}').unwrap())]));
    assert!(world.step().then.is_empty());
    assert_eq!(world.status().staged, None);
}

#[test]
fn what_is_past_its_timeout_when_it_is_staged_has_timed_out() {
    let mut world = World::dispatched();
    let push = ended("push", 0, "Completed", &pushed('a').to_string());
    world.observed.pod = Some(PodView {
        reason: Some("DeadlineExceeded".to_owned()),
        ..pod("Failed", vec![push])
    });
    assert!(world.step().then.is_empty());
    assert_eq!(world.status().phase, Some(Phase::TimedOut));
}

#[test]
fn a_pod_that_was_ended_for_a_refusal_that_was_taken_back_is_no_timeout_and_is_tried_again() {
    let mut world = World::dispatched();
    let pod = world.observed.pod.as_mut().unwrap();
    (pod.phase, pod.reason) = ("Failed".to_owned(), Some("DeadlineExceeded".to_owned()));
    pod.deadline_seconds = Some(1);
    pod.containers = vec![ended("build", 137, "Error", "")];
    world.step();
    assert_eq!(world.succeeded_reason(), "Infrastructure");
    assert!(world.status().next_attempt_at.is_some());

    let told_to_end = || {
        let mut world = World::dispatched();
        let pod = world.observed.pod.as_mut().unwrap();
        (pod.phase, pod.reason) = ("Failed".to_owned(), Some("DeadlineExceeded".to_owned()));
        pod.deadline_seconds = Some(1);
        world
    };
    let mut world = told_to_end();
    world.says(|spec| spec.retries = Some(0));
    world.step();
    assert_eq!(world.status().failure.as_ref().unwrap().reason, "PodEnded");
    let mut world = told_to_end();
    world.now = at(60) + seconds(1800);
    world.step();
    assert_eq!(
        world.status().phase,
        Some(Phase::TimedOut),
        "past its own timeout it is one"
    );
}

#[test]
fn a_pod_that_its_node_is_drained_of_is_evicted_as_soon_as_that_is_known() {
    let mut world = World::dispatched();
    let pod = world.observed.pod.as_mut().unwrap();
    pod.disruption = Some(Disruption {
        reason: "EvictionByEvictionAPI".to_owned(),
        message: "Eviction API: evicting".to_owned(),
    });
    let before = world.observed.clone();
    world.step();
    assert!(world.status().next_attempt_at.is_none(), "it may not come to it");
    world.observed.pod.as_mut().unwrap().deleting = true;
    world.step();
    assert_eq!(world.succeeded_reason(), "Evicted");
    assert!(world.status().next_attempt_at.is_some());

    // What it had pushed by then counts.
    let mut world = World::dispatched();
    world.observed = before;
    let pod = world.observed.pod.as_mut().unwrap();
    pod.deleting = true;
    pod.containers = vec![done("prepare", &prepared()), done("push", &pushed('a'))];
    world.step();
    assert!(world.status().staged.is_some());
}

#[test]
fn failures_of_the_pod_carry_class_container_and_exit_code() {
    let cases = [
        (
            vec![failed("prepare", FailureClass::Source, "CommitNotFound")],
            FailureClass::Source,
            "CommitNotFound",
        ),
        (
            vec![failed("prepare", FailureClass::Pull, "BaseImageNotFound")],
            FailureClass::Pull,
            "BaseImageNotFound",
        ),
        (
            vec![done("prepare", &prepared()), ended("build", 1, "Error", "log")],
            FailureClass::Build,
            "BuildFailed",
        ),
        (
            vec![done("prepare", &prepared()), ended("build", 137, "OOMKilled", "")],
            FailureClass::OutOfMemory,
            "OOMKilled",
        ),
    ];
    for (containers, class, reason) in cases {
        let mut world = World::dispatched();
        world.observed.pod = Some(pod("Failed", containers));
        assert!(world.step().note.is_some());
        let failure = world.status().failure.clone().unwrap();
        assert_eq!((failure.class, failure.reason.as_str()), (class, reason));
        assert_eq!(world.succeeded_reason(), class.as_str());
        assert!(failure.container.is_some() && failure.exit_code.is_some() && !failure.next.is_empty());
    }
}

#[test]
fn a_pod_deleted_by_hand_fails_a_build_that_wants_no_retry_and_no_second_pod_is_made() {
    let mut world = World::dispatched();
    world.says(|spec| spec.retries = Some(0));
    world.observed.pod = None;
    assert!(world.step().actions.is_empty());
    assert_eq!(world.status().failure.as_ref().unwrap().reason, "PodDeleted");
    assert_eq!(world.status().phase, Some(Phase::Failed));
    assert!(world.plan().actions.is_empty());
}

#[test]
fn a_start_that_was_not_recorded_is_made_up_for() {
    let mut world = World::new();
    world.observed.pod = Some(pod("Running", vec![running("prepare")]));
    world.now = at(90);
    assert!(world.step().actions.is_empty(), "the pod is there already");
    assert_eq!(world.status().start_time.as_ref().unwrap().0, at(60));
    assert_eq!(world.status().pod_name.as_deref().unwrap(), "hello-build-1");
}

#[test]
fn a_pod_of_an_earlier_build_of_this_name_is_waited_for() {
    let mut world = World::new();
    world.observed.pod = Some(super::PodView {
        build_uid: Some("other".to_owned()),
        ..pod("Running", vec![])
    });
    assert!(matches!(world.step().actions.as_slice(), [Action::DeletePod { .. }]));
    assert_eq!(
        (world.status().phase, world.succeeded_reason()),
        (Some(Phase::Queued), "PodNameTaken")
    );
}

#[test]
fn a_pod_that_can_not_start_is_given_time_and_then_fails_the_build() {
    let mut world = World::dispatched();
    world.observed.pod = Some(pod("Pending", vec![waiting("prepare", "ImagePullBackOff")]));
    world.step();
    assert_eq!(world.status().phase, Some(Phase::Preparing));
    assert_eq!(world.succeeded_reason(), "ImagePullBackOff", "what its pod waits for");
    world.now = at(60) + seconds(300);
    let plan = world.step();
    assert!(matches!(plan.actions.as_slice(), [Action::EndPod { .. }]));
    let failure = world.status().failure.as_ref().unwrap();
    assert_eq!(
        (failure.class, failure.reason.as_str()),
        (FailureClass::Infrastructure, "ImagePullBackOff")
    );
    assert_eq!(world.status().phase, Some(Phase::Failed), "and is not tried again");
}

#[test]
fn a_container_may_wait_as_long_after_a_long_one_before_it_as_at_the_start() {
    let mut world = World::dispatched();
    let mut late = pod("Pending", vec![waiting("kaniko", "ErrImagePull")]);
    late.progressed = Some(at(60) + seconds(500));
    world.observed.pod = Some(late);
    world.now = at(60) + seconds(799);
    assert!(world.plan().actions.is_empty());
    world.now = at(60) + seconds(800);
    assert!(matches!(world.plan().actions.as_slice(), [Action::EndPod { .. }]));
}

#[test]
fn a_build_that_is_deleted_and_held_by_a_strangers_finalizer_is_ended_and_gives_its_slot_back() {
    for mut world in [World::new(), World::dispatched(), World::scanning()] {
        world.build.metadata.deletion_timestamp = Some(Time(at(90)));
        world.build.metadata.generation = Some(2);
        assert!(!world.with_situation(|situation| matches!(wish(&situation), Wish::Slot(_))));
        world.step();
        if let Some(pod) = world.observed.pod.as_mut() {
            pod.phase = "Failed".to_owned();
        }
        world.observed.scan = None;
        world.step();
        assert_eq!(world.status().phase, Some(Phase::Cancelled));
        assert_eq!(claim(world.build.status.as_ref()), Claim::Settled);
        world.build.metadata.generation = Some(3);
        assert_eq!(world.plan().status, None, "of one that has ended nothing more is said");
    }
}

#[test]
fn a_build_cancelled_between_two_attempts_to_publish_does_not_say_that_nothing_was_published() {
    let mut world = World::publishing();
    let away = failed("publish", FailureClass::Publish, "RegistryUnreachable");
    world.observed.publish = Some(job("publish", Some(JobEnd::Complete), Some(away)));
    world.step();
    world.build.spec.cancelled = true;
    world.step();
    assert_eq!(world.status().phase, Some(Phase::Cancelled));
    let message = &world.status().conditions[0].message;
    assert!(
        message.contains("the registry says whether its tag was set"),
        "{message}"
    );
}

#[test]
fn what_to_do_next_is_never_cut_off_however_much_there_is_to_say() {
    let (what, next) = ("ü".repeat(600), "Do this.");
    let message = with_next(&what, next);
    assert_eq!(message.chars().count(), conditions::MAX_MESSAGE);
    assert!(message.ends_with("ü… Do this."), "{message}");
    assert_eq!(with_next("Short.", next), "Short. Do this.");
    let fits = "ü".repeat(conditions::MAX_MESSAGE - next.len() - 1);
    assert_eq!(with_next(&fits, next), format!("{fits} {next}"));
}

#[test]
fn a_full_quota_queues_and_an_invalid_pod_fails() {
    let mut world = World::new();
    world.slot = waits(QueueLimit::QuotaLimit, 1);
    let full =
        world.with_situation(|situation| after_rejection(situation, &Rejection::NoRoom("exceeded quota".to_owned())));
    assert_eq!(full.status.unwrap().phase, Some(Phase::Queued));
    let invalid = world.with_situation(|situation| after_rejection(situation, &Rejection::Pod("bad".to_owned())));
    assert_eq!(invalid.status.unwrap().phase, Some(Phase::Failed));
}

#[test]
fn a_refused_job_fails_in_words_of_its_own_and_is_the_platforms() {
    let world = World::scanning();
    let plan =
        world.with_situation(|situation| after_rejection(situation, &Rejection::Job("no such images".to_owned())));
    let failure = plan.status.unwrap().failure.unwrap();
    assert_eq!(
        (failure.class, failure.reason.as_str()),
        (FailureClass::Infrastructure, "JobRejected")
    );
    assert!(
        failure.message.contains("no such images") && !failure.next.contains("spec."),
        "{failure:?}"
    );
}

#[test]
fn an_image_that_policy_refuses_is_never_published() {
    for (result, reason) in [
        (Judgement::Fail, "PolicyFailed"),
        (Judgement::Unknown, "EvidenceUnknown"),
    ] {
        let mut world = World::scanning();
        let report = evaluated(&world, result, false);
        world.observed.scan = Some(job("scan", Some(JobEnd::Complete), Some(done("evaluate", &report))));
        assert!(world.step().actions.is_empty());
        assert_eq!(world.succeeded_reason(), reason);
        assert!(world.plan().actions.is_empty(), "nor later");
    }
}

#[test]
fn a_fail_in_dry_run_is_published_and_says_so() {
    let mut world = World::scanning();
    world.policies.change("default", |policy| policy.mode = Mode::DryRun);
    let report = evaluated(&world, Judgement::Fail, true);
    world.observed.scan = Some(job("scan", Some(JobEnd::Complete), Some(done("evaluate", &report))));
    assert!(makes_job(&world.step().then, "publish-"));
    world.observed.publish = Some(job(
        "publish",
        Some(JobEnd::Complete),
        Some(done("publish", &published('a'))),
    ));
    world.step();
    assert_eq!(
        (world.status().phase, world.succeeded_reason()),
        (Some(Phase::Succeeded), "PublishedDryRun")
    );
}

#[test]
fn a_scanner_that_crashed_or_said_nothing_is_unknown() {
    let crashed = JobEnd::Failed {
        reason: "BackoffLimitExceeded".to_owned(),
        message: "m".to_owned(),
    };
    for scan in [
        job("scan", Some(crashed.clone()), Some(ended("scan", 2, "Error", "panic"))),
        job("scan", Some(crashed), None),
        job(
            "scan",
            Some(JobEnd::Complete),
            Some(ended("evaluate", 0, "Completed", "not a report")),
        ),
    ] {
        let mut world = World::scanning();
        world.says(|spec| spec.retries = Some(0));
        world.observed.scan = Some(scan);
        assert!(world.step().actions.is_empty());
        assert_eq!(world.succeeded_reason(), "EvidenceUnknown");
        assert_eq!(world.status().verdict.as_ref().unwrap().result, Judgement::Unknown);
        assert_eq!(world.status().failure.as_ref().unwrap().class, FailureClass::Scan);
    }
}

#[test]
fn a_policy_that_changed_while_the_scan_ran_is_judged_again() {
    let mut world = World::scanning();
    let report = evaluated(&world, Judgement::Pass, true);
    world.observed.scan = Some(job("scan", Some(JobEnd::Complete), Some(done("evaluate", &report))));
    world.policies.change("default", |policy| policy.ignore_unfixed = true);
    assert!(matches!(world.step().actions.as_slice(), [Action::DeleteJob { .. }]));
    assert_eq!(world.status().phase, Some(Phase::Scanning));
}

#[test]
fn a_verdict_about_another_digest_or_one_that_contradicts_itself_is_unknown() {
    for (of_digest, publishable) in [('f', true), ('a', false)] {
        let mut world = World::scanning();
        let mut report = evaluated(&world, Judgement::Pass, publishable);
        report["done"]["digest"] = json!(digest(of_digest));
        world.observed.scan = Some(job("scan", Some(JobEnd::Complete), Some(done("evaluate", &report))));
        world.step();
        assert_eq!(world.succeeded_reason(), "EvidenceUnknown");
    }
}

#[test]
fn a_digest_that_is_read_back_differently_is_no_success() {
    let mut world = World::publishing();
    world.observed.publish = Some(job(
        "publish",
        Some(JobEnd::Complete),
        Some(done("publish", &published('f'))),
    ));
    world.step();
    assert_eq!(world.status().failure.as_ref().unwrap().reason, "DigestMismatch");
    assert!(world.status().output.is_none());
}

#[test]
fn an_entitlement_is_asked_for_again_before_publishing() {
    let mut world = World::scanning();
    let report = evaluated(&world, Judgement::Pass, true);
    world.observed.scan = Some(job("scan", Some(JobEnd::Complete), Some(done("evaluate", &report))));
    world.tenant.as_mut().unwrap().spec.capabilities =
        Some(serde_json::from_value(json!({"build": false, "changeReason": "T-3"})).unwrap());
    let plan = world.step();
    assert!(!makes_job(&plan.then, "publish-"));
    assert_eq!(world.succeeded_reason(), "tenant_capability_not_entitled");
}

#[test]
fn what_still_runs_for_a_settled_build_is_ended() {
    let mut world = World::new();
    world.build.spec.cancelled = true;
    world.step();
    world.observed.pod = Some(pod("Running", vec![running("build")]));
    assert!(matches!(world.plan().actions.as_slice(), [Action::EndPod { .. }]));
}

#[test]
fn a_settled_build_only_acknowledges_a_late_cancel() {
    let mut world = World::publishing();
    world.observed.publish = Some(job(
        "publish",
        Some(JobEnd::Complete),
        Some(done("publish", &published('a'))),
    ));
    world.step();
    world.build.spec.cancelled = true;
    world.build.metadata.generation = Some(2);
    let plan = world.step();
    assert!(plan.actions.is_empty() && plan.note.is_none());
    assert_eq!(
        (world.status().phase, world.status().observed_generation),
        (Some(Phase::Succeeded), 2)
    );
}

#[test]
fn a_verdict_with_more_to_say_than_the_schema_admits_is_cut_and_not_lost() {
    let mut world = World::scanning();
    let mut report = evaluated(&world, Judgement::Fail, false);
    report["done"]["verdict"]["policies"][0]["causes"] = json!(vec!["ü".repeat(200); 8]);
    world.observed.scan = Some(job("scan", Some(JobEnd::Complete), Some(done("evaluate", &report))));
    world.step();
    assert_eq!(world.succeeded_reason(), "PolicyFailed");
    let causes = &world.status().verdict.as_ref().unwrap().policies[0].causes;
    assert!(causes.len() == 4 && causes.iter().all(|cause| cause.len() <= 200));
    assert!(world.status().failure.as_ref().unwrap().message.len() <= 512);
}
