//! What may be written into a Build, and what may change in it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can not go on ends"
)]
#![allow(clippy::needless_pass_by_value, reason = "values written in place read better")]

mod support;

use serde_json::{Value, json};
use support::{admits, admits_update, fixtures, refuses, refuses_update, schema, update_problems, with};

/// A Build without anything that has a default.
fn least() -> Value {
    support::object("Build", "hello", json!({"projectRef": {"name": "shop"}}))
}

fn with_spec(object: &Value, field: &str, value: Value) -> Value {
    with(object, &format!("/spec/{field}"), Some(value))
}

/// What `field` could say instead.
fn another(field: &str) -> Value {
    match field {
        "buildArgs" => json!([{"name": "OTHER", "value": "x"}]),
        "caBundle" => json!({"name": "other", "key": "ca.crt"}),
        "labels" => json!([{"name": "other", "value": "x"}]),
        "output" => json!({"image": "registry.example.com/acme/other:1"}),
        "policyRef" | "projectRef" => json!({"name": "other"}),
        "pullSecrets" => json!([{"name": "other"}]),
        "recipe" => json!({"baseImage": "registry.example.com/other:1"}),
        "registryMirrors" => json!([{"registry": "quay.io", "mirror": "mirror.example.com"}]),
        "resources" => json!({"limits": {"memory": "1Gi"}}),
        "source" => fixtures::inline(),
        "target" => json!("other"),
        "method" => json!("docker"),
        "priority" => json!(7),
        "retries" => json!(4),
        "platforms" => json!(["linux/arm64"]),
        "custom" => json!({"image": format!("registry.example.com/other@sha256:{}", "b".repeat(64))}),
        "secrets" => json!([{"id": "other", "secretRef": {"name": "other", "key": "token"}}]),
        "cache" => json!({"mode": "Refresh"}),
        "proxy" => json!({"http": "http://other.example.com:3128"}),
        "placement" => json!({"runtimeClassName": "other"}),
        "timeout" => json!("10m"),
        "templateRef" | "rerunOf" => json!({"name": "other"}),
        _ => panic!("{field} is new: say what else it could be"),
    }
}

#[test]
fn a_build_needs_no_more_than_its_project() {
    admits(&least());
    refuses(
        &with(&least(), "/spec/projectRef", None),
        "spec.projectRef: is required",
    );
}

