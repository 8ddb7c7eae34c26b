//! An end state without what differs from run to run: uids, versions, times.

use std::collections::BTreeMap;
use std::sync::Arc;

use imagefactory_crds::names::{LABEL_BUILD, LABEL_BUILD_UID};
use serde_json::{Map, Value};

use crate::layer::steady;
use crate::world::Seen;

/// Fields that differ, and what no operator of ours decides.
const DROPPED: [&str; 12] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "managedFields",
    "generation",
    "selfLink",
    "usedSeconds",
    "controller-uid",
    "batch.kubernetes.io/controller-uid",
    "deletionGracePeriodSeconds",
    "bytes",
    "clusterIP",
];

/// Longest line of a difference.
const MOST: usize = 800;

/// The end state of a tenant, by kind and name. With `logs` also what is said of logs.
pub fn end_state(seen: &Seen, tenant: &str, logs: bool) -> BTreeMap<String, Value> {
    let objects = seen.objects();
    let builds = builds(objects.values());
    objects
        .iter()
        .map(|((kind, name), object)| {
            let mut object = normal(object, tenant, &builds);
            if *kind == "pods" {
                // How far its containers came is the double's doing.
                let phase = object["status"]["phase"].take();
                let has_ended = phase == "Failed" || phase == "Succeeded";
                object["status"] = phase;
                // What is left of the timeout, by the clock; the shortest, 1, means that it is to end. A pod that has may have
                // been told so too, by one who had not heard yet.
                if let Some(deadline) = object.pointer_mut("/spec/activeDeadlineSeconds")
                    && (*deadline != 1 || has_ended)
                {
                    *deadline = "what is left".into();
                }
            }
            // Logs are copied side by side: which is done first is chance.
            if let Some(logs) = object
                .pointer_mut("/status/logs/containers")
                .and_then(Value::as_array_mut)
            {
                logs.sort_by_key(ToString::to_string);
            }
            if !logs && let Some(status) = object["status"].as_object_mut() {
                status.remove("logs");
            }
            (format!("{kind} {}", text(name, tenant, &builds)), object)
        })
        .collect()
}

/// Uids of builds, with their names: what is named by a uid differs from run to run and is told apart all the same.
fn builds<'a>(objects: impl Iterator<Item = &'a Arc<Value>>) -> BTreeMap<String, String> {
    let of = |value: &Value| value.as_str().map(str::to_owned);
    let both = |object: &Value| {
        let labels = &object["metadata"]["labels"];
        let labelled = of(&labels[LABEL_BUILD_UID]).zip(of(&labels[LABEL_BUILD]));
        let metadata = &object["metadata"];
        let is_build = object["kind"] == "Build";
        labelled.or_else(|| of(&metadata["uid"]).zip(of(&metadata["name"])).filter(|_| is_build))
    };
    objects.filter_map(|object| both(object)).collect()
}

fn text(text: &str, tenant: &str, builds: &BTreeMap<String, String>) -> String {
    let mut text = text.to_owned();
    for (uid, name) in builds {
        if text.contains(uid.as_str()) {
            text = text.replace(uid.as_str(), &format!("UID-of-{name}"));
        }
    }
    steady(&text, tenant)
}

fn normal(value: &Value, tenant: &str, builds: &BTreeMap<String, String>) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(key, _)| !DROPPED.contains(&key.as_str()));
            let normal = kept.map(|(key, value)| (key.clone(), normal(value, tenant, builds)));
            Value::Object(normal.collect::<Map<_, _>>())
        }
        Value::Array(list) => Value::Array(list.iter().map(|value| normal(value, tenant, builds)).collect()),
        Value::String(content) if content.parse::<jiff::Timestamp>().is_ok() => "TIME".into(),
        Value::String(content) => text(content, tenant, builds).into(),
        other => other.clone(),
    }
}

/// What differs, a line each; empty where nothing does.
pub fn differences(expected: &BTreeMap<String, Value>, found: &BTreeMap<String, Value>) -> Vec<String> {
    let mut lines = Vec::new();
    for (key, value) in expected {
        match found.get(key) {
            None => lines.push(format!("missing: {key}")),
            Some(other) => compare(key, value, other, &mut lines),
        }
    }
    let more = found.keys().filter(|key| !expected.contains_key(*key));
    lines.extend(more.map(|key| format!("left over: {key}")));
    lines
}

fn compare(path: &str, expected: &Value, found: &Value, lines: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
            for key in keys {
                let of = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                compare(&format!("{path}.{key}"), &of(left), &of(right), lines);
            }
        }
        (left, right) if left == right => {}
        (left, right) => {
            let mut line = format!("{path}: {left} became {right}");
            line.truncate(line.floor_char_boundary(MOST));
            lines.push(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_meant_differs() {
        let one = json!({"metadata": {"uid": "1", "name": "a"}, "status": {"phase": "Succeeded", "at": "2026-01-01T00:00:00Z"}});
        let two =
            json!({"metadata": {"uid": "2", "name": "a"}, "status": {"phase": "Failed", "at": "2026-02-01T00:00:00Z"}});
        let state = |value: &Value| BTreeMap::from([("builds b".to_owned(), normal(value, "acme", &BTreeMap::new()))]);
        let found = differences(&state(&one), &state(&two));
        assert_eq!(found, ["builds b.status.phase: \"Succeeded\" became \"Failed\""]);
        assert_eq!(differences(&state(&one), &BTreeMap::new()), ["missing: builds b"]);
        assert_eq!(differences(&BTreeMap::new(), &state(&one)), ["left over: builds b"]);
    }
}
