//! What a tenant writes is hostile: every string field of every spec refuses what could leave the place it is meant
//! for, unless the field is one of the few that are free text, listed here with the reason why that does no harm.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can not go on ends"
)]
#![allow(clippy::needless_pass_by_value, reason = "values written in place read better")]

mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::{KINDS, admits, fixtures, problems, schema, with};

/// How much of the hostile strings a field refuses.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Refuses {
    /// All of them.
    All,
    /// All but words after a space.
    AllButSpaces,
    /// Control characters, NUL and what is too long: it is one line for people, or one whole argument.
    ControlCharacters,
    /// NUL and what is too long: it is the content of a file or a longer text for people.
    NulOnly,
}

/// Fields that are free text, and why that does no harm.
const FREE_TEXT: [(&str, Refuses, &str); 26] = [
    (
        "SorRecord.spec.product",
        Refuses::ControlCharacters,
        "text for people; never interpreted",
    ),
    (
        "SorRecord.spec.technology",
        Refuses::ControlCharacters,
        "text for people; never interpreted",
    ),
    (
        "SorRecord.spec.justification",
        Refuses::NulOnly,
        "text for people; never interpreted",
    ),
    (
        "QuarantineRequest.spec.justification",
        Refuses::NulOnly,
        "text for those who approve; never interpreted",
    ),
    (
        "Tenant.spec.owners[].name",
        Refuses::ControlCharacters,
        "a name as the identity provider gives it; only ever the subject of a RoleBinding",
    ),
    (
        "Tenant.spec.capabilities.changeReason",
        Refuses::ControlCharacters,
        "text for people; never interpreted",
    ),
    (
        "TenantSettings.spec.displayName",
        Refuses::ControlCharacters,
        "text for people; never interpreted",
    ),
    (
        "TenantSettings.spec.logoUrl",
        Refuses::ControlCharacters,
        "only handed to front ends, which escape it; the scheme is https",
    ),
    (
        "TenantSettings.spec.members[].subject.name",
        Refuses::ControlCharacters,
        "a name as the identity provider gives it; only ever the subject of a RoleBinding",
    ),
    (
        "TenantSettings.spec.roles[].description",
        Refuses::NulOnly,
        "text for people; never interpreted",
    ),
    (
        "Project.spec.displayName",
        Refuses::ControlCharacters,
        "text for people; never interpreted",
    ),
    (
        "Project.spec.description",
        Refuses::NulOnly,
        "text for people; never interpreted",
    ),
    (
        "Project.spec.templates[].description",
        Refuses::NulOnly,
        "text for people; never interpreted",
    ),
    (
        "Project.spec.source.inline.files[].content",
        Refuses::NulOnly,
        "content of a file of the tenant's own build",
    ),
    (
        "Build.spec.source.inline.files[].content",
        Refuses::NulOnly,
        "content of a file of the tenant's own build",
    ),
    (
        "Build.spec.custom.command[]",
        Refuses::ControlCharacters,
        "one whole argument of the tenant's own program in its own container; there is no shell",
    ),
    (
        "Build.spec.custom.args[]",
        Refuses::ControlCharacters,
        "one whole argument of the tenant's own program in its own container; there is no shell",
    ),
    (
        "Build.spec.custom.env[].value",
        Refuses::ControlCharacters,
        "one variable of the tenant's own program in its own container",
    ),
    (
        "Build.spec.buildArgs[].value",
        Refuses::ControlCharacters,
        "one argument, handed over without a shell; read by the tenant's own Dockerfile",
    ),
    (
        "Build.spec.labels[].value",
        Refuses::ControlCharacters,
        "one argument, handed over without a shell; a string in the image's configuration",
    ),
    (
        "Build.spec.recipe.commands[]",
        Refuses::ControlCharacters,
        "a command of the tenant's own build, which runs where all of its commands run",
    ),
    (
        "Build.spec.recipe.env[].value",
        Refuses::ControlCharacters,
        "a value in the image's configuration, quoted where a Dockerfile is made of it",
    ),
    (
        "Build.spec.recipe.entrypoint[]",
        Refuses::ControlCharacters,
        "an argument in the image's configuration, quoted where a Dockerfile is made of it",
    ),
    (
        "ImagePolicy.spec.rules[].expression",
        Refuses::NulOnly,
        "a condition that a platform administrator writes; evaluated by the factory within a budget, never as a program",
    ),
    (
        "ImagePolicy.spec.rules[].message",
        Refuses::ControlCharacters,
        "text of a platform administrator for people; never interpreted",
    ),
    (
        "ImagePolicy.spec.deniedLicences[]",
        Refuses::AllButSpaces,
        "names as scanners report them; compared only",
    ),
];

