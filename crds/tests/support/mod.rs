//! What an API server would say to an object, without one: structure as the schema asks for it, then the CEL rules.
//!
//! Unknown fields are refused, as `kubectl` does by default. Rules run on the finished schemas of `crd::all`.
#![allow(dead_code, reason = "each test file takes what it needs")]
#![allow(clippy::needless_pass_by_value, reason = "values written in place read better")]

pub mod door;
pub mod fixtures;
pub mod structure;

use std::sync::LazyLock;

use imagefactory_crds::crd;
use kube_cel::{CompiledSchema, ErrorKind, Validator, compile_schema};
use serde_json::{Value, json};

/// Every kind of the product.
pub const KINDS: [&str; 8] = [
    "Tenant",
    "TenantSettings",
    "Project",
    "Build",
    "ImagePolicy",
    "SorRecord",
    "QuarantineRequest",
    "ImageScan",
];

static DEFINITIONS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    crd::all()
        .unwrap()
        .into_iter()
        .map(|(_, definition)| definition)
        .collect()
});

static RULES: LazyLock<Vec<CompiledSchema>> =
    LazyLock::new(|| KINDS.iter().map(|kind| compile_schema(schema(kind))).collect());

/// The CustomResourceDefinition of a kind.
pub fn definition(kind: &str) -> &'static Value {
    let is_it = |definition: &&Value| definition.pointer("/spec/names/kind") == Some(&json!(kind));
    DEFINITIONS
        .iter()
        .find(is_it)
        .unwrap_or_else(|| panic!("no kind {kind}"))
}

/// The schema of a kind, from its root.
pub fn schema(kind: &str) -> &'static Value {
    definition(kind)
        .pointer("/spec/versions/0/schema/openAPIV3Schema")
        .unwrap()
}

/// What is wrong with a new object.
pub fn problems(object: &Value) -> Vec<String> {
    examine(object, None)
}

/// What is wrong with an object that takes the place of another.
pub fn update_problems(old: &Value, new: &Value) -> Vec<String> {
    examine(new, Some(old))
}

fn rules(kind: &str) -> &'static CompiledSchema {
    let position = KINDS.iter().position(|known| *known == kind);
    &RULES[position.unwrap()]
}

fn examine(object: &Value, old: Option<&Value>) -> Vec<String> {
    let (object, old) = (without_nulls(object), old.map(without_nulls));
    let kind = object
        .pointer("/kind")
        .and_then(Value::as_str)
        .expect("an object has a kind");
    let schema = schema(kind);
    let mut problems = structure::problems(schema, &object);
    if problems.is_empty() {
        // As on the API server, rules run only on what has the right structure.
        let broken = Validator::new()
            .validate_compiled(rules(kind), &object, old.as_ref())
            .err()
            .map(|errors| errors.into_vec());
        for error in broken.into_iter().flatten() {
            assert_eq!(
                error.kind,
                ErrorKind::ValidationFailure,
                "a rule of {kind} can't be evaluated: {error} ({})",
                error.rule
            );
            problems.push(error.to_string());
        }
    }
    problems
}

/// The API server drops a null where the schema does not ask for one, before anything looks at it.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// The object is admitted.
#[track_caller]
pub fn admits(object: &Value) {
    assert_eq!(problems(object), Vec::<String>::new(), "{object:#}");
}

/// The object is refused, and what is said holds `text`.
#[track_caller]
pub fn refuses(object: &Value, text: &str) {
    says(&problems(object), text, object);
}

/// The change is admitted.
#[track_caller]
pub fn admits_update(old: &Value, new: &Value) {
    assert_eq!(update_problems(old, new), Vec::<String>::new(), "{new:#}");
}

/// The change is refused, and what is said holds `text`.
#[track_caller]
pub fn refuses_update(old: &Value, new: &Value, text: &str) {
    says(&update_problems(old, new), text, new);
}

#[track_caller]
fn says(problems: &[String], text: &str, object: &Value) {
    assert!(
        problems.iter().any(|problem| problem.contains(text)),
        "{text:?} is not said: {problems:?} {object:#}"
    );
}

/// An object of the product's group.
pub fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "imagefactory.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    })
}

/// A copy with the value at a JSON pointer put there, or taken away.
pub fn with(object: &Value, pointer: &str, value: Option<Value>) -> Value {
    let mut copy = object.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = copy
        .pointer_mut(parent)
        .unwrap_or_else(|| panic!("nothing at {pointer}"));
    match (parent, value) {
        (Value::Object(map), Some(value)) => drop(map.insert(key.to_owned(), value)),
        (Value::Object(map), None) => drop(map.remove(key)),
        (Value::Array(list), Some(value)) => list[key.parse::<usize>().unwrap()] = value,
        (Value::Array(list), None) => drop(list.remove(key.parse().unwrap())),
        _ => panic!("{pointer} lies in no object and no list"),
    }
    copy
}
