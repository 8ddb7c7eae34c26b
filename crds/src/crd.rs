//! The CustomResourceDefinitions, finished: what the derive can't say is added here, once for all kinds.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_core::CustomResourceExt;
use serde_json::{Value, json};

use crate::names;

/// First line of every generated file.
pub const HEADER: &str = "# Generated from crds/ by `make generate`. Do not edit.\n";

/// Every CustomResourceDefinition of the product as JSON, by file name, in a fixed order.
///
/// # Errors
/// When a definition can't be written as JSON, which the tests rule out.
pub fn all() -> Result<Vec<(String, Value)>, serde_json::Error> {
    [
        crate::Tenant::crd(),
        crate::TenantSettings::crd(),
        crate::Project::crd(),
        crate::Build::crd(),
        crate::ImagePolicy::crd(),
        crate::SorRecord::crd(),
        crate::QuarantineRequest::crd(),
        crate::ImageScan::crd(),
    ]
    .into_iter()
    .map(|crd| finish(&crd))
    .collect()
}

fn finish(crd: &CustomResourceDefinition) -> Result<(String, Value), serde_json::Error> {
    let name = format!("{}.yaml", crd.metadata.name.clone().unwrap_or_default());
    let kind = crd.spec.names.kind.clone();
    let mut value = serde_json::to_value(crd)?;
    if let Some(schema) = value.pointer_mut("/spec/versions/0/schema/openAPIV3Schema") {
        unobserved_until_seen(schema);
        tidy(schema);
        restrict_name(schema, &kind);
        schema.pointer_mut("/properties/spec").into_iter().for_each(pin_times);
        match kind.as_str() {
            "Build" => freeze_spec_but(schema, "Build", "cancelled"),
            "ImageScan" => freeze_spec_but(schema, "ImageScan", "cancelled"),
            "QuarantineRequest" => freeze_spec_but(schema, "QuarantineRequest", "withdrawn"),
            _ => {}
        }
    }
    Ok((name, value))
}

/// Nothing reads as done before the operator saw it (kstatus compares generations).
fn unobserved_until_seen(schema: &mut Value) {
    if let Some(status) = schema.pointer_mut("/properties/status").and_then(Value::as_object_mut) {
        status.insert("default".to_owned(), json!({"observedGeneration": -1}));
        status.remove("nullable");
        status
            .entry("description")
            .or_insert_with(|| json!("What the operator knows of the object. Written by the operator alone."));
    }
    if let Some(observed) = schema
        .pointer_mut("/properties/status/properties/observedGeneration")
        .and_then(Value::as_object_mut)
    {
        observed.insert("minimum".to_owned(), json!(-1));
    }
    if let Some(spec) = schema.pointer_mut("/properties/spec").and_then(Value::as_object_mut) {
        spec.entry("description").or_insert_with(|| json!("What is asked for."));
    }
}

/// Names become label values, namespaces and pod names, so they are DNS labels with room for what is added.
fn restrict_name(schema: &mut Value, kind: &str) {
    let (rule, message) = match kind {
        "Tenant" => (
            dns_label_of(40),
            "the name of a Tenant is a DNS label of at most 40 characters",
        ),
        "TenantSettings" => (
            format!("self.metadata.name == '{}'", names::TENANT_SETTINGS),
            "there is one TenantSettings per tenant, named settings",
        ),
        "ImagePolicy" => (
            dns_label_of(63),
            "the name of an ImagePolicy is a DNS label of at most 63 characters",
        ),
        "SorRecord" => (
            dns_label_of(63),
            "the name of a SorRecord is a DNS label of at most 63 characters",
        ),
        _ => (dns_label_of(52), "the name is a DNS label of at most 52 characters"),
    };
    let mut rules = vec![json!({"rule": rule, "message": message})];
    if kind != "TenantSettings" {
        rules.push(json!({
            "rule": format!("!self.metadata.name.startsWith('{}')", names::RESERVED_PREFIX),
            "message": "names that begin with imagefactory- are reserved for the factory",
        }));
    }
    if let Some(root) = schema.as_object_mut() {
        root.insert("x-kubernetes-validations".to_owned(), json!(rules));
    }
}

fn dns_label_of(length: u8) -> String {
    format!("self.metadata.name.size() <= {length} && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
}

/// What schemars says and a structural schema says otherwise, everywhere.
fn tidy(schema: &mut Value) {
    if let Some(object) = schema.as_object_mut() {
        object.values_mut().for_each(tidy);
        // Without it the API server drops a null, so that `has()` in a rule means that something is there.
        if object.get("nullable").is_some_and(Value::is_boolean) {
            object.remove("nullable");
        }
        // The one form that the API server admits; kube takes the types out.
        if object.get("x-kubernetes-int-or-string") == Some(&json!(true)) {
            object.insert("anyOf".to_owned(), json!([{"type": "integer"}, {"type": "string"}]));
        }
        if object.get("format") == Some(&json!("date-time")) {
            object.entry("maxLength").or_insert_with(|| json!(64));
        }
        if object.get("type") == Some(&json!("integer")) {
            bound_integer(object);
        }
    } else if let Some(list) = schema.as_array_mut() {
        list.iter_mut().for_each(tidy);
    }
}

/// A moment as everybody reads it. The API server's `format: date-time` takes forms that the operator does not.
const MOMENT: &str = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$";

/// Moments that people write have one form.
fn pin_times(schema: &mut Value) {
    if let Some(object) = schema.as_object_mut() {
        object.values_mut().for_each(pin_times);
        if object.get("format") == Some(&json!("date-time")) {
            object.insert("pattern".to_owned(), json!(MOMENT));
        }
    } else if let Some(list) = schema.as_array_mut() {
        list.iter_mut().for_each(pin_times);
    }
}

/// `format: uint32` is unknown to the API server, which then checks nothing: say the bounds themselves. Other integers
/// go as far as every JSON reader can count.
fn bound_integer(object: &mut serde_json::Map<String, Value>) {
    const LAST_EXACT: i64 = (1 << 53) - 1;
    let (format, minimum, maximum) = match object.get("format").and_then(Value::as_str) {
        Some("uint32") => ("int64", 0, i64::from(u32::MAX)),
        Some("int32") => ("int32", i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => ("int64", -LAST_EXACT, LAST_EXACT),
    };
    object.insert("format".to_owned(), json!(format));
    object.entry("minimum").or_insert_with(|| json!(minimum));
    object.entry("maximum").or_insert_with(|| json!(maximum));
}

/// A rule for every property of the spec but one: it can't change after creation.
fn freeze_spec_but(schema: &mut Value, kind: &str, mutable: &str) {
    let Some(spec) = schema.pointer_mut("/properties/spec").and_then(Value::as_object_mut) else {
        return;
    };
    let names: Vec<String> = spec
        .get("properties")
        .and_then(Value::as_object)
        .map(|properties| properties.keys().filter(|name| *name != mutable).cloned().collect())
        .unwrap_or_default();
    let rules = names.iter().map(|name| {
        json!({
            "rule": format!("has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})"),
            "message": format!("field_immutable: {name} can't change after the {kind} was created; create a new {kind} instead"),
            "fieldPath": format!(".{name}"),
            "reason": "FieldValueForbidden",
        })
    });
    if let Some(existing) = spec
        .entry("x-kubernetes-validations")
        .or_insert_with(|| json!([]))
        .as_array_mut()
    {
        existing.extend(rules);
    }
}
