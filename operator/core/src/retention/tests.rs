//! What goes and what stays, for any set of runs of a kind, in any order, after any crash.

use imagefactory_crds::common::DurationText;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::build::fixtures::at;

const HOUR: i64 = 3600;

fn build(change: Value) -> Build {
    let mut whole = json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build",
        "metadata": {"name": "web-bcdf2", "generateName": "web-", "namespace": "tenant-acme", "uid": "b"},
        "spec": {"projectRef": {"name": "web"}},
        "status": {"completionTime": "1970-01-01T00:00:00Z", "conditions": [{"type": "Succeeded", "status": "True",
            "reason": "R", "message": "", "lastTransitionTime": "1970-01-01T00:00:00Z"}]},
    });
    if let Value::Object(change) = change {
        for (pointer, value) in change {
            *whole.pointer_mut(&pointer).unwrap() = value;
        }
    }
    serde_json::from_value(whole).unwrap()
}

fn limits(max_age: Option<i64>, max_builds: Option<usize>, include_applied: bool) -> Limits {
    Limits {
        max_age: max_age.map(SignedDuration::from_hours),
        max_builds,
        include_applied,
    }
}

fn finished(name: &str, ended: i64, succeeded: bool) -> Finished {
    Finished {
        ended: at(ended),
        name: name.to_owned(),
        succeeded,
        generated: true,
    }
}

fn nothing() -> Held {
    Held::default()
}

/// What these hold together.
fn held_by(builds: &[Build]) -> Held {
    let mut held = nothing();
    builds.iter().for_each(|build| build.hold(&mut held));
    held
}

/// A rerun of this one, which has ended so or goes on, with this record.
fn rerun(of: &str, succeeded: &str, resolved: Value) -> Build {
    let mut build = build(json!({"/status/conditions/0/status": succeeded}));
    build.spec.rerun_of = Some(imagefactory_crds::common::LocalRef::to(of));
    build.status.as_mut().unwrap().resolved_spec = serde_json::from_value(resolved).unwrap();
    build
}

fn names(builds: &[Finished]) -> Vec<&str> {
    builds.iter().map(|build| build.name.as_str()).collect()
}

#[test]
fn what_has_not_ended_or_is_being_deleted_is_never_considered() {
    assert_eq!(
        Finished::of(&build(json!({}))),
        Some(Finished {
            name: "web-bcdf2".to_owned(),
            ..finished("", 0, true)
        })
        .map(|build| Finished {
            ended: Timestamp::UNIX_EPOCH,
            ..build
        })
    );
    assert_eq!(
        Finished::of(&build(json!({"/status/conditions/0/status": "Unknown"}))),
        None
    );
    assert_eq!(Finished::of(&build(json!({"/status/completionTime": null}))), None);
    assert_eq!(Finished::of(&build(json!({"/status/conditions": []}))), None);
    assert_eq!(Finished::of(&build(json!({"/status": null}))), None);
    let mut deleted = build(json!({}));
    deleted.metadata.deletion_timestamp = Some(Time(at(0)));
    assert_eq!(Finished::of(&deleted), None);
    let failed = Finished::of(&build(json!({"/status/conditions/0/status": "False"}))).unwrap();
    assert!(!failed.succeeded);
}

/// A scan that ended as the build of [`build`] did.
fn scan(change: Value) -> ImageScan {
    let mut value = serde_json::to_value(build(change)).unwrap();
    value["kind"] = json!("ImageScan");
    value["spec"]["image"] = json!("registry.example.com/images/acme/web:1");
    serde_json::from_value(value).unwrap()
}

#[test]
fn a_scan_is_known_by_the_same_words_as_a_build() {
    for change in [
        json!({}),
        json!({"/status/conditions/0/status": "False"}),
        json!({"/status/conditions/0/status": "Unknown"}),
        json!({"/status/completionTime": null}),
        json!({"/metadata/name": "named", "/metadata/generateName": null}),
    ] {
        let (scan, build) = (scan(change.clone()), build(change.clone()));
        assert_eq!(Finished::of(&scan), Finished::of(&build), "{change}");
        assert_eq!((scan.project(), build.project()), ("web", "web"));
    }
    assert!(Finished::of(&scan(json!({}))).is_some_and(|scan| scan.succeeded && scan.generated));
    assert_eq!(Finished::of(&scan(json!({"/status": null}))), None);
}

#[test]
fn a_name_is_generated_only_if_the_api_server_could_have_made_it() {
    let generated = |name: &str, prefix: Value| {
        is_generated(&build(json!({"/metadata/name": name, "/metadata/generateName": prefix})).metadata)
    };
    assert!(generated("web-bcdf2", json!("web-")));
    assert!(generated("web-z9x8w", json!("web-")));
    for (name, prefix) in [
        ("web-bcdf2", json!(null)),
        ("web-bcdf2", json!("")),
        ("web-1", json!("web-")),
        // No vowels, no 0, 1 and 3: nothing that reads as a word or can be misread.
        ("web-beta2", json!("web-")),
        ("web-bcd13", json!("web-")),
        ("web-bcdf22", json!("web-")),
        ("release", json!("web-")),
    ] {
        assert!(!generated(name, prefix.clone()), "{name} {prefix}");
    }
}

