//! What a Build runs, by what its template and its project say.
#![allow(clippy::needless_pass_by_value, reason = "values written in place read better")]

use imagefactory_crds::BuildSpec;
use serde_json::{Value, json};

use crate::build::fixtures::{World, pod};
use crate::build::objects::build_pod;
use crate::build::plan::Action;
use crate::build::validated::{Refusal, Validated};
use crate::step::StepSource;

pub(super) fn spec(fields: Value) -> BuildSpec {
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

pub(super) fn set_template(world: &mut World, template: Value) {
    let mut named = json!({"name": "t"});
    named
        .as_object_mut()
        .unwrap()
        .extend(template.as_object().unwrap().clone());
    world.project.as_mut().unwrap().spec.templates = vec![serde_json::from_value(named).unwrap()];
}

pub(super) fn files(content: &str) -> Value {
    json!({"inline": {"files": [{"path": "Dockerfile", "content": content}]}})
}

pub(super) fn validated(world: &World) -> Validated {
    world.validated().unwrap()
}

pub(super) fn refusal(world: &World) -> Refusal {
    world.validated().unwrap_err()
}

pub(super) fn content(build: &Validated) -> &str {
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

type Case = (Value, Value, &'static str);

fn source() -> Value {
    json!({"source": files("FROM scratch")})
}

/// That source, and more.
fn with(fields: Value) -> Value {
    let mut whole = source();
    whole
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    whole
}

fn are_refused(cases: Vec<Case>) {
    for (build, template, reason) in cases {
        let said = format!("{build} {template}");
        let world = by_template(build, template);
        assert_eq!(
            world.validated().map_or_else(|refusal| refusal.reason, |_| ""),
            reason,
            "{said}"
        );
    }
}

#[test]
fn a_node_selector_that_comes_of_several_may_be_no_longer_than_one_of_a_build() {
    let labels = |prefix: &str| -> Value {
        (0..5)
            .map(|n| json!({"key": format!("{prefix}{n}"), "value": "x"}))
            .collect()
    };
    are_refused(vec![(
        with(json!({"placement": {"nodeSelector": labels("a")}})),
        json!({"placement": {"nodeSelector": labels("b")}}),
        "InvalidSpec",
    )]);
}

#[test]
fn a_template_excludes_what_a_build_could_not_say_beside_it() {
    let args = |prefix: &str| -> Value {
        (0..40)
            .map(|n| json!({"name": format!("{prefix}{n}"), "value": "x"}))
            .collect()
    };
    let custom = json!({"image": format!("docker.io/library/b@sha256:{}", "a".repeat(64))});
    let push = json!({"pushSecretRef": {"name": "push"}});
    are_refused(vec![
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
            json!({"method": "custom", "custom": custom}),
            "field_not_supported",
        ),
        (with(json!({"method": "custom"})), json!({}), "InvalidSpec"),
        (
            json!({"recipe": {"baseImage": "debian"}}),
            json!({"buildArgs": args("A")}),
            "InvalidSpec",
        ),
        (
            with(json!({"output": push})),
            json!({"pullSecrets": [{"name": "push"}]}),
            "InvalidSpec",
        ),
        (
            with(json!({"method": "buildx", "output": push})),
            json!({"secrets": [{"id": "a", "secretRef": {"name": "push", "key": "a"}}]}),
            "InvalidSpec",
        ),
        (
            with(json!({"pullSecrets": [{"name": "push"}]})),
            json!({"output": push}),
            "InvalidSpec",
        ),
        (
            with(json!({"buildArgs": args("A")})),
            json!({"buildArgs": args("B")}),
            "InvalidSpec",
        ),
        (source(), json!({"timeout": "25h"}), "InvalidTimeout"),
    ]);
}

#[test]
fn a_template_reaches_nothing_that_a_build_could_not() {
    let mirror = json!([{"registry": "docker.io", "mirror": "evil.example.com"}]);
    are_refused(vec![
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
        (source(), json!({ "registryMirrors": mirror }), "RegistryNotAllowed"),
        (
            source(),
            json!({"placement": {"runtimeClassName": "gvisor"}}),
            "PlacementNotAllowed",
        ),
        (source(), json!({"policyRef": {"name": "nope"}}), "PolicyNotFound"),
    ]);
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
    let made = build_pod(&validated(&world), None, world.now, &world.settings);
    set_template(&mut world, json!({"source": files("FROM now")}));
    let text = &made.metadata.annotations.unwrap()[imagefactory_crds::names::ANNOTATION_RESOLVED_SPEC];
    world.begun_with = Some(serde_json::from_str(text).unwrap());
    world.observed.pod = Some(pod("Running", vec![]));
    world.step();
    assert_eq!(world.status().resolved_spec.as_deref(), world.begun_with.as_ref());
    assert_eq!(content(&validated(&world)), "FROM then");
}
