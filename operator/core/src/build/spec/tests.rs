//! What a Build runs, by what its template, its project and another Build say.

use imagefactory_crds::build::{BuildStatus, LongField, SourceStatus};
use imagefactory_crds::{Build, BuildSpec};
use serde_json::{Value, json};

use super::record::MAX_RECORD;
use crate::build::fixtures::{World, pod};
use crate::build::objects::build_pod;
use crate::build::plan::Action;
use crate::build::validated::{Refusal, Validated};
use crate::step::StepSource;

fn spec(fields: Value) -> BuildSpec {
    let mut spec = json!({"projectRef": {"name": "web"}});
    spec.as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    serde_json::from_value(spec).unwrap()
}

/// A Build, and the template `t` that it names.
pub(super) fn by_template(build: Value, template: Value) -> World {
    let mut world = World::new();
    world.build.spec = spec(build);
    world.build.spec.template_ref = Some(serde_json::from_value(json!({"name": "t"})).unwrap());
    set_template(&mut world, template);
    world
}

fn set_template(world: &mut World, template: Value) {
    let mut named = json!({"name": "t"});
    named
        .as_object_mut()
        .unwrap()
        .extend(template.as_object().unwrap().clone());
    world.project.as_mut().unwrap().spec.templates = vec![serde_json::from_value(named).unwrap()];
}

fn files(content: &str) -> Value {
    json!({"inline": {"files": [{"path": "Dockerfile", "content": content}]}})
}

fn validated(world: &World) -> Validated {
    world.validated().unwrap()
}

fn refusal(world: &World) -> Refusal {
    world.validated().unwrap_err()
}

