//! What a project says of itself and of its builds.

use std::time::Duration;

use imagefactory_crds::build::Phase;
use imagefactory_crds::conditions::{self, ConditionStatus, SUCCEEDED, Statement, is_true};
use imagefactory_crds::project::{BuildCounts, LastBuild};
use imagefactory_crds::tenant::Quota;
use imagefactory_crds::{Build, BuildSpec, BuildStatus, Project, ProjectSpec, ProjectStatus, Tenant, TenantSpec};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;

use super::throttle::{Due, PAUSE, due};
use super::{Counted, Situation, count, readiness, status, within_quota};
use crate::tenant::readiness::Standing;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn project(spec: ProjectSpec) -> Project {
    let mut project = Project::new("web", spec);
    project.metadata.namespace = Some("tenant-acme".to_owned());
    project.metadata.generation = Some(2);
    project.metadata.creation_timestamp = Some(Time(at(0)));
    project
}

fn situation(project: &Project) -> Situation<'_> {
    Situation {
        project,
        has_tenant: true,
        is_leaving: false,
        has_policy: true,
        over_quota: None,
        counted: None,
        now: at(1000),
    }
}

fn build(name: &str, created: i64, succeeded: Option<ConditionStatus>, started: bool) -> Build {
    let mut build = Build::new(name, BuildSpec::default());
    build.metadata.creation_timestamp = Some(Time(at(created)));
    let mut status = BuildStatus {
        start_time: started.then(|| Time(at(created))),
        ..BuildStatus::default()
    };
    if let Some(succeeded) = succeeded {
        let statement = Statement {
            type_: SUCCEEDED,
            status: succeeded,
            reason: "Reason".to_owned(),
            message: String::new(),
        };
        conditions::set(&mut status.conditions, &[statement], 1, at(created));
    }
    build.status = Some(status);
    build
}

#[test]
fn builds_are_counted_by_their_conditions() {
    let mut unseen = build("new", 0, None, false);
    unseen.status = None;
    let builds = [
        unseen,
        build("queued", 1, Some(ConditionStatus::Unknown), false),
        build("running", 2, Some(ConditionStatus::Unknown), true),
        build("good", 3, Some(ConditionStatus::True), true),
        build("bad", 4, Some(ConditionStatus::False), true),
        build("refused", 5, Some(ConditionStatus::False), false),
    ];
    let expected = BuildCounts {
        total: 6,
        queued: 2,
        running: 1,
        succeeded: 1,
        failed: 2,
    };
    assert_eq!(count(builds.iter()).builds, expected);
}

#[test]
fn a_build_that_waits_for_its_next_attempt_does_not_run() {
    let mut again = build("again", 1, None, true);
    again.status.as_mut().unwrap().next_attempt_at = Some(Time(at(100)));
    let counted = count([&again].into_iter());
    assert_eq!((counted.builds.queued, counted.builds.running), (1, 0));
}

#[test]
fn the_phase_is_shown_and_decides_nothing() {
    let mut lying = build("lying", 1, Some(ConditionStatus::False), true);
    lying.status.as_mut().unwrap().phase = Some(Phase::Succeeded);
    let counted = count([&lying].into_iter());
    assert_eq!((counted.builds.failed, counted.builds.succeeded), (1, 0));
    assert_eq!(counted.last_build.unwrap().phase, Phase::Succeeded);
}

#[test]
fn the_newest_build_is_the_last_created_and_of_those_the_last_by_name() {
    let builds = [
        build("b", 5, None, false),
        build("z", 1, None, false),
        build("a", 5, None, false),
    ];
    assert_eq!(count(builds.iter()).last_build.unwrap().name.as_str(), "b");
    assert_eq!(count(builds.iter().rev()).last_build.unwrap().name.as_str(), "b");
    assert_eq!(count(std::iter::empty()), Counted::default());
}

