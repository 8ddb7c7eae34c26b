//! Objects as users write them.

use serde_json::{Value, json};

/// Spec of a tenant that may run so many builds at a time.
pub fn tenant(concurrent: u32) -> Value {
    json!({
        "owners": [{"kind": "User", "name": "olga@example.com"}],
        "capabilities": {"build": true, "changeReason": "T-1"},
        "quota": {"cpu": "1000", "memory": "1000Gi", "ephemeralStorage": "10Ti", "pods": 1000, "concurrentBuilds": concurrent},
    })
}

/// A project.
pub fn project(name: &str) -> Value {
    json!({"apiVersion": "imagefactory.dev/v1alpha1", "kind": "Project", "metadata": {"name": name}, "spec": {}})
}

/// A build of the project `web`; `more` goes over its spec.
pub fn build(name: &str, more: Value) -> Value {
    let mut spec = json!({
        "projectRef": {"name": "web"},
        "source": {"inline": {"files": [{"path": "Dockerfile", "content": "FROM docker.io/library/debian:12\n"}]}},
    });
    if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
        spec.extend(more);
    }
    json!({"apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build", "metadata": {"name": name}, "spec": spec})
}
