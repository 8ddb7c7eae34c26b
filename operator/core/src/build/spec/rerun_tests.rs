//! Builds that run another one again.
#![allow(clippy::needless_pass_by_value, reason = "values written in place read better")]

use imagefactory_crds::Build;
use imagefactory_crds::build::{BuildStatus, QueueLimit, SourceStatus};
use serde_json::{Value, json};

use super::tests::{by_template, content, files, refusal, spec, validated};
use crate::build::fixtures::World;
use crate::build::tests::waits;
use crate::step::StepSource;

/// A Build that has ended, and a world with a new one that runs it again.
fn rerun(first: Value, template: Value) -> World {
    let mut world = by_template(first, template);
    world.build.metadata.name = Some("first".to_owned());
    world.step();
    let mut first = world.build.clone();
    first.metadata.uid = Some("first-uid".to_owned());
    let status = first.status.as_mut().unwrap();
    end(status);
    let mut world = World {
        project: world.project,
        ..World::new()
    };
    world.build.spec = spec(json!({"rerunOf": {"name": "first"}}));
    world.rerun_of = Some(first);
    world
}

fn end(status: &mut BuildStatus) {
    status
        .conditions
        .iter_mut()
        .filter(|condition| condition.type_ == "Succeeded")
        .for_each(|condition| condition.status = "False".to_owned());
}

fn first(world: &mut World) -> &mut Build {
    world.rerun_of.as_mut().unwrap()
}

#[test]
fn a_rerun_runs_what_the_other_ran_whatever_the_project_says_now() {
    let git = json!({"git": {"url": "https://git.example.com/team/app", "revision": "main"}});
    let mut world = rerun(
        json!({"target": "final", "priority": 3}),
        json!({"source": git, "method": "docker", "timeout": "5m"}),
    );
    first(&mut world).status.as_mut().unwrap().source = Some(Box::new(SourceStatus {
        commit: Some("c".repeat(40)),
        bases: vec![],
        more_bases: None,
    }));
    world.project.as_mut().unwrap().spec.templates.clear();
    world.build.spec.timeout = Some("6m".into());
    let build = validated(&world);
    match &build.source {
        StepSource::Git { revision, .. } => assert_eq!(revision.as_deref(), Some("c".repeat(40).as_str())),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        (build.method.as_str(), build.target.as_deref()),
        ("docker", Some("final"))
    );
    assert_eq!(
        (build.timeout.as_secs(), build.priority),
        (360, 3),
        "its own timeout, the other's priority"
    );
    assert_eq!(build.output_image, "registry.example.com/output/acme/web:hello");
    world.step();
    world.rerun_of = None;
    assert_eq!(validated(&world), build, "the other may go");
}

type Change = (fn(&mut World), &'static str, bool);

#[test]
fn only_a_finished_build_of_the_project_that_was_taken_on_is_run_again() {
    let good = || rerun(json!({"source": files("FROM scratch")}), json!({}));
    assert!(good().validated().is_ok());
    let changes: [Change; 4] = [
        (|world| world.rerun_of = None, "RerunNotFound", true),
        (
            |world| first(world).spec.project_ref.name = "other".into(),
            "RerunOfOtherProject",
            false,
        ),
        (
            |world| first(world).status.as_mut().unwrap().conditions.clear(),
            "RerunUnfinished",
            false,
        ),
        (
            |world| first(world).status.as_mut().unwrap().resolved_spec = None,
            "RerunNotRecorded",
            false,
        ),
    ];
    for (change, reason, may_heal) in changes {
        let mut world = good();
        change(&mut world);
        let refusal = refusal(&world);
        assert_eq!((refusal.reason, refusal.may_heal), (reason, may_heal));
        assert!(refusal.message.contains("Build first"), "{}", refusal.message);
    }
}

#[test]
fn short_inline_files_are_copied_and_long_ones_are_read_from_the_first_build() {
    let mut world = rerun(json!({"source": files("FROM short")}), json!({}));
    world.step();
    world.rerun_of = None;
    assert_eq!(content(&validated(&world)), "FROM short");

    let long = "x".repeat(8000);
    let mut world = rerun(json!({"source": files(&long)}), json!({}));
    world.slot = waits(QueueLimit::ClusterLimit, 3);
    world.step();
    let recorded = world.status().resolved_spec.clone().unwrap();
    assert_eq!(recorded.inputs_of.as_deref(), Some("first"));
    world.inputs_of = world.rerun_of.take();
    assert_eq!(content(&validated(&world)), long);

    // A rerun of that rerun reads the same Build.
    let mut second = world.build.clone();
    end(second.status.as_mut().unwrap());
    let mut third = World::new();
    third.build.spec = spec(json!({"rerunOf": {"name": "second"}}));
    (third.rerun_of, third.inputs_of) = (Some(second), world.inputs_of.clone());
    assert_eq!(content(&validated(&third)), long);
    assert_eq!(validated(&third).resolved.inputs_of.as_deref(), Some("first"));

    world.inputs_of = None;
    let refusal = refusal(&world);
    assert_eq!(refusal.reason, "InputsChanged");
    assert!(refusal.message.contains("Build first"), "{}", refusal.message);
}

#[test]
fn a_rerun_is_judged_by_what_the_tenant_may_now() {
    let mut world = rerun(
        json!({"source": {"oci": {"image": "docker.io/library/source:1"}}}),
        json!({}),
    );
    assert!(world.validated().is_ok());
    world.settings.builds.pull_prefixes.clear();
    assert_eq!(refusal(&world).reason, "RegistryNotAllowed");
}

#[test]
fn a_commit_that_is_none_is_not_built() {
    let git = json!({"source": {"git": {"url": "https://git.example.com/team/app", "revision": "main"}}});
    let mut world = rerun(git, json!({}));
    first(&mut world).status.as_mut().unwrap().source = Some(Box::new(SourceStatus {
        commit: Some("--upload-pack=id".to_owned()),
        bases: vec![],
        more_bases: None,
    }));
    match &validated(&world).source {
        StepSource::Git { revision, .. } => assert_eq!(revision.as_deref(), Some("main")),
        other => panic!("{other:?}"),
    }
}