#[test]
fn what_is_older_than_it_may_be_goes_but_the_newest_success_stays() {
    let builds = vec![
        finished("a", 0, true),
        finished("b", 10, true),
        finished("c", 20, false),
        finished("d", HOUR, false),
    ];
    let due = due(builds, &nothing(), &limits(Some(1), None, false), at(20 + HOUR));
    assert_eq!(names(&due), ["a", "c"]);
}

#[test]
fn the_newest_stay_and_the_newest_success_beside_them() {
    let builds: Vec<_> = (0..6).map(|i| finished(&format!("{i}"), i, i == 0 || i == 1)).collect();
    let due = |most| {
        due(
            builds.clone(),
            &nothing(),
            &limits(None, Some(most), false),
            at(1000 * HOUR),
        )
    };
    assert_eq!(names(&due(2)), ["0", "2", "3"]);
    assert_eq!(names(&due(6)), Vec::<&str>::new());
}

#[test]
fn what_somebody_named_neither_goes_nor_counts_unless_asked_for() {
    let applied = |name: &str, ended| Finished {
        generated: false,
        ..finished(name, ended, false)
    };
    let builds = vec![
        applied("a", 0),
        finished("b", 1, false),
        applied("c", 2),
        finished("d", 3, false),
    ];
    let due = |include| due(builds.clone(), &nothing(), &limits(None, Some(1), include), at(9));
    assert_eq!(names(&due(false)), ["b"]);
    assert_eq!(names(&due(true)), ["a", "b", "c"]);
}

#[test]
fn what_a_rerun_needs_stays_until_it_has_ended_and_no_other_goes_or_stays_for_it() {
    let builds: Vec<_> = (0..5).map(|i| finished(&format!("{i}"), i, i == 4)).collect();
    let (record, referring) = (json!({}), json!({"inputsOf": "0"}));
    for (reruns, gone) in [
        (vec![], vec!["0", "1", "2"]),
        (vec![rerun("1", "Unknown", record.clone())], vec!["0", "2"]),
        (vec![rerun("1", "Unknown", referring.clone())], vec!["2"]),
        (vec![rerun("gone", "Unknown", referring.clone())], vec!["1", "2"]),
        (
            vec![rerun("1", "False", referring.clone()), rerun("2", "True", referring)],
            vec!["0", "1", "2"],
        ),
        // What it needs beside the one that it names is not known before it has a record.
        (vec![rerun("1", "Unknown", json!(null))], vec![]),
        (vec![rerun("1", "False", json!(null))], vec!["0", "1", "2"]),
    ] {
        let due = due(builds.clone(), &held_by(&reruns), &limits(None, Some(2), false), at(9));
        assert_eq!(names(&due), gone, "{reruns:?}");
    }
    let held = held_by(&[rerun("1", "Unknown", record)]);
    let old = due(builds, &held, &limits(Some(1), None, false), at(9 * HOUR));
    assert_eq!(names(&old), ["0", "2", "3"], "by age as by number");
}

#[test]
fn only_reruns_hold_anything() {
    let waits = build(json!({"/status/conditions/0/status": "Unknown"}));
    let new = build(json!({"/status": null}));
    assert_eq!(held_by(&[waits, new]), nothing());
    let mut held = nothing();
    scan(json!({"/status": null})).hold(&mut held);
    assert_eq!(held, nothing());
    let mut rerun = rerun("1", "Unknown", json!(null));
    rerun.status = None;
    assert!(held_by(&[rerun]).all, "nobody has looked at it yet");
}

fn of(age: Option<&str>, most: Option<u32>) -> Retention {
    Retention {
        max_age: age.map(DurationText::from),
        max_builds: most,
        include_applied: false,
    }
}

#[test]
fn the_projects_word_counts_before_the_tenants_and_the_tenants_before_the_platforms() {
    let platform = of(None, Some(3));
    let mut project: Project = crate::build::fixtures::World::new().project.unwrap();
    let mut settings = TenantSettings::new("settings", imagefactory_crds::TenantSettingsSpec::default());
    let found = |project: &Project, settings: &TenantSettings| Limits::of(Some(project), Some(settings), &platform);
    assert_eq!(found(&project, &settings), Some(limits(None, Some(3), false)));
    settings.spec.retention = Some(of(Some("48h"), None));
    assert_eq!(found(&project, &settings), Some(limits(Some(48), None, false)));
    project.spec.retention = Some(of(None, Some(7)));
    assert_eq!(found(&project, &settings), Some(limits(None, Some(7), false)));
    project.spec.retention = Some(Retention::default());
    assert_eq!(found(&project, &settings), None, "an empty one keeps everything");
}

