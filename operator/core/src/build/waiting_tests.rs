//! How builds wait: for a slot, and for the next attempt.

use imagefactory_crds::build::{FailureClass, Judgement, Phase, QueueLimit};
use imagefactory_crds::conditions::{self, READY, RECONCILING, SUCCEEDED};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::fixtures::{World, at, done, ended, evaluated, failed, job, pod, published, seconds};
use super::observed::{Earlier, JobEnd, Observed};
use super::plan::{Action, Wish, wish};
use super::tests::waits;
use crate::dispatch::{Claim, Slot, claim};

fn condition<'a>(world: &'a World, type_: &str) -> (&'a str, &'a str) {
    let found = conditions::find(&world.status().conditions, type_).unwrap();
    (&found.status, &found.reason)
}

fn name_of_pod(action: &Action) -> &str {
    match action {
        Action::CreatePod(pod) => pod.metadata.name.as_deref().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// A build whose pod was put out by its node, and which waits for its second attempt.
fn evicted() -> World {
    let mut world = World::dispatched();
    world.now = at(100);
    let mut gone = pod("Failed", vec![]);
    gone.reason = Some("Evicted".to_owned());
    world.observed.pod = Some(gone);
    world.step();
    world.observed.pod = None;
    world
}

#[test]
fn a_build_in_the_queue_says_how_it_stands_and_says_it_again_only_when_that_is_news() {
    let mut world = World::new();
    world.slot = waits(QueueLimit::ClusterLimit, 8);
    assert!(world.step().actions.is_empty());
    assert_eq!(condition(&world, SUCCEEDED), ("Unknown", "ClusterLimit"));
    assert_eq!(world.status().phase, Some(Phase::Queued));
    let queue = world.status().queue.clone().unwrap();
    assert_eq!((queue.position, queue.tenants_ahead, queue.time.0), (8, 2, at(60)));

    world.now = at(90);
    world.slot = waits(QueueLimit::ClusterLimit, 5);
    assert_eq!(world.plan().status, None, "five of eight is no news");
    world.slot = waits(QueueLimit::ClusterLimit, 4);
    assert!(world.plan().status.is_some(), "the position has halved");
    world.slot = waits(QueueLimit::TenantLimit, 8);
    assert!(world.plan().status.is_some(), "another limit holds");

    world.slot = Slot::Granted;
    world.step();
    assert_eq!(world.status().queue, None, "cleared in the write of the dispatch");
    assert_eq!(
        world.status().start_time.as_ref().unwrap().0,
        at(90),
        "waiting does not count"
    );
}

#[test]
fn a_build_applies_only_when_nothing_but_a_slot_keeps_it() {
    let world = World::new();
    assert!(world.with_situation(|situation| matches!(wish(&situation), Wish::Slot(_))));
    type Change = fn(&mut World);
    let changes: [Change; 4] = [
        |world| world.tenant.as_mut().unwrap().spec.suspended = true,
        |world| world.build.spec.cancelled = true,
        |world| world.tenant.as_mut().unwrap().status = None,
        |world| world.project.as_mut().unwrap().spec.archived = true,
    ];
    for change in changes {
        let mut world = World::new();
        change(&mut world);
        assert!(world.with_situation(|situation| wish(&situation) == Wish::Nothing));
    }
    assert!(World::dispatched().with_situation(|situation| wish(&situation) == Wish::Runs));
}

#[test]
fn a_tenant_that_is_not_ready_says_why_in_its_own_words() {
    let mut world = World::new();
    let conditions = &mut world.tenant.as_mut().unwrap().status.as_mut().unwrap().conditions;
    conditions[0].status = "False".to_owned();
    conditions[0].reason = "NamespaceTaken".to_owned();
    conditions[0].message = "Namespace tenant-acme belongs to somebody else.".to_owned();
    world.step();
    assert_eq!(condition(&world, SUCCEEDED), ("Unknown", "TenantNotReady"));
    let message = &conditions::find(&world.status().conditions, SUCCEEDED).unwrap().message;
    assert!(
        message.contains("NamespaceTaken: Namespace tenant-acme belongs"),
        "{message}"
    );
}

#[test]
fn nothing_starts_in_a_tenant_that_is_being_deleted_and_nobody_waits_for_a_slot() {
    let mut world = World::new();
    world.tenant.as_mut().unwrap().metadata.deletion_timestamp = Some(Time(at(0)));
    assert!(world.with_situation(|situation| wish(&situation) == Wish::Nothing));
    let plan = world.step();
    assert_eq!((plan.actions, plan.then), (Vec::new(), Vec::new()));
    assert_eq!(condition(&world, SUCCEEDED), ("Unknown", "TenantTerminating"));
    let mut retried = evicted();
    retried.tenant.as_mut().unwrap().metadata.deletion_timestamp = Some(Time(at(0)));
    retried.now = at(1000);
    assert!(retried.with_situation(|situation| wish(&situation) == Wish::Nothing));
    assert_eq!(retried.step().actions, Vec::new());
}

#[test]
fn what_runs_in_a_tenant_that_is_being_deleted_goes_on_to_its_end() {
    let mut world = World::scanning();
    let before = world.plan();
    world.tenant.as_mut().unwrap().metadata.deletion_timestamp = Some(Time(at(0)));
    assert_eq!(world.plan(), before);
}

#[test]
fn nothing_is_begun_or_goes_on_in_a_namespace_that_goes_away() {
    for mut world in [
        World::new(),
        World::dispatched(),
        World::scanning(),
        World::publishing(),
        evicted(),
    ] {
        world.is_leaving = true;
        world.observed = Observed::default();
        let plan = world.plan();
        assert_eq!((plan.actions, plan.status, plan.then), (Vec::new(), None, Vec::new()));
        assert!(world.with_situation(|situation| !matches!(wish(&situation), Wish::Slot(_))));
    }
}

#[test]
fn a_failure_that_may_pass_is_said_and_tried_again_under_the_next_name() {
    let mut world = evicted();
    assert_eq!(condition(&world, SUCCEEDED), ("Unknown", "Evicted"));
    assert_eq!(condition(&world, READY), ("False", "Evicted"));
    assert_eq!(condition(&world, RECONCILING), ("True", "Evicted"));
    assert_eq!(world.status().phase, Some(Phase::Preparing), "the phase stays");
    assert_eq!(world.status().next_attempt_at.as_ref().unwrap().0, at(110));
    assert_eq!(
        claim(world.build.status.as_ref()),
        Claim::Waits { turn: 2 },
        "it holds no slot"
    );

    let early = world.plan();
    assert!(early.actions.is_empty() && early.status.is_none() && early.again.is_some());
    world.now = at(110);
    world.slot = waits(QueueLimit::ClusterLimit, 1);
    world.step();
    assert_eq!(world.status().phase, Some(Phase::Queued), "it queues again");

    world.now = at(120);
    world.slot = Slot::Granted;
    assert_eq!(name_of_pod(&world.step().actions[0]), "hello-build-2");
    let status = world.status();
    assert_eq!(
        (status.attempts, status.pod_name.as_deref()),
        (Some(2), Some("hello-build-2"))
    );
    assert_eq!(
        (&status.failure, &status.next_attempt_at, &status.queue),
        (&None, &None, &None)
    );
    assert_eq!(status.start_time.as_ref().unwrap().0, at(60), "the first dispatch");
    assert_eq!(
        claim(world.build.status.as_ref()),
        Claim::Holds {
            turn: 2,
            is_staged: false
        }
    );
}

#[test]
fn the_next_attempt_waits_until_nothing_of_the_one_before_runs() {
    let mut world = evicted();
    world.now = at(110);
    world.observed.earlier = Some(Earlier::Pod(pod("Running", vec![])));
    let plan = world.plan();
    assert!(matches!(plan.actions.as_slice(), [Action::EndPod { .. }]), "{plan:?}");
    world.observed.earlier = Some(Earlier::Pod(pod("Failed", vec![])));
    assert_eq!(name_of_pod(&world.plan().actions[0]), "hello-build-2");
}

#[test]
fn a_second_start_that_was_not_recorded_is_made_up_for() {
    let mut world = evicted();
    world.now = at(115);
    let mut second = pod("Running", vec![]);
    (second.name, second.created) = ("hello-build-2".to_owned(), Some(at(112)));
    world.observed.pod = Some(second);
    assert!(world.step().actions.is_empty(), "the pod is there already");
    let status = world.status();
    assert_eq!((status.attempts, &status.next_attempt_at), (Some(2), &None));
    assert_eq!(status.attempt_time.as_ref().unwrap().0, at(112));
}

#[test]
fn the_timeout_bounds_all_attempts_together_and_no_wait() {
    let mut world = evicted();
    world.says(|spec| spec.timeout = Some("2m".into()));
    world.now = at(10_000);
    world.step();
    assert_eq!(world.status().attempts, Some(2), "waiting used nothing up");
    let deadline = world.validated().unwrap().timeout;
    assert_eq!(deadline, SignedDuration::from_secs(80), "forty seconds were used");
    world.observed.pod = Some(pod("Running", vec![]));
    world.now = at(10_000) + seconds(79);
    assert!(world.plan().actions.is_empty());
    world.now = at(10_000) + seconds(80);
    assert!(matches!(world.plan().actions.as_slice(), [Action::EndPod { .. }]));
}

#[test]
fn budgets_end_and_then_the_failure_is_final() {
    let mut world = World::new();
    world.settings.builds.retries.infrastructure = 2;
    for attempt in 1..=3 {
        world.step();
        assert_eq!(world.status().attempts, Some(attempt));
        world.observed.pod = None;
        world.step();
        world.now += seconds(100);
    }
    assert_eq!(
        (world.status().phase, world.succeeded_reason()),
        (Some(Phase::Failed), "Infrastructure")
    );
    assert_eq!(world.status().next_attempt_at, None);
}

#[test]
fn a_step_of_the_dockerfile_that_fails_is_not_tried_again() {
    let mut world = World::dispatched();
    world.observed.pod = Some(pod("Failed", vec![ended("build", 1, "Error", "log")]));
    world.step();
    assert_eq!(
        (world.status().phase, world.succeeded_reason()),
        (Some(Phase::Failed), "Build")
    );
}

#[test]
fn a_scan_that_broke_off_repeats_only_itself() {
    let mut world = World::scanning();
    let crashed = JobEnd::Failed {
        reason: "BackoffLimitExceeded".to_owned(),
        message: "m".to_owned(),
    };
    world.observed.scan = Some(job("scan", Some(crashed), Some(ended("scan", 1, "Error", "no server"))));
    world.step();
    assert_eq!(condition(&world, READY), ("False", "Scan"));
    assert_eq!(
        (world.status().phase, &world.status().verdict),
        (Some(Phase::Scanning), &None)
    );

    world.observed.scan = None;
    world.now += seconds(60);
    let plan = world.step();
    assert!(plan.actions.is_empty(), "nothing before the status stands");
    let [Action::CreateJob(scan)] = plan.then.as_slice() else {
        panic!("{plan:?}")
    };
    assert!(scan.metadata.name.as_deref().unwrap().ends_with("-2"));
    let status = world.status();
    assert_eq!(
        (status.attempts, status.stage_attempts.unwrap().scan),
        (Some(1), Some(2))
    );
    assert_eq!(
        status.staged.as_ref().unwrap().digest,
        super::fixtures::digest('a'),
        "the staged digest stands"
    );

    let report = evaluated(&world, Judgement::Pass, true);
    world.observed.scan = Some(job("scan", Some(JobEnd::Complete), Some(done("evaluate", &report))));
    assert!(matches!(world.step().then.as_slice(), [Action::CreateJob(_)]));
    assert_eq!(world.status().phase, Some(Phase::Publishing));
}

#[test]
fn a_registry_that_was_away_while_publishing_is_asked_again_and_cancelling_works_in_between() {
    let mut world = World::publishing();
    let crashed = JobEnd::Failed {
        reason: "BackoffLimitExceeded".to_owned(),
        message: "m".to_owned(),
    };
    let away = failed("publish", FailureClass::Publish, "RegistryUnreachable");
    world.observed.publish = Some(job("publish", Some(crashed), Some(away)));
    world.step();
    assert_eq!(condition(&world, READY), ("False", "Publish"));

    let mut cancelled = World {
        build: world.build.clone(),
        ..World::new()
    };
    cancelled.build.spec.cancelled = true;
    assert!(cancelled.step().actions.is_empty());
    assert_eq!(cancelled.status().phase, Some(Phase::Cancelled));
    assert_eq!(cancelled.status().next_attempt_at, None);

    world.observed.publish = None;
    world.now += seconds(60);
    let plan = world.step();
    let [Action::CreateJob(publish)] = plan.then.as_slice() else {
        panic!("{plan:?}")
    };
    assert!(publish.metadata.name.as_deref().unwrap().starts_with("publish-"));
    assert!(publish.metadata.name.as_deref().unwrap().ends_with("-2"));
    world.observed.publish = Some(job(
        "publish",
        Some(JobEnd::Complete),
        Some(done("publish", &published('a'))),
    ));
    world.step();
    assert_eq!(world.status().phase, Some(Phase::Succeeded));
    assert_eq!(world.status().failure, None);
}

#[test]
fn a_scan_pod_that_can_not_start_is_given_time_and_then_ends_the_build() {
    let mut world = World::scanning();
    let mut waiting = pod("Pending", vec![]);
    (waiting.has_node, waiting.unschedulable) = (false, Some("no node".to_owned()));
    let scan = world.observed.scan.as_mut().unwrap();
    scan.pod = Some(waiting);
    assert!(world.plan().actions.is_empty());
    world.now = at(60) + seconds(300);
    assert!(matches!(world.step().actions.as_slice(), [Action::DeleteJob { .. }]));
    assert_eq!(world.succeeded_reason(), "EvidenceUnknown");
}

#[test]
fn a_job_that_gets_no_pod_ends_the_build_in_time() {
    let mut world = World::publishing();
    world.observed.publish.as_mut().unwrap().created = Some(at(60));
    world.now = at(60) + seconds(300);
    assert!(matches!(world.step().actions.as_slice(), [Action::DeleteJob { .. }]));
    assert_eq!(world.status().failure.as_ref().unwrap().reason, "NoPod");
}

#[test]
fn what_a_build_asks_of_the_quota_is_what_its_pod_asks_for() {
    let mut world = World::new();
    world.settings.builds.default_resources =
        serde_json::from_str(r#"{"requests": {"cpu": "500m"}, "limits": {"cpu": 2, "memory": "3Gi"}}"#).unwrap();
    world.settings.builds.step_resources =
        serde_json::from_str(r#"{"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}"#)
            .unwrap();
    world.settings.tenants.default_requests = serde_json::from_str(r#"{"ephemeralStorage": "256Mi"}"#).unwrap();
    let build = world.validated().unwrap();
    let pod = super::objects::build_pod(&build, None, world.now, &world.settings)
        .spec
        .unwrap();
    let amount = |container: &k8s_openapi::api::core::v1::Container, name: &str| {
        let resources = container.resources.clone().unwrap();
        let of = |list: Option<std::collections::BTreeMap<String, _>>| list.and_then(|list| list.get(name).cloned());
        let quantity: k8s_openapi::apimachinery::pkg::api::resource::Quantity =
            of(resources.requests).or_else(|| of(resources.limits))?;
        crate::tenant::amount::nano(&quantity.0)
    };
    let of_pod = |name: &str| {
        let sum: i128 = pod
            .containers
            .iter()
            .filter_map(|container| amount(container, name))
            .sum();
        let greatest = pod
            .init_containers
            .iter()
            .flatten()
            .filter_map(|container| amount(container, name))
            .max();
        sum.max(greatest.unwrap_or_default()) / 1_000_000_000
    };
    let demand = crate::dispatch::demand_of_build(&build, &world.settings);
    assert_eq!(demand.cpu, 500);
    assert_eq!(i128::from(demand.memory), of_pod("memory"));
    assert_eq!((demand.storage, demand.pods), (256 << 20, 1));
}