/// What a field refuses. A template's field refuses what the Build's does.
fn refusal_of(path: &str) -> Refuses {
    let of_build = path.replacen("Project.spec.templates[].", "Build.spec.", 1);
    let is_it = |listed: &str| listed == path || listed == of_build;
    let listed = FREE_TEXT.iter().find(|(listed, ..)| is_it(listed));
    listed.map_or(Refuses::All, |(_, refuses, _)| *refuses)
}

/// A string leaf of an object: where it is, the path of its schema, and what is written there.
struct Leaf {
    pointer: String,
    path: String,
    value: String,
}

fn leaves(value: &Value, pointer: &str, path: &str, found: &mut Vec<Leaf>) {
    match value {
        Value::String(text) => found.push(Leaf {
            pointer: pointer.into(),
            path: path.into(),
            value: text.clone(),
        }),
        Value::Object(map) => {
            for (key, value) in map {
                leaves(value, &format!("{pointer}/{key}"), &format!("{path}.{key}"), found);
            }
        }
        Value::Array(list) => {
            for (position, value) in list.iter().enumerate() {
                leaves(value, &format!("{pointer}/{position}"), &format!("{path}[]"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn spec_leaves(object: &Value) -> Vec<Leaf> {
    let mut found = Vec::new();
    leaves(
        &object["spec"],
        "/spec",
        &format!("{}.spec", object["kind"].as_str().unwrap()),
        &mut found,
    );
    found
}

fn text_paths(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    if schema["type"] == "string" || schema["x-kubernetes-int-or-string"] == true {
        found.insert(path.to_owned());
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        text_paths(property, &format!("{path}.{name}"), found);
    }
    if let Some(items) = schema.get("items") {
        text_paths(items, &format!("{path}[]"), found);
    }
}

/// Strings that leave the place they are meant for, alone and at the end of a good value.
fn hostile(good: &str) -> Vec<(Refuses, String)> {
    let all = [
        "..",
        "../../etc/passwd",
        "a/../../b",
        "/etc/passwd",
        "-rf",
        "--privileged",
        "a;id",
        "$(id)",
        "`id`",
        "${IFS}",
        "a|id",
        "a&id",
        "a\"b",
        "a'b",
        "a\\b",
        "a>b",
        "a\u{202e}b",
        "\u{1f600}",
        "a b/..",
        "%0aid",
    ];
    let control = ["a\nid", "a\r\nid", "a\tb", "\u{1b}[31m", "a\u{7f}"];
    let tails = ["/..", "/../x", ";id", "$(id)", "`id`", "\"", "'", "\\"];
    let mut strings: Vec<(Refuses, String)> = all.map(|text| (Refuses::All, text.to_owned())).into();
    strings.extend(tails.map(|tail| (Refuses::All, format!("{good}{tail}"))));
    strings.extend([
        (Refuses::All, format!("-{good}")),
        (Refuses::AllButSpaces, format!("{good} --x")),
    ]);
    strings.extend(control.map(|text| (Refuses::ControlCharacters, text.to_owned())));
    strings.push((Refuses::ControlCharacters, format!("{good}\n")));
    strings.extend([
        (Refuses::NulOnly, "a\0b".to_owned()),
        (Refuses::NulOnly, format!("{good}\0")),
    ]);
    strings.push((Refuses::NulOnly, "a".repeat(10_000)));
    strings
}

fn must_refuse(field: Refuses, string: Refuses) -> bool {
    match field {
        Refuses::All => true,
        Refuses::AllButSpaces => string != Refuses::AllButSpaces,
        Refuses::ControlCharacters => !matches!(string, Refuses::All | Refuses::AllButSpaces),
        Refuses::NulOnly => string == Refuses::NulOnly,
    }
}

#[test]
fn the_objects_of_this_test_are_good_and_use_every_string_of_every_spec() {
    let mut declared = BTreeSet::new();
    for kind in KINDS {
        text_paths(
            &schema(kind)["properties"]["spec"],
            &format!("{kind}.spec"),
            &mut declared,
        );
    }
    let mut used = BTreeSet::new();
    for object in fixtures::all() {
        admits(&object);
        used.extend(spec_leaves(&object).into_iter().map(|leaf| leaf.path));
    }
    // A quantity may be written as a number, which is no string.
    used.insert("Tenant.spec.quota.cpu".to_owned());
    assert_eq!(declared.difference(&used).collect::<Vec<_>>(), Vec::<&String>::new());
    let listed = FREE_TEXT
        .iter()
        .map(|(path, ..)| (*path).to_owned())
        .collect::<BTreeSet<_>>();
    assert_eq!(
        listed.difference(&declared).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "listed as free text, and not there"
    );
}

#[test]
fn every_string_field_refuses_hostile_strings() {
    let mut admitted = Vec::new();
    for object in fixtures::all() {
        for leaf in spec_leaves(&object) {
            let field = refusal_of(&leaf.path);
            for (string, text) in hostile(&leaf.value) {
                let changed = with(&object, &leaf.pointer, Some(json!(text)));
                if must_refuse(field, string) && problems(&changed).is_empty() {
                    admitted.push(format!("{} = {text:?}", leaf.path));
                }
            }
        }
    }
    assert_eq!(admitted, Vec::<String>::new());
}

#[test]
fn free_text_is_free() {
    for object in fixtures::all() {
        for leaf in spec_leaves(&object) {
            let is_free = matches!(refusal_of(&leaf.path), Refuses::ControlCharacters | Refuses::NulOnly);
            let quoted = with(
                &object,
                &leaf.pointer,
                Some(json!(format!("{}/a;b$(c)`d`'e\"f", leaf.value))),
            );
            assert_eq!(problems(&quoted).is_empty(), is_free, "{}", leaf.path);
        }
    }
}

#[test]
fn every_reference_refuses_names_that_are_reserved() {
    let mut references = 0;
    for object in fixtures::all() {
        for leaf in spec_leaves(&object) {
            let is_reference = leaf.path.ends_with("Ref.name")
                || leaf.path.ends_with("pullSecrets[].name")
                || leaf.path.ends_with("caBundle.name")
                || leaf.path.ends_with("configMap.name");
            if is_reference {
                references += 1;
                let reserved = with(&object, &leaf.pointer, Some(json!("imagefactory-staging")));
                support::refuses(&reserved, "names that begin with imagefactory- are reserved");
            }
        }
    }
    assert!(references > 15, "{references}");
}

#[test]
fn a_reference_has_no_field_for_a_namespace() {
    for object in fixtures::all() {
        for leaf in spec_leaves(&object)
            .iter()
            .filter(|leaf| leaf.path.ends_with("ef.name"))
        {
            let parent = leaf.pointer.trim_end_matches("/name");
            let elsewhere = with(&object, &format!("{parent}/namespace"), Some(json!("kube-system")));
            support::refuses(&elsewhere, "namespace: unknown field");
        }
    }
}
