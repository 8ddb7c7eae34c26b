//! What may be written into a template, and into a Build that is built by one or runs another one again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can not go on ends"
)]
#![allow(clippy::needless_pass_by_value, reason = "values written in place read better")]

mod support;

use serde_json::{Map, Value, json};
use support::{admits, fixtures, object, refuses, schema, with};

/// A Project with that template.
fn template(fields: Value) -> Value {
    let mut template = json!({"name": "t"});
    template
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    object("Project", "shop", json!({"templates": [template]}))
}

fn build(fields: Value) -> Value {
    let mut spec = json!({"projectRef": {"name": "shop"}});
    spec.as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    object("Build", "shop-1", spec)
}

fn properties(schema: &Value) -> &Map<String, Value> {
    schema["properties"].as_object().unwrap()
}

/// The schema without what is only for people.
fn bare(schema: &Value) -> Value {
    match schema {
        Value::Object(map) => {
            let kept = map
                .iter()
                .filter(|(key, value)| *key != "description" || !value.is_string());
            Value::Object(kept.map(|(key, value)| (key.clone(), bare(value))).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(bare).collect()),
        other => other.clone(),
    }
}

#[test]
fn every_field_of_a_template_is_bounded_as_the_builds_own() {
    let of_build = properties(&schema("Build")["properties"]["spec"]);
    let template = &schema("Project")["properties"]["spec"]["properties"]["templates"]["items"];
    let mut same = 0;
    for (name, property) in properties(template) {
        if ["name", "description", "output"].contains(&name.as_str()) {
            continue;
        }
        assert_eq!(bare(property), bare(&of_build[name]), "{name}");
        same += 1;
    }
    assert_eq!(same, 20);
}

#[test]
fn a_template_can_say_all_that_a_build_can_but_what_is_of_one_run() {
    let of_build = properties(&schema("Build")["properties"]["spec"]);
    let template = &schema("Project")["properties"]["spec"]["properties"]["templates"]["items"];
    let missing: Vec<&String> = of_build
        .keys()
        .filter(|name| !properties(template).contains_key(*name))
        .collect();
    assert_eq!(missing, ["cancelled", "projectRef", "rerunOf", "templateRef"]);
}

#[test]
fn what_is_recorded_is_bounded_as_what_was_written() {
    let of_build = properties(&schema("Build")["properties"]["spec"]);
    let recorded = &schema("Build")["properties"]["status"]["properties"]["resolvedSpec"];
    for (name, property) in properties(recorded) {
        if !["template", "inputsOf", "referred"].contains(&name.as_str()) {
            assert_eq!(bare(property), bare(&of_build[name]), "{name}");
        }
    }
}

#[test]
fn a_template_has_a_name_of_its_own() {
    admits(&template(json!({})));
    refuses(
        &object("Project", "shop", json!({"templates": [{}]})),
        "name: is required",
    );
    let twice = json!({"templates": [{"name": "a"}, {"name": "a"}]});
    refuses(&object("Project", "shop", twice), "duplicate");
    let many: Vec<_> = (0..17).map(|n| json!({"name": format!("t{n}")})).collect();
    refuses(&object("Project", "shop", json!({"templates": many})), "too long");
    refuses(
        &template(json!({"name": "imagefactory-x"})),
        "are reserved for the factory",
    );
}

#[test]
fn a_template_is_a_source_or_a_recipe() {
    let both = json!({"source": fixtures::inline(), "recipe": {"baseImage": "debian"}});
    refuses(&template(both), "name a source or a recipe, not both");
    let none = json!({"source": {"dockerfile": "Dockerfile"}});
    refuses(&template(none), "name exactly one of git, inline, configMap and oci");
}

#[test]
fn a_template_names_a_repository_and_no_tag() {
    let at = |repository: &str| template(json!({"output": {"repository": repository}}));
    for good in ["registry.example.com/acme/shop", "localhost:5000/a/b_c/d-e"] {
        admits(&at(good));
    }
    for bad in [
        "registry.example.com/acme/shop:1",
        "registry.example.com/acme/shop@sha256:12",
        "registry.example.com",
        "registry.example.com/acme/",
        "registry.example.com/acme/../other",
        "https://registry.example.com/acme",
    ] {
        refuses(&at(bad), "does not match");
    }
    refuses(
        &template(json!({"output": {"image": "registry.example.com/a:1"}})),
        "unknown field",
    );
}

#[test]
fn the_secret_to_publish_with_is_none_that_the_templates_steps_can_read() {
    let same = json!({"output": {"pushSecretRef": {"name": "push"}}, "pullSecrets": [{"name": "push"}]});
    refuses(&template(same), "the secret to publish with can't be one of them");
    let of = |name: &str| {
        let secrets = json!([{"id": "a", "secretRef": {"name": name, "key": "k"}}]);
        template(json!({"output": {"pushSecretRef": {"name": "push"}}, "method": "buildx", "secrets": secrets}))
    };
    admits(&of("other"));
    refuses(
        &of("push"),
        "the build's steps can read secrets, so the secret to publish with can't be one of them",
    );
}

#[test]
fn the_longest_list_of_templates_is_admitted() {
    let args: Vec<_> = (0..64)
        .map(|n| json!({"name": format!("A{n}"), "value": "x".repeat(100)}))
        .collect();
    let templates: Vec<_> = (0..16)
        .map(|n| json!({"name": format!("t{n}"), "buildArgs": args, "source": fixtures::inline()}))
        .collect();
    admits(&object("Project", "shop", json!({"templates": templates})));
}

#[test]
fn what_the_method_has_to_allow_may_stand_beside_a_template_that_names_it() {
    let by = |fields: Value| with(&build(fields), "/spec/templateRef", Some(json!({"name": "t"})));
    let custom = json!({"image": format!("registry.example.com/b@sha256:{}", "b".repeat(64))});
    let secrets = json!([{"id": "a", "secretRef": {"name": "a", "key": "a"}}]);
    for fields in [
        json!({"platforms": ["linux/amd64", "linux/arm64"]}),
        json!({"secrets": secrets}),
        json!({"custom": custom}),
        json!({"method": "custom"}),
    ] {
        admits(&by(fields.clone()));
        assert_ne!(
            support::problems(&build(fields.clone())),
            Vec::<String>::new(),
            "{fields}"
        );
    }
    for fields in [
        json!({"method": "kaniko", "platforms": ["linux/amd64"]}),
        json!({"method": "docker", "platforms": ["linux/amd64", "linux/arm64"]}),
        json!({"method": "kaniko", "secrets": secrets}),
    ] {
        refuses(&by(fields), "field_not_supported");
    }
    refuses(
        &by(json!({"method": "docker", "custom": custom})),
        "method custom and spec.custom come together",
    );
}

#[test]
fn a_rerun_says_nothing_of_how_the_image_is_built() {
    let again = fixtures::rerun();
    admits(&again);
    admits(&with(&again, "/spec/cancelled", Some(json!(true))));
    let allowed = [
        "projectRef",
        "rerunOf",
        "output",
        "priority",
        "timeout",
        "retries",
        "cancelled",
    ];
    let names = properties(&schema("Build")["properties"]["spec"]).keys();
    for name in names.filter(|name| !allowed.contains(&name.as_str())) {
        let value = match name.as_str() {
            "source" => fixtures::inline(),
            "recipe" => json!({"baseImage": "debian"}),
            "method" => json!("kaniko"),
            "platforms" => json!(["linux/amd64"]),
            "custom" => json!({"image": format!("registry.example.com/b@sha256:{}", "b".repeat(64))}),
            "target" => json!("final"),
            "buildArgs" | "labels" => json!([{"name": "a", "value": "b"}]),
            "secrets" => json!([{"id": "a", "secretRef": {"name": "a", "key": "a"}}]),
            "cache" => json!({"mode": "Use"}),
            "proxy" => json!({"http": "http://proxy.example.com:3128"}),
            "placement" => json!({"runtimeClassName": "gvisor"}),
            "pullSecrets" => json!([{"name": "a"}]),
            "registryMirrors" => json!([{"registry": "quay.io", "mirror": "mirror.example.com"}]),
            "caBundle" => json!({"name": "a", "key": "a"}),
            "resources" => json!({"limits": {"memory": "1Gi"}}),
            "policyRef" | "templateRef" => json!({"name": "a"}),
            other => panic!("{other} is new: may a rerun say it?"),
        };
        refuses(
            &with(&again, &format!("/spec/{name}"), Some(value)),
            "a rerun runs what the other Build ran",
        );
    }
}