fn content(build: &Validated) -> &str {
    match &build.source {
        StepSource::Inline { files } => &files[0].content,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_build_says_comes_before_the_template_and_that_before_the_defaults() {
    let mut world = by_template(
        json!({"source": files("FROM own"), "buildArgs": [{"name": "A", "value": "own"}, {"name": "C", "value": "own"}]}),
        json!({
            "source": files("FROM template"), "method": "docker", "target": "final", "timeout": "5m", "retries": 1, "priority": 4,
            "buildArgs": [{"name": "A", "value": "template"}, {"name": "B", "value": "template"}],
            "resources": {"limits": {"cpu": "2"}},
        }),
    );
    world.project.as_mut().unwrap().spec.build_defaults = Some(
        serde_json::from_value(json!({"timeout": "7m", "resources": {"limits": {"cpu": "3", "memory": "1Gi"}}}))
            .unwrap(),
    );
    world.project.as_mut().unwrap().spec.source = Some(serde_json::from_value(files("FROM project")).unwrap());
    let build = validated(&world);
    assert_eq!(content(&build), "FROM own");
    assert_eq!(
        (build.method.as_str(), build.target.as_deref()),
        ("docker", Some("final"))
    );
    assert_eq!(
        (build.timeout.as_secs(), build.retries, build.priority),
        (300, Some(1), 4)
    );
    let args: Vec<_> = build.build_args.iter().map(|arg| (&*arg.name, &*arg.value)).collect();
    assert_eq!(args, [("A", "own"), ("C", "own"), ("B", "template")]);
    let limits = build.resources.limits.unwrap();
    assert_eq!(limits.cpu.unwrap().as_str(), "2");
    assert_eq!(limits.memory.unwrap().as_str(), "1Gi");
    assert_eq!(build.resolved.template.as_deref(), Some("t"));
}

#[test]
fn a_source_takes_the_place_of_a_templates_recipe_and_the_other_way_round() {
    let recipe = json!({"recipe": {"baseImage": "debian"}});
    let world = by_template(json!({"source": files("FROM own")}), recipe.clone());
    assert_eq!(content(&validated(&world)), "FROM own");
    let world = by_template(recipe.clone(), json!({"source": files("FROM template")}));
    assert!(matches!(validated(&world).source, StepSource::Recipe(_)));
    let mut world = by_template(json!({}), recipe);
    world.project.as_mut().unwrap().spec.source = Some(serde_json::from_value(files("FROM project")).unwrap());
    assert!(
        matches!(validated(&world).source, StepSource::Recipe(_)),
        "before the project's source"
    );
}

#[test]
fn an_unknown_template_is_told_with_its_project_and_may_still_come() {
    let mut world = by_template(json!({"source": files("FROM scratch")}), json!({}));
    world.project.as_mut().unwrap().spec.templates.clear();
    let refusal = refusal(&world);
    assert_eq!((refusal.reason, refusal.may_heal), ("TemplateNotFound", true));
    assert_eq!(refusal.message, "Project web has no template t.");
    world.step();
    assert_eq!(world.succeeded_reason(), "Source");
    assert_eq!(world.status().failure.as_ref().unwrap().reason, "TemplateNotFound");
    assert_eq!(world.status().resolved_spec, None, "it was never taken on");
}

#[test]
fn a_templates_repository_has_the_name_of_the_build_as_its_tag() {
    let output = json!({"repository": "registry.example.com/output/acme/api", "pushSecretRef": {"name": "push"}});
    let source = json!({"source": files("FROM scratch")});
    let world = by_template(source.clone(), json!({ "output": output }));
    let build = validated(&world);
    assert_eq!(build.output_image, "registry.example.com/output/acme/api:hello");
    assert_eq!(build.push_secret.as_deref(), Some("push"));
    let own = json!({"source": files("FROM scratch"), "output": {"image": "registry.example.com/output/acme/own:1"}});
    let build = validated(&by_template(own, json!({ "output": output })));
    assert_eq!(build.output_image, "registry.example.com/output/acme/own:1");
    let elsewhere = json!({"output": {"repository": "registry.example.com/output/other/api"}});
    assert_eq!(refusal(&by_template(source, elsewhere)).reason, "OutputNotAllowed");
}

#[test]
fn a_template_says_nothing_that_a_build_could_not() {
    let digest = "a".repeat(64);
    let args = |prefix: &str| -> Vec<Value> {
        (0..40)
            .map(|n| json!({"name": format!("{prefix}{n}"), "value": "x"}))
            .collect()
    };
    let source = || json!({"source": files("FROM scratch")});
    let with = |fields: Value| {
        let mut whole = source();
        whole
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        whole
    };
    for (build, template, reason) in [
        (source(), json!({"platforms": ["linux/arm64"]}), "field_not_supported"),
        (
            with(json!({"method": "docker"})),
            json!({"method": "buildx", "platforms": ["linux/amd64", "linux/arm64"]}),
            "field_not_supported",
        ),
        (
            source(),
            json!({"secrets": [{"id": "a", "secretRef": {"name": "a", "key": "a"}}]}),
            "field_not_supported",
        ),
        (
            with(json!({"method": "kaniko"})),
            json!({"method": "custom", "custom": {"image": format!("docker.io/library/b@sha256:{digest}")}}),
            "field_not_supported",
        ),
        (with(json!({"method": "custom"})), json!({}), "InvalidSpec"),
        (
            json!({"recipe": {"baseImage": "debian"}}),
            json!({"buildArgs": [{"name": "A", "value": "b"}]}),
            "InvalidSpec",
        ),
        (
            with(json!({"output": {"pushSecretRef": {"name": "push"}}})),
            json!({"pullSecrets": [{"name": "push"}]}),
            "InvalidSpec",
        ),
        (
            with(json!({"pullSecrets": [{"name": "push"}]})),
            json!({"output": {"pushSecretRef": {"name": "push"}}}),
            "InvalidSpec",
        ),
        (
            with(json!({"buildArgs": args("A")})),
            json!({"buildArgs": args("B")}),
            "InvalidSpec",
        ),
        (
            source(),
            json!({"pullSecrets": [{"name": "imagefactory-staging"}]}),
            "ReservedName",
        ),
        (
            source(),
            json!({"output": {"pushSecretRef": {"name": "imagefactory-output"}}}),
            "ReservedName",
        ),
        (
            source(),
            json!({"caBundle": {"name": "imagefactory-ca", "key": "a"}}),
            "ReservedName",
        ),
        (
            json!({}),
            json!({"source": {"configMap": {"name": "imagefactory-x"}}}),
            "ReservedName",
        ),
        (
            json!({}),
            json!({"source": {"oci": {"image": "evil.example.com/x:1"}}}),
            "RegistryNotAllowed",
        ),
        (
            source(),
            json!({"registryMirrors": [{"registry": "docker.io", "mirror": "evil.example.com"}]}),
            "RegistryNotAllowed",
        ),
        (
            source(),
            json!({"placement": {"runtimeClassName": "gvisor"}}),
            "PlacementNotAllowed",
        ),
        (source(), json!({"policyRef": {"name": "nope"}}), "PolicyNotFound"),
        (source(), json!({"timeout": "25h"}), "InvalidTimeout"),
    ] {
        let world = by_template(build.clone(), template.clone());
        assert_eq!(
            world.validated().map_or_else(|refusal| refusal.reason, |_| ""),
            reason,
            "{build} {template}"
        );
    }
}

#[test]
fn what_a_build_runs_is_recorded_with_the_first_write_and_stays() {
    let mut world = by_template(json!({}), json!({"source": files("FROM then"), "timeout": "5m"}));
    let plan = world.step();
    assert!(matches!(plan.actions.as_slice(), [Action::CreatePod(_)]));
    let recorded = world.status().resolved_spec.clone().unwrap();
    assert_eq!(recorded.inputs.timeout.as_deref(), Some("5m"));
    let before = validated(&world);
    set_template(
        &mut world,
        json!({"source": files("FROM now"), "timeout": "9m", "target": "now"}),
    );
    world.project.as_mut().unwrap().spec.build_defaults =
        Some(serde_json::from_value(json!({"cache": {"mode": "Use"}})).unwrap());
    assert_eq!(validated(&world), before);
    assert_eq!(content(&before), "FROM then");
    world.project.as_mut().unwrap().spec.templates.clear();
    assert_eq!(validated(&world), before, "the template is gone");
    world.observed.pod = Some(pod("Running", vec![]));
    assert_eq!(
        world.plan().status.as_ref(),
        world.build.status.as_ref(),
        "nothing is written for it"
    );
}

#[test]
fn what_is_recorded_never_allows_what_is_not_allowed_any_more() {
    let placed = json!({"source": files("FROM scratch"), "placement": {"runtimeClassName": "gvisor"}});
    let mut world = World::new();
    world.build.spec = spec(placed);
    world.settings.builds.placement = serde_json::from_value(json!({"runtimeClassNames": ["gvisor"]})).unwrap();
    world.step();
    world.settings.builds.placement = serde_json::from_value(json!({})).unwrap();
    assert_eq!(refusal(&world).reason, "PlacementNotAllowed");

    let mut world = World::new();
    world.build.spec =
        spec(json!({"source": {"oci": {"image": "quay.io/acme/source:1"}}, "output": {"image": "quay.io/acme/out:1"}}));
    world.tenant.as_mut().unwrap().spec.registries = vec!["quay.io/acme".into()];
    world.step();
    world.tenant.as_mut().unwrap().spec.registries.clear();
    assert_eq!(refusal(&world).reason, "RegistryNotAllowed");
}

#[test]
fn a_start_whose_maker_died_is_recorded_as_its_pod_says() {
    let mut world = by_template(json!({}), json!({"source": files("FROM then")}));
    let made = build_pod(&validated(&world), None, &world.settings);
    set_template(&mut world, json!({"source": files("FROM now")}));
    let text = &made.metadata.annotations.unwrap()[imagefactory_crds::names::ANNOTATION_RESOLVED_SPEC];
    world.begun_with = Some(serde_json::from_str(text).unwrap());
    world.observed.pod = Some(pod("Running", vec![]));
    world.step();
    assert_eq!(world.status().resolved_spec.as_deref(), world.begun_with.as_ref());
    assert_eq!(content(&validated(&world)), "FROM then");
}

#[test]
fn inline_files_of_the_build_itself_are_not_repeated() {
    let mut world = World::new();
    world.step();
    let recorded = world.status().resolved_spec.as_ref().unwrap();
    assert_eq!(recorded.inputs.source, None);
    assert_eq!(recorded.referred[0].field, LongField::Source);
    assert_eq!(content(&validated(&world)), "FROM scratch");
}

fn long_args(letter: &str) -> Value {
    (0..64)
        .map(|n| json!({"name": format!("A{n}"), "value": letter.repeat(2048)}))
        .collect()
}

#[test]
fn what_is_too_long_is_referred_to_and_found_again() {
    let mut world = by_template(
        json!({"labels": long_args("l")}),
        json!({"source": files("FROM a"), "buildArgs": long_args("x")}),
    );
    world.slot = crate::build::tests::waits(imagefactory_crds::build::QueueLimit::ClusterLimit, 3);
    world.step();
    let recorded = world.status().resolved_spec.clone().unwrap();
    let referred: Vec<_> = recorded.referred.iter().map(|referred| referred.field).collect();
    assert_eq!(referred, [LongField::Labels, LongField::BuildArgs]);
    assert!(serde_json::to_string(&recorded).unwrap().len() <= MAX_RECORD);
    let build = validated(&world);
    assert_eq!(
        (build.labels.len(), build.build_args.len(), content(&build)),
        (64, 64, "FROM a")
    );

    set_template(
        &mut world,
        json!({"source": files("FROM b"), "buildArgs": long_args("y")}),
    );
    let refusal = refusal(&world);
    assert_eq!(refusal.reason, "InputsChanged");
    assert_eq!(
        refusal.message,
        "buildArgs was too long to be kept in status, and template t of project web does not say it any more."
    );
}

#[test]
fn a_template_that_changes_stops_no_attempt_that_has_begun_and_lets_no_other_begin() {
    let mut world = by_template(json!({}), json!({"source": files(&"x".repeat(8000))}));
    world.step();
    world.observed.pod = Some(pod("Running", vec![]));
    set_template(&mut world, json!({"source": files("FROM other")}));
    assert!(world.step().actions.is_empty(), "it runs on");
    let mut gone = pod("Failed", vec![]);
    gone.reason = Some("Evicted".to_owned());
    world.observed.pod = Some(gone);
    world.step();
    assert!(world.status().next_attempt_at.is_some());
    world.observed.pod = None;
    world.now = crate::build::fixtures::at(10_000);
    assert!(world.step().actions.is_empty());
    assert_eq!(world.status().failure.as_ref().unwrap().reason, "InputsChanged");
}

#[test]
fn the_longest_build_that_is_legal_is_recorded_in_few_words() {
    let line = "v".repeat(2048);
    let list = |count: usize, entry: &dyn Fn(usize) -> Value| -> Value { (0..count).map(entry).collect() };
    let host = format!("docker.io/library/{}", "m".repeat(360));
    let class = "c".repeat(253);
    let quantity = "1234567890123456Mi";
    let amounts = json!({"cpu": quantity, "memory": quantity, "ephemeralStorage": quantity});
    let longest = json!({
        "source": {
            "git": {"url": format!("https://git.example.com/{}", "u".repeat(1000)), "revision": "r".repeat(255), "secretRef": {"name": "s".repeat(63)}},
            "contextDir": "d".repeat(512), "dockerfile": "f".repeat(512),
        },
        "method": "buildx", "platforms": ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x"], "target": "t".repeat(128),
        "buildArgs": list(64, &|n| json!({"name": format!("A{n}"), "value": line})),
        "labels": list(64, &|n| json!({"name": format!("l{n}"), "value": line})),
        "secrets": list(16, &|n| json!({"id": format!("{n}{}", "i".repeat(60)), "secretRef": {"name": "n".repeat(63), "key": "k".repeat(253)}})),
        "cache": {"mode": "Refresh"},
        "proxy": {"http": format!("http://{}", "p".repeat(500)), "https": format!("http://{}", "p".repeat(500)), "exceptions": list(32, &|_| json!("e".repeat(253)))},
        "placement": {
            "nodeSelector": list(8, &|n| json!({"key": format!("{n}{}", "k".repeat(250)), "value": "v".repeat(63)})),
            "priorityClassName": class, "runtimeClassName": class, "schedulerName": class,
        },
        "pullSecrets": list(8, &|n| json!({"name": format!("{n}{}", "p".repeat(62))})),
        "registryMirrors": list(16, &|_| json!({"registry": "r".repeat(259), "mirror": host})),
        "caBundle": {"name": "c".repeat(63), "key": "k".repeat(253)},
        "output": {"image": format!("registry.example.com/output/acme/{}:{}", "o".repeat(340), "t".repeat(128)), "pushSecretRef": {"name": "x".repeat(63)}},
        "resources": {"requests": amounts, "limits": amounts},
        "timeout": "1000h1000m1000s", "retries": 5, "priority": -10, "policyRef": {"name": "p".repeat(63)},
    });
    for recipe in [false, true] {
        let mut longest = longest.clone();
        if recipe {
            let fields = longest.as_object_mut().unwrap();
            for name in ["source", "target", "buildArgs"] {
                fields.remove(name);
            }
            fields.insert(
                "recipe".to_owned(),
                json!({"baseImage": "b".repeat(512), "commands": list(64, &|_| json!(line))}),
            );
        }
        let mut world = World::new();
        world.build.spec = spec(longest);
        world.build.spec.timeout = Some("1h".into());
        world.settings.builds.placement = serde_json::from_value(json!({
            "nodeSelector": world.build.spec.placement.as_ref().unwrap().node_selector,
            "priorityClassNames": [class], "runtimeClassNames": [class], "schedulerNames": [class],
        }))
        .unwrap();
        world.settings.builds.pull_prefixes = vec!["docker.io/library".to_owned()];
        world
            .policies
            .insert("p".repeat(63), imagefactory_crds::ImagePolicySpec::default());
        let before = validated(&world);
        world.step();
        let recorded = world.status().resolved_spec.clone().unwrap();
        let length = serde_json::to_string(&recorded).unwrap().len();
        assert!(length <= MAX_RECORD, "{length}");
        assert!(recorded.referred.len() >= 5, "{:?}", recorded.referred);
        assert_eq!(validated(&world), before);
    }
}

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
    first(&mut world).status.as_mut().unwrap().source = Some(SourceStatus {
        commit: Some("c".repeat(40)),
        bases: vec![],
    });
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

#[test]
fn only_a_finished_build_of_the_project_that_was_taken_on_is_run_again() {
    let good = || rerun(json!({"source": files("FROM scratch")}), json!({}));
    assert!(good().validated().is_ok());
    let changes: [(fn(&mut World), &str, bool); 4] = [
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
    world.slot = crate::build::tests::waits(imagefactory_crds::build::QueueLimit::ClusterLimit, 3);
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
    first(&mut world).status.as_mut().unwrap().source = Some(SourceStatus {
        commit: Some("--upload-pack=id".to_owned()),
        bases: vec![],
    });
    match &validated(&world).source {
        StepSource::Git { revision, .. } => assert_eq!(revision.as_deref(), Some("main")),
        other => panic!("{other:?}"),
    }
}
