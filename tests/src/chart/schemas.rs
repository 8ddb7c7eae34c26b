//! JSON schemas of Kubernetes' kinds and of ours, made for kubeconform from what Kubernetes' own module says
//! (`hack/tools/schemas`) and from the chart's definitions. Strict: what a kind does not name is refused.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::object::{list, text};
use super::{ChartError, repository};

/// Versions of Kubernetes that objects are checked against: the oldest that the chart supports, and the newest.
pub const VERSIONS: [&str; 2] = ["1.33", "1.34"];
/// How kubeconform finds a schema in the folder that [`write`] has filled.
pub const TEMPLATE: &str = "{{.Group}}-{{.ResourceAPIVersion}}-{{.ResourceKind}}.json";

const REFERENCE: &str = "#/definitions/";
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Writes a schema for every kind of that version of Kubernetes and of these definitions.
///
/// # Errors
/// When a file can't be read or written.
pub fn write(version: &str, definitions: &[Value], folder: &Path) -> Result<(), ChartError> {
    let swagger = super::tool(&format!("kubernetes-{version}.json"));
    let swagger = swagger.unwrap_or_else(|| repository().join(format!(".cluster/bin/kubernetes-{version}.json")));
    let swagger: Value = serde_yaml::from_str(&super::read(&swagger)?)?;
    let mut known = swagger["definitions"].as_object().cloned().unwrap_or_default();
    known.values_mut().for_each(tighten);
    known.insert(
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString".to_owned(),
        json!({"type": ["integer", "string"]}),
    );
    known.insert(
        "io.k8s.apimachinery.pkg.api.resource.Quantity".to_owned(),
        json!({"type": ["number", "string"]}),
    );
    for (name, definition) in &known {
        for kind in list(definition, "/x-kubernetes-group-version-kind") {
            let schema = json!({"$ref": format!("{REFERENCE}{name}")});
            save(folder, &whole(schema, &known), kind)?;
        }
    }
    for definition in definitions {
        for version in list(definition, "/spec/versions") {
            let mut schema = version["schema"]["openAPIV3Schema"].clone();
            for field in ["apiVersion", "kind"] {
                schema["properties"][field] = json!({"type": "string"});
            }
            schema["properties"]["metadata"] = json!({"$ref": format!("{REFERENCE}{OBJECT_META}")});
            tighten(&mut schema);
            let kind = json!({"group": text(definition, "/spec/group"), "version": text(version, "/name"),
                "kind": text(definition, "/spec/names/kind")});
            save(folder, &whole(schema, &known), &kind)?;
        }
    }
    Ok(())
}

/// Closes every object whose fields are named, in a schema and in all that it holds.
fn tighten(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    if fields.contains_key("x-kubernetes-int-or-string") {
        *schema = json!({"type": ["integer", "string"]});
        return;
    }
    let is_open = fields.contains_key("additionalProperties")
        || fields.contains_key("x-kubernetes-preserve-unknown-fields")
        || fields.contains_key("x-kubernetes-embedded-resource");
    if fields.contains_key("properties") && !is_open {
        fields.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    let named = fields.get_mut("properties").and_then(Value::as_object_mut);
    named.into_iter().flat_map(Map::values_mut).for_each(tighten);
    for one in ["items", "additionalProperties"] {
        fields.get_mut(one).into_iter().for_each(tighten);
    }
}

/// A schema with every definition that it leads to.
fn whole(mut schema: Value, known: &Map<String, Value>) -> Value {
    let mut wanted = Vec::new();
    references(&schema, &mut wanted);
    let mut found = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        if let Some(definition) = known.get(&name)
            && found.insert(name)
        {
            references(definition, &mut wanted);
        }
    }
    let definitions = found.into_iter().map(|name| (name.clone(), known[&name].clone()));
    schema["definitions"] = Value::Object(definitions.collect());
    schema
}

fn references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            let name = fields.get("$ref").and_then(Value::as_str);
            found.extend(name.and_then(|name| name.strip_prefix(REFERENCE)).map(str::to_owned));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn save(folder: &Path, schema: &Value, kind: &Value) -> Result<(), ChartError> {
    let field = |name: &str| text(kind, &format!("/{name}")).to_owned();
    // kubeconform takes the version for the group where there is none.
    let group = Some(field("group")).filter(|group| !group.is_empty());
    let group = group.unwrap_or_else(|| field("version"));
    let path = folder.join(format!(
        "{group}-{}-{}.json",
        field("version"),
        field("kind").to_lowercase()
    ));
    std::fs::write(&path, schema.to_string()).map_err(|source| ChartError::File { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_closed_where_their_fields_are_named_and_stay_open_where_they_are_a_map() {
        let mut schema = json!({"properties": {
            "map": {"type": "object", "additionalProperties": {"properties": {"a": {"type": "string"}}}},
            "port": {"x-kubernetes-int-or-string": true},
            "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }});
        tighten(&mut schema);
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(
            schema["properties"]["map"]["additionalProperties"]["additionalProperties"],
            false
        );
        assert_eq!(schema["properties"]["port"], json!({"type": ["integer", "string"]}));
        assert!(schema["properties"]["any"].get("additionalProperties").is_none());
    }

    #[test]
    fn a_schema_brings_what_it_leads_to_and_a_circle_ends() {
        let known = json!({
            "a": {"items": {"$ref": "#/definitions/b"}}, "b": {"items": {"$ref": "#/definitions/a"}}, "c": {},
        });
        let schema = whole(json!({"$ref": "#/definitions/a"}), known.as_object().unwrap());
        let names: Vec<_> = schema["definitions"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["a", "b"]);
    }
}