#[test]
fn nothing_goes_of_an_archived_project_or_where_who_has_the_word_is_not_seen() {
    let platform = of(None, Some(3));
    let mut project: Project = crate::build::fixtures::World::new().project.unwrap();
    let settings = TenantSettings::new("settings", imagefactory_crds::TenantSettingsSpec::default());
    assert_eq!(Limits::of(None, Some(&settings), &platform), None);
    assert_eq!(Limits::of(Some(&project), None, &platform), None);
    assert!(Limits::of(Some(&project), Some(&settings), &platform).is_some());
    project.spec.archived = true;
    project.spec.retention = Some(of(Some("1h"), None));
    assert_eq!(Limits::of(Some(&project), Some(&settings), &platform), None);
    assert_eq!(Limits::from_retention(&of(Some("soon"), None)), None);
}

fn some_builds() -> impl Strategy<Value = Vec<Finished>> {
    let build = (0_i64..40, any::<bool>(), any::<bool>());
    proptest::collection::vec(build, 0..40).prop_map(|builds| {
        let named = builds.into_iter().enumerate();
        named
            .map(|(index, (hour, succeeded, generated))| Finished {
                generated,
                ..finished(&format!("b{index}"), hour * HOUR, succeeded)
            })
            .collect()
    })
}

fn some_limits() -> impl Strategy<Value = Limits> {
    let age = proptest::option::of(1_i64..40);
    let most = proptest::option::of(1_usize..20);
    (age, most, any::<bool>()).prop_map(|(age, most, applied)| limits(age, most, applied))
}

fn some_held() -> impl Strategy<Value = Held> {
    let names = proptest::collection::hash_set((0..40).prop_map(|index| format!("b{index}")), 0..6);
    (names, proptest::bool::weighted(0.1)).prop_map(|(names, all)| Held { names, all })
}

proptest! {
    #[test]
    fn what_is_held_stays_and_changes_nothing_for_others(
        builds in some_builds(), held in some_held(), limits in some_limits(), now in 0_i64..60,
    ) {
        let now = at(now * HOUR);
        let free = due(builds.clone(), &nothing(), &limits, now).into_iter().filter(|build| !held.has(build));
        prop_assert_eq!(due(builds, &held, &limits, now), free.collect::<Vec<_>>());
    }

    #[test]
    fn what_stays_is_what_the_limits_leave(builds in some_builds(), limits in some_limits(), now in 0_i64..60) {
        let now = at(now * HOUR);
        let gone = due(builds.clone(), &nothing(), &limits, now);
        let stays: Vec<_> = builds.iter().filter(|build| !gone.contains(build)).collect();
        let newest_success = builds.iter().filter(|build| build.succeeded).max();
        prop_assert!(newest_success.is_none_or(|build| !gone.contains(build)));
        for build in &gone {
            prop_assert!(build.generated || limits.include_applied);
            let old = limits.max_age.is_some_and(|most| now.duration_since(build.ended) >= most);
            let newer = builds.iter().filter(|other| *other > build && (other.generated || limits.include_applied));
            prop_assert!(old || limits.max_builds.is_some_and(|most| newer.count() >= most));
        }
        let counted = stays.iter().filter(|build| build.generated || limits.include_applied);
        let counted = counted.filter(|build| Some(**build) != newest_success).count();
        prop_assert!(limits.max_builds.is_none_or(|most| counted <= most));
        prop_assert!(gone.is_sorted());
    }

    #[test]
    fn the_order_in_which_builds_are_seen_changes_nothing(
        (builds, shuffled) in some_builds().prop_flat_map(|builds| (Just(builds.clone()), Just(builds).prop_shuffle())),
        limits in some_limits(),
    ) {
        let due = |builds| due(builds, &nothing(), &limits, at(40 * HOUR));
        prop_assert_eq!(due(builds), due(shuffled));
    }

    #[test]
    fn after_a_crash_between_any_two_removals_the_rest_is_due_and_nothing_else(
        builds in some_builds(), held in some_held(), limits in some_limits(), done in proptest::collection::vec(any::<bool>(), 40),
    ) {
        let now = at(40 * HOUR);
        let before = due(builds.clone(), &held, &limits, now);
        let removed: Vec<_> = before.iter().zip(done).filter(|(_, done)| *done).map(|(build, _)| build.clone()).collect();
        let is_left = |build: &Finished| !removed.contains(build);
        let after = due(builds.into_iter().filter(is_left).collect(), &held, &limits, now);
        prop_assert_eq!(after, before.into_iter().filter(is_left).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_not_seen_makes_it_remove_less_and_never_more(
        builds in some_builds(), held in some_held(), limits in some_limits(), seen in proptest::collection::vec(any::<bool>(), 40),
    ) {
        let now = at(40 * HOUR);
        let all = due(builds.clone(), &held, &limits, now);
        let some = builds.into_iter().zip(seen).filter(|(_, seen)| *seen).map(|(build, _)| build).collect();
        for build in due(some, &held, &limits, now) {
            prop_assert!(all.contains(&build));
        }
    }
}
