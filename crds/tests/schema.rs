//! Every field of every kind is described and bounded: `kubectl explain` is the manual, and nothing that anybody
//! writes is without a limit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can not go on ends"
)]
#![allow(clippy::needless_pass_by_value, reason = "values written in place read better")]

mod support;

use imagefactory_crds::crd;
use serde_json::{Value, json};
use support::{KINDS, definition, schema};

/// Calls `visit` for every schema below spec and status, with its path.
fn walk(schema: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(property, &format!("{path}.{name}"), visit);
    }
    if let Some(items) = schema.get("items") {
        walk(items, &format!("{path}[]"), visit);
    }
}

/// Paths of all schemas of all kinds for which `is_wrong` holds.
fn wrong(is_wrong: impl Fn(&Value) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for kind in KINDS {
        for part in ["spec", "status"] {
            let schema = schema(kind)["properties"][part].clone();
            walk(&schema, &format!("{kind}.{part}"), &mut |path, schema| {
                if is_wrong(schema) {
                    found.push(path.to_owned());
                }
            });
        }
    }
    found
}

fn nothing() -> Vec<String> {
    Vec::new()
}

#[test]
fn all_kinds_are_there() {
    let kinds: Vec<String> = crd::all()
        .unwrap()
        .iter()
        .map(|(_, crd)| crd.pointer("/spec/names/kind").unwrap().as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, KINDS);
}

#[test]
fn every_property_has_a_description() {
    let lacks = |schema: &Value| {
        schema["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .any(|(_, property)| {
                property["description"]
                    .as_str()
                    .is_none_or(|text| text.trim().len() < 4 || !text.trim().ends_with(['.', '`', ')']))
            })
    };
    assert_eq!(wrong(lacks), nothing());
    for kind in KINDS {
        assert!(schema(kind)["description"].as_str().unwrap().len() > 40, "{kind}");
    }
}

#[test]
fn every_type_is_one_of_the_five_that_are_bounded_here() {
    let types = ["object", "array", "string", "integer", "boolean"];
    assert_eq!(
        wrong(|schema| {
            let is_quantity = schema["x-kubernetes-int-or-string"] == true;
            is_quantity == schema["type"].as_str().is_some_and(|name| types.contains(&name))
        }),
        nothing()
    );
}

#[test]
fn every_string_has_a_greatest_length_or_is_one_of_a_list() {
    let is_text = |schema: &Value| schema["type"] == "string" || schema["x-kubernetes-int-or-string"] == true;
    assert_eq!(
        wrong(|schema| is_text(schema)
            && schema["enum"].as_array().is_none_or(Vec::is_empty)
            && !schema["maxLength"].is_u64()),
        nothing()
    );
}

#[test]
fn every_string_that_a_user_writes_has_a_pattern_or_is_one_of_a_list() {
    let lacks = |schema: &Value| {
        schema["type"] == "string"
            && schema["enum"].is_null()
            && schema["pattern"].is_null()
            && schema["format"].is_null()
    };
    let of_specs: Vec<String> = wrong(lacks).into_iter().filter(|path| path.contains(".spec")).collect();
    assert_eq!(of_specs, nothing());
}

#[test]
fn every_list_and_every_map_has_a_greatest_size() {
    assert_eq!(
        wrong(|schema| schema["type"] == "array" && !schema["maxItems"].is_u64()),
        nothing()
    );
    let is_map = |schema: &Value| schema["type"] == "object" && schema["properties"].is_null();
    assert_eq!(
        wrong(|schema| is_map(schema) && !schema["maxProperties"].is_u64()),
        nothing()
    );
}

#[test]
fn every_number_has_a_least_and_a_greatest_value() {
    let is_number = |schema: &Value| schema["type"] == "integer" || schema["x-kubernetes-int-or-string"] == true;
    assert_eq!(
        wrong(|schema| is_number(schema) && !(schema["minimum"].is_number() && schema["maximum"].is_number())),
        nothing()
    );
}

#[test]
fn nothing_may_be_null_and_nothing_unknown_is_kept() {
    // A null that is kept would make `has()` true in a rule.
    assert_eq!(wrong(|schema| schema["nullable"] == true), nothing());
    assert_eq!(
        wrong(|schema| !schema["x-kubernetes-preserve-unknown-fields"].is_null()),
        nothing()
    );
    assert_eq!(wrong(|schema| !schema["additionalProperties"].is_null()), nothing());
}

#[test]
fn a_number_or_string_is_declared_in_the_one_form_that_the_api_server_knows() {
    let form = json!([{"type": "integer"}, {"type": "string"}]);
    assert_eq!(
        wrong(|schema| schema["x-kubernetes-int-or-string"] == true && schema["anyOf"] != form),
        nothing()
    );
    assert_ne!(
        wrong(|schema| schema["anyOf"] == form),
        nothing(),
        "quantities are declared so"
    );
}

#[test]
fn every_rule_has_a_message() {
    let rules = |schema: &Value| {
        schema["x-kubernetes-validations"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!(
        wrong(|schema| rules(schema).iter().any(|rule| !rule["message"].is_string())),
        nothing()
    );
    assert_ne!(wrong(|schema| !rules(schema).is_empty()), nothing());
}

#[test]
fn nothing_reads_as_done_before_the_operator_saw_it() {
    for kind in KINDS {
        let status = schema(kind)["properties"]["status"].clone();
        assert_eq!(status["default"], json!({"observedGeneration": -1}), "{kind}");
        assert_eq!(
            definition(kind).pointer("/spec/versions/0/subresources/status"),
            Some(&json!({})),
            "{kind}"
        );
    }
}

#[test]
fn every_kind_is_listed_by_its_category_and_its_short_name() {
    for (kind, short, scope) in [
        ("Tenant", "ten", "Cluster"),
        ("TenantSettings", "tset", "Namespaced"),
        ("Project", "proj", "Namespaced"),
        ("Build", "ifb", "Namespaced"),
        ("ImagePolicy", "ipol", "Cluster"),
        ("SorRecord", "sor", "Cluster"),
        ("QuarantineRequest", "qreq", "Namespaced"),
        ("ImageScan", "iscan", "Namespaced"),
    ] {
        let crd = definition(kind);
        assert_eq!(crd["spec"]["names"]["categories"], json!(["imagefactory"]), "{kind}");
        assert_eq!(crd["spec"]["names"]["shortNames"], json!([short]), "{kind}");
        assert_eq!(crd["spec"]["scope"], scope, "{kind}");
    }
}

#[test]
fn columns_answer_what_state_and_why_without_being_wide() {
    for kind in KINDS {
        let crd = definition(kind);
        let columns = crd
            .pointer("/spec/versions/0/additionalPrinterColumns")
            .unwrap()
            .as_array()
            .unwrap()
            .clone();
        let shown = columns
            .iter()
            .filter(|column| column["priority"].as_i64().unwrap_or(0) == 0)
            .count();
        assert!(shown <= 6, "{kind} shows {shown} columns");
        assert!(columns.iter().any(|column| column["name"] == "Age"), "{kind}");
    }
}

#[test]
fn a_definition_stays_small_enough_for_every_client() {
    for (file, crd) in crd::all().unwrap() {
        let length = serde_json::to_string(&crd).unwrap().len();
        assert!(length < 200_000, "{file}: {length} bytes");
    }
}