proptest! {
    #[test]
    fn every_build_is_counted_in_one_state(states in prop::collection::vec((0..4_u8, any::<bool>()), 0..40)) {
        let builds: Vec<_> = states.iter().enumerate().map(|(index, (state, started))| {
            let succeeded = match state {
                0 => None,
                1 => Some(ConditionStatus::Unknown),
                2 => Some(ConditionStatus::True),
                _ => Some(ConditionStatus::False),
            };
            build(&format!("b{index}"), 0, succeeded, *started)
        }).collect();
        let BuildCounts { total, queued, running, succeeded, failed } = count(builds.iter()).builds;
        prop_assert_eq!(total as usize, builds.len());
        prop_assert_eq!(queued + running + succeeded + failed, total);
    }

    /// However often a project is looked at, counts are never less than ten seconds apart.
    #[test]
    fn counts_are_never_less_than_ten_seconds_apart(pauses in prop::collection::vec(0..20_000_i64, 1..60)) {
        let (mut now, mut last, mut counted) = (at(0), None, Vec::new());
        for pause in pauses {
            now += SignedDuration::from_millis(pause);
            if due(last, now) == Due::Now {
                last = Some(now);
                counted.push(now);
            }
        }
        prop_assert!(counted.windows(2).all(|pair| pair[1].duration_since(pair[0]) >= PAUSE));
    }
}

#[test]
fn counting_is_due_at_first_and_ten_seconds_after_the_last_time() {
    for (last, now, expected) in [
        (None, 100, Due::Now),
        (Some(100), 100, Due::In(Duration::from_secs(10))),
        (Some(100), 107, Due::In(Duration::from_secs(3))),
        (Some(100), 110, Due::Now),
        (Some(100), 500, Due::Now),
        (Some(100), 50, Due::Now),
    ] {
        assert_eq!(due(last.map(at), at(now)), expected, "{last:?} {now}");
    }
}

#[test]
fn the_reason_says_why_builds_can_or_can_not_start() {
    let archived = ProjectSpec {
        archived: true,
        ..ProjectSpec::default()
    };
    let with_policy = ProjectSpec {
        policy_ref: Some(imagefactory_crds::common::LocalRef::to("strict")),
        ..ProjectSpec::default()
    };
    for (spec, has_tenant, has_policy, standing, reason) in [
        (ProjectSpec::default(), true, true, Standing::Ready, "Active"),
        (ProjectSpec::default(), true, false, Standing::Ready, "Active"),
        (with_policy.clone(), true, true, Standing::Ready, "Active"),
        (with_policy.clone(), true, false, Standing::Stalled, "PolicyNotFound"),
        (archived.clone(), true, true, Standing::Ready, "Archived"),
        (archived, false, true, Standing::Stalled, "NotATenantNamespace"),
        (with_policy, false, false, Standing::Stalled, "NotATenantNamespace"),
    ] {
        let project = project(spec);
        let found = readiness(Situation {
            has_tenant,
            has_policy,
            ..situation(&project)
        })
        .unwrap();
        assert_eq!(
            (found.standing, found.reason.as_str()),
            (standing, reason),
            "{:?}",
            project.spec
        );
    }
}

#[test]
fn nothing_is_said_of_a_project_that_is_being_deleted() {
    let mut project = project(ProjectSpec::default());
    project.metadata.deletion_timestamp = Some(Time(at(1)));
    assert_eq!(readiness(situation(&project)), None);
    project.metadata.deletion_timestamp = None;
    let leaving = Situation {
        is_leaving: true,
        has_tenant: false,
        ..situation(&project)
    };
    assert_eq!(readiness(leaving), None);
}

fn counted() -> Counted {
    let last_build = LastBuild {
        name: "b".into(),
        phase: Phase::Building,
        completion_time: None,
    };
    Counted {
        builds: BuildCounts {
            total: 3,
            running: 3,
            ..BuildCounts::default()
        },
        last_build: Some(last_build),
    }
}

