//! Finding objects among those that were rendered, and what they hold.

use serde_json::Value;

/// Text at a JSON pointer; empty where there is none.
#[must_use]
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// List at a JSON pointer; empty where there is none.
#[must_use]
pub fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// Kind of an object.
#[must_use]
pub fn kind(object: &Value) -> &str {
    text(object, "/kind")
}

/// Name of an object.
#[must_use]
pub fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// `Kind namespace/name`, for messages.
#[must_use]
pub fn title(object: &Value) -> String {
    format!(
        "{} {}/{}",
        kind(object),
        text(object, "/metadata/namespace"),
        name(object)
    )
}

/// All objects of a kind.
pub fn of_kind<'a>(objects: &'a [Value], wanted: &str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| kind(object) == wanted)
}

/// The object of that kind and name.
#[must_use]
pub fn find<'a>(objects: &'a [Value], wanted: &str, named: &str) -> Option<&'a Value> {
    of_kind(objects, wanted).find(|object| name(object) == named)
}

/// Specs of all pods that the objects lead to, each with its owner's title.
#[must_use]
pub fn pod_specs(objects: &[Value]) -> Vec<(String, &Value)> {
    objects
        .iter()
        .filter_map(|object| {
            let pointer = match kind(object) {
                "Deployment" | "DaemonSet" | "StatefulSet" | "Job" => "/spec/template/spec",
                "CronJob" => "/spec/jobTemplate/spec/template/spec",
                "Pod" => "/spec",
                _ => return None,
            };
            Some((title(object), object.pointer(pointer)?))
        })
        .collect()
}

/// All containers of a pod's spec, init containers included.
#[must_use]
pub fn containers(pod: &Value) -> Vec<&Value> {
    list(pod, "/initContainers")
        .iter()
        .chain(list(pod, "/containers"))
        .collect()
}
