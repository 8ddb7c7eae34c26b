//! Every image that a release can ask for: those of its own pods, and those of the pods that the operator makes.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::object::{containers, of_kind, pod_specs, text};
use super::{Chart, ChartError, folder, read};

/// Images of all containers that the objects lead to, and of the operator's settings.
#[must_use]
pub fn images(objects: &[Value]) -> BTreeSet<String> {
    let pods = pod_specs(objects)
        .into_iter()
        .flat_map(|(_, pod)| containers(pod))
        .map(|container| text(container, "/image").to_owned());
    let settings = of_kind(objects, "ConfigMap")
        .filter_map(|map| serde_yaml::from_str::<Value>(text(map, "/data/config.yaml")).ok());
    let steps = settings.flat_map(|settings| named(&settings["images"]));
    pods.chain(steps).filter(|image| !image.is_empty()).collect()
}

/// Whatever the settings call an image: a text that is a reference, under any key.
fn named(images: &Value) -> Vec<String> {
    let all = images.as_object().into_iter().flatten();
    let texts = all
        .filter(|(key, _)| !key.starts_with("pull"))
        .filter_map(|(_, value)| value.as_str());
    texts.map(str::to_owned).collect()
}

/// The chart with its own images, and everything turned on that a value `enabled` or `create` turns on.
///
/// # Errors
/// When the values can't be read.
pub fn with_everything_on() -> Result<Chart, ChartError> {
    let values: Value = serde_yaml::from_str(&read(&folder().join("values.yaml"))?)?;
    let mut switches = Vec::new();
    collect(values.as_object().unwrap_or(&Map::new()), "", &mut switches);
    Ok(switches
        .iter()
        .fold(Chart::minimal(), |chart, switch| chart.set(&format!("{switch}=true"))))
}

fn collect(values: &Map<String, Value>, path: &str, switches: &mut Vec<String>) {
    for (key, value) in values {
        let path = format!("{path}{key}");
        match value {
            Value::Bool(false) if key == "enabled" || key == "create" => switches.push(path),
            Value::Object(fields) => collect(fields, &format!("{path}."), switches),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn images_are_found_in_pods_of_every_kind_and_in_the_settings_under_any_name() {
        let settings = "images: {worker: 'a/worker:1', later: 'a/later:1', pullPolicy: Always, pullSecrets: [x]}";
        let objects = [
            json!({"kind": "Pod", "spec": {"containers": [{"image": "a/pod:1"}]}}),
            json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec":
                {"initContainers": [{"image": "a/init:1"}], "containers": [{"image": "a/pod:1"}]}}}}}}),
            json!({"kind": "DaemonSet", "spec": {"template": {"spec": {"containers": [{"image": "a/node:1"}]}}}}),
            json!({"kind": "ConfigMap", "data": {"config.yaml": settings}}),
        ];
        let found = images(&objects);
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(found, ["a/init:1", "a/later:1", "a/node:1", "a/pod:1", "a/worker:1"]);
    }

    #[test]
    fn switches_are_found_at_every_depth() {
        let mut found = Vec::new();
        let values = json!({"a": {"enabled": false, "b": {"create": false, "c": false}}, "d": {"enabled": true}});
        collect(values.as_object().unwrap(), "", &mut found);
        assert_eq!(found, ["a.b.create", "a.enabled"]);
    }
}