fn status_of(situation: Situation<'_>) -> ProjectStatus {
    status(situation, &readiness(situation).unwrap())
}

#[test]
fn conditions_go_at_once_and_counts_wait_for_their_time() {
    let mut project = project(ProjectSpec::default());
    let counted = counted();
    project.status = Some(status_of(Situation {
        counted: Some(&counted),
        ..situation(&project)
    }));
    project.spec.archived = true;
    let now = status_of(situation(&project));
    assert_eq!(now.builds, Some(counted.builds));
    assert_eq!(conditions::find(&now.conditions, "Ready").unwrap().reason, "Archived");
}

#[test]
fn a_look_that_finds_the_same_gives_the_same_status() {
    let mut project = project(ProjectSpec::default());
    let counted = counted();
    let first = status_of(Situation {
        counted: Some(&counted),
        ..situation(&project)
    });
    project.status = Some(first.clone());
    assert_eq!(
        status_of(Situation {
            counted: Some(&counted),
            now: at(2000),
            ..situation(&project)
        }),
        first
    );
    assert_eq!(
        status_of(Situation {
            now: at(3000),
            ..situation(&project)
        }),
        first
    );
}

#[test]
fn outside_a_tenants_namespace_nothing_is_counted() {
    let project = project(ProjectSpec::default());
    let counted = counted();
    let status = status_of(Situation {
        has_tenant: false,
        counted: Some(&counted),
        ..situation(&project)
    });
    assert_eq!((status.builds, status.last_build), (None, None));
    assert!(is_true(&status.conditions, "Stalled"));
}

fn tenant(projects: Option<u32>) -> Tenant {
    let quota = Quota {
        projects,
        ..Quota::default()
    };
    let spec = TenantSpec {
        quota: Some(quota),
        ..TenantSpec::default()
    };
    Tenant::new("acme", spec)
}

fn created(name: &str, second: i64) -> Project {
    let mut project = project(ProjectSpec::default());
    project.metadata.name = Some(name.to_owned());
    project.metadata.creation_timestamp = Some(Time(at(second)));
    project
}

#[test]
fn the_projects_beyond_the_quota_are_the_last_created_and_of_those_of_one_second_the_last_by_name() {
    let all = [created("new", 9), created("b", 5), created("a", 5), created("zero", 0)];
    for (limit, beyond) in [
        (None, &[][..]),
        (Some(4), &[]),
        (Some(3), &["new"]),
        (Some(2), &["new", "b"]),
        (Some(0), &["new", "b", "a", "zero"]),
    ] {
        let refused = |project: &&Project| within_quota(project, &all, &tenant(limit)).is_err();
        let refused: Vec<_> = all
            .iter()
            .filter(refused)
            .filter_map(|project| project.metadata.name.as_deref())
            .collect();
        assert_eq!(refused, beyond, "{limit:?}");
    }
    let left = [created("new", 9), created("a", 5)];
    assert_eq!(
        within_quota(&left[0], &left, &tenant(Some(2))),
        Ok(()),
        "others are gone"
    );
}

#[test]
fn a_project_beyond_the_quota_is_not_ready_and_says_limit_and_use_archived_or_not() {
    for archived in [false, true] {
        let spec = ProjectSpec {
            archived,
            ..ProjectSpec::default()
        };
        let one = project(spec);
        let first = [created("first", -1), created("second", -2)];
        let withheld = within_quota(&one, first.iter().chain([&one]), &tenant(Some(2))).unwrap_err();
        let situation = Situation {
            over_quota: Some(&withheld),
            ..situation(&one)
        };
        let readiness = readiness(situation).unwrap();
        assert_eq!(
            (readiness.standing, &*readiness.reason),
            (Standing::Stalled, "quota_exceeded")
        );
        assert!(
            readiness
                .message
                .starts_with("Tenant acme may have 2 projects and has 2. Delete one"),
            "{}",
            readiness.message
        );
    }
}