#[test]
fn nothing_in_the_spec_changes_but_cancelled() {
    let fields: Vec<String> = schema("Build")["properties"]["spec"]["properties"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    for field in fields.iter().filter(|field| *field != "cancelled") {
        let object = match field.as_str() {
            "recipe" => fixtures::recipe(),
            "custom" => fixtures::custom(),
            "templateRef" => fixtures::by_template(),
            "rerunOf" => fixtures::rerun(),
            "platforms" | "secrets" | "cache" | "placement" | "proxy" => fixtures::buildx(),
            _ => fixtures::build(),
        };
        let message =
            format!("field_immutable: {field} can't change after the Build was created; create a new Build instead");
        refuses_update(&object, &with_spec(&object, field, another(field)), &message);
        if field != "projectRef" {
            let without = with(&object, &format!("/spec/{field}"), None);
            refuses_update(&object, &without, &message);
            refuses_update(&without, &object, &message);
        }
    }
    let object = fixtures::build();
    refuses_update(&object, &with(&object, "/spec/method", None), "field_immutable: method");
}

#[test]
fn a_change_deep_inside_is_a_change() {
    let object = fixtures::build();
    for pointer in [
        "/spec/source/git/revision",
        "/spec/source/git/secretRef/name",
        "/spec/output/pushSecretRef/name",
    ] {
        assert_ne!(
            update_problems(&object, &with(&object, pointer, Some(json!("other")))),
            Vec::<String>::new(),
            "{pointer}"
        );
    }
}

#[test]
fn a_build_can_be_cancelled_once_and_stays_so() {
    let running = fixtures::build();
    let cancelled = with_spec(&running, "cancelled", json!(true));
    admits_update(&running, &cancelled);
    admits_update(&cancelled, &cancelled);
    admits_update(&running, &running);
    refuses_update(
        &cancelled,
        &running,
        "a cancelled build stays cancelled; create a new Build instead",
    );
    refuses_update(
        &cancelled,
        &with(&cancelled, "/spec/cancelled", None),
        "a cancelled build stays cancelled",
    );
}

#[test]
fn a_build_that_says_nothing_about_cancelled_is_not_cancelled() {
    admits_update(&least(), &with_spec(&least(), "cancelled", json!(true)));
    refuses_update(
        &with_spec(&least(), "cancelled", json!(true)),
        &least(),
        "a cancelled build stays cancelled",
    );
}

#[test]
fn a_source_is_exactly_one_of_four() {
    let (inline, config_map) = (fixtures::inline(), fixtures::config_map());
    let oci = fixtures::oci();
    let git = fixtures::build()["spec"]["source"].clone();
    for source in [&git, &inline, &config_map, &oci] {
        admits(&with_spec(&least(), "source", source.clone()));
    }
    let message = "name exactly one of git, inline, configMap and oci";
    refuses(&with_spec(&least(), "source", json!({})), message);
    refuses(
        &with_spec(&least(), "source", json!({"dockerfile": "Dockerfile"})),
        message,
    );
    for second in [&inline, &config_map, &oci] {
        let mut both = git.clone();
        both.as_object_mut()
            .unwrap()
            .extend(second.as_object().unwrap().clone());
        refuses(&with_spec(&least(), "source", both), message);
    }
}

#[test]
fn a_null_is_as_good_as_nothing() {
    let source = with(&fixtures::build(), "/spec/source/inline", Some(Value::Null));
    admits(&source);
    admits(&with_spec(&source, "recipe", Value::Null));
    admits_update(
        &with(&source, "/spec/timeout", None),
        &with_spec(&source, "timeout", Value::Null),
    );
}

#[test]
fn a_build_has_a_source_or_a_recipe() {
    let both = with_spec(&fixtures::recipe(), "source", fixtures::inline());
    refuses(&both, "name a source or a recipe, not both");
}

#[test]
fn a_recipe_has_no_stage_and_no_arguments() {
    for (field, value) in [
        ("target", json!("release")),
        ("buildArgs", json!([{"name": "A", "value": "b"}])),
    ] {
        refuses(&with_spec(&fixtures::recipe(), field, value), "a recipe has none");
    }
}

#[test]
fn inline_files_are_at_most_8_kib_together() {
    let of = |sizes: &[usize]| {
        let files = sizes
            .iter()
            .enumerate()
            .map(|(n, size)| json!({"path": format!("f{n}"), "content": "x".repeat(*size)}));
        with_spec(
            &least(),
            "source",
            json!({"inline": {"files": files.collect::<Vec<_>>()}}),
        )
    };
    admits(&of(&[8192]));
    admits(&of(&[4096, 4096]));
    refuses(&of(&[4096, 4097]), "inline files are at most 8 KiB together");
    refuses(&of(&[8193]), "too long");
    let letters = |count: usize| {
        let files = json!([{"path": "a", "content": "\u{fc}".repeat(count)}]);
        with_spec(&least(), "source", json!({"inline": {"files": files}}))
    };
    admits(&letters(4096));
    refuses(&letters(4097), "inline files are at most 8 KiB together");
    refuses(&of(&[]), "too short");
    refuses(&of(&[1; 33]), "too long");
}

#[test]
fn a_method_that_is_not_there_yet_is_refused_with_what_to_do() {
    for good in ["kaniko", "buildx", "docker"] {
        admits(&with_spec(&least(), "method", json!(good)));
    }
    let words = "packer and nix are not there yet: use a Dockerfile or a recipe";
    for other in ["packer", "nix", "kanico"] {
        refuses(&with_spec(&least(), "method", json!(other)), words);
        let templates = json!([{"name": "t", "method": other}]);
        refuses(
            &support::object("Project", "p", json!({ "templates": templates })),
            words,
        );
    }
    assert_ne!(
        support::problems(&with_spec(&least(), "method", json!("Kaniko; rm"))),
        Vec::<String>::new()
    );
}

#[test]
fn a_file_stands_there_once() {
    let files = json!([{"path": "a", "content": ""}, {"path": "a", "content": "b"}]);
    refuses(
        &with_spec(&least(), "source", json!({"inline": {"files": files}})),
        "duplicate",
    );
}

#[test]
fn a_timeout_lies_between_10_seconds_and_24_hours() {
    for good in ["10s", "90s", "30m", "1h30m", "24h", "1h0m10s"] {
        admits(&with_spec(&least(), "timeout", json!(good)));
    }
    for bad in ["9s", "0s", "24h1s", "25h", "1441m", "9999h"] {
        refuses(
            &with_spec(&least(), "timeout", json!(bad)),
            "must be between 10s and 24h",
        );
    }
    for bad in ["", "10", "1d", "-10s", "10s30m", "1.5h", "10S", "ten"] {
        assert_ne!(
            support::problems(&with_spec(&least(), "timeout", json!(bad))),
            Vec::<String>::new(),
            "{bad:?}"
        );
    }
}

#[test]
fn the_secret_to_publish_with_is_none_that_the_build_can_read() {
    let same = with_spec(
        &fixtures::build(),
        "pullSecrets",
        json!([{"name": "pull"}, {"name": "push"}]),
    );
    refuses(
        &same,
        "the build's steps can read pull secrets, so the secret to publish with can't be one of them",
    );
    let of = |name: &str| {
        let secret = |id: &str, name: &str| json!({"id": id, "secretRef": {"name": name, "key": "k"}});
        let read = with_spec(
            &fixtures::buildx(),
            "secrets",
            json!([secret("a", "a"), secret("b", name)]),
        );
        with_spec(&read, "output", json!({"pushSecretRef": {"name": "push"}}))
    };
    admits(&of("other"));
    refuses(
        &of("push"),
        "the build's steps can read secrets, so the secret to publish with can't be one of them",
    );
}

#[test]
fn an_output_names_a_tag_and_never_a_digest() {
    let digest = format!("registry.example.com/acme/shop@sha256:{}", "a".repeat(64));
    refuses(
        &with_spec(&least(), "output", json!({"image": digest})),
        "an output has a tag",
    );
}

/// A registry without the referrers API keeps the list of an image's evidence under such a tag.
#[test]
fn an_output_does_not_take_the_tag_of_an_images_evidence() {
    let named = |tag: &str| {
        let image = format!("registry.example.com:5000/sha256-a/shop:{tag}");
        with_spec(&least(), "output", json!({"image": image}))
    };
    for good in ["1", "sha256", "sha256_1", "v-sha256-1", "SHA256-1"] {
        admits(&named(good));
    }
    for bad in [&format!("sha256-{}", "a".repeat(64)), "sha256-", "sha256-a.sig"] {
        refuses(
            &named(bad),
            "tags that begin with sha256- are where registries list the evidence of an image",
        );
    }
}

#[test]
fn image_names_are_taken_as_registries_know_them() {
    let names = |image: &str| with_spec(&fixtures::recipe(), "recipe", json!({"baseImage": image}));
    let digest = format!("debian@sha256:{}", "a".repeat(64));
    for good in [
        "debian",
        "debian:bookworm-slim",
        "library/debian",
        "localhost:5000/a/b_c/d-e:1",
        "r.io/a__b/c",
        "R.io/a:V1",
        &digest,
    ] {
        admits(&names(good));
    }
    for bad in [
        "debian:",
        "r.io//a",
        "r.io/A",
        "/a",
        "a/",
        "a@sha256:12",
        "a:b:c",
        "https://r.io/a",
        "r.io/a/../b",
        "user@r.io/a",
        "r.io:123456/a",
    ] {
        refuses(&names(bad), "does not match");
    }
}

#[test]
fn repositories_are_named_without_credentials_query_or_fragment() {
    let at = |url: &str| with(&fixtures::build(), "/spec/source/git/url", Some(json!(url)));
    for good in [
        "https://git.example.com/a/b.git",
        "http://git.example.com:3000/a",
        "https://git.example.com/a/",
    ] {
        admits(&at(good));
    }
    for bad in [
        "https://user:secret@git.example.com/a",
        "https://git.example.com/a?token=x",
        "https://git.example.com/a#main",
        "ssh://git@git.example.com/a",
        "git@git.example.com:a/b",
        "file:///etc/passwd",
        "ext::sh -c id",
        "https://git.example.com/../a",
        "https://git.example.com/-oProxyCommand=id",
        "https://git.example.com",
        "HTTPS://git.example.com/a",
        "https://[::1]/a",
    ] {
        assert_ne!(support::problems(&at(bad)), Vec::<String>::new(), "{bad}");
    }
}

#[test]
fn a_revision_is_a_branch_a_tag_or_a_commit() {
    let at = |revision: &str| with(&fixtures::build(), "/spec/source/git/revision", Some(json!(revision)));
    for good in [
        "main",
        "feature/x",
        "v1.2.3+build",
        "3f786850e387550fdab836ed7e6dc881de23001b",
        "_x",
    ] {
        admits(&at(good));
    }
    for bad in [
        "",
        "-b",
        "a..b",
        "a/",
        "a.",
        "a.lock",
        "a//b",
        "a b",
        "a~1",
        "a^",
        "a:b",
        "HEAD@{1}",
        "refs/heads/*",
    ] {
        assert_ne!(support::problems(&at(bad)), Vec::<String>::new(), "{bad}");
    }
}

#[test]
fn the_name_leaves_room_for_what_is_added() {
    for good in ["a", "a-b", "0", &"a".repeat(52)] {
        admits(&with(&least(), "/metadata/name", Some(json!(good))));
    }
    for bad in [&"a".repeat(53), "A", "a.b", "-a", "a-", "a_b", "a/b", ".."] {
        refuses(
            &with(&least(), "/metadata/name", Some(json!(bad))),
            "the name is a DNS label of at most 52 characters",
        );
    }
    refuses(
        &with(&least(), "/metadata/name", Some(json!("imagefactory-x"))),
        "names that begin with imagefactory- are reserved",
    );
}

#[test]
fn a_misspelt_field_is_refused() {
    refuses(
        &with_spec(&least(), "timeOut", json!("30m")),
        "spec.timeOut: unknown field",
    );
}
