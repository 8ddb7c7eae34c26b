//! Objects that use every text field of their kind, and the paths of those fields.

use serde_json::{Value, json};

/// A valid object that is tried with hostile strings, and the resource that its schema is found by.
pub struct Sample {
    /// Name of the CustomResourceDefinition.
    pub definition: &'static str,
    /// Whether it lies in a namespace.
    pub namespaced: bool,
    /// The object.
    pub object: Value,
}

/// Objects that use, together, every text field that anybody but the operator writes.
pub fn samples() -> Vec<Sample> {
    let mut samples: Vec<_> = sources()
        .into_iter()
        .map(|source| sample("builds", "Build", &build(&source)))
        .collect();
    samples.push(sample("builds", "Build", &recipe()));
    samples.push(sample("builds", "Build", &several_platforms()));
    samples.push(sample("builds", "Build", &custom()));
    samples.push(sample(
        "builds",
        "Build",
        &json!({"projectRef": {"name": "app"}, "templateRef": {"name": "release"}}),
    ));
    samples.push(sample(
        "builds",
        "Build",
        &json!({"projectRef": {"name": "app"}, "rerunOf": {"name": "first"}}),
    ));
    samples.push(sample("projects", "Project", &templates()));
    samples.extend(
        sources()
            .into_iter()
            .map(|source| sample("projects", "Project", &project(&source))),
    );
    samples.push(sample("tenantsettings", "TenantSettings", &settings()));
    samples.push(sample("tenants", "Tenant", &tenant()));
    samples.push(sample("imagepolicies", "ImagePolicy", &policy()));
    samples.push(sample("sorrecords", "SorRecord", &record()));
    samples.push(sample("imagescans", "ImageScan", &scan()));
    samples.push(sample("quarantinerequests", "QuarantineRequest", &request()));
    samples
}

fn sample(plural: &'static str, kind: &str, spec: &Value) -> Sample {
    let name = if kind == "TenantSettings" { "settings" } else { "sample" };
    Sample {
        definition: plural,
        namespaced: !["Tenant", "ImagePolicy", "SorRecord"].contains(&kind),
        object: json!({"apiVersion": "imagefactory.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}),
    }
}

fn sources() -> [Value; 4] {
    [
        json!({"git": {"url": "https://example.com/a/b", "revision": "main", "secretRef": {"name": "git"}},
            "contextDir": "a/b", "dockerfile": "c/Dockerfile"}),
        json!({"inline": {"files": [{"path": "Dockerfile", "content": "FROM scratch"}]}}),
        json!({"configMap": {"name": "source"}}),
        json!({"oci": {"image": "registry.example.com/a/sources:1"}}),
    ]
}

fn resources() -> Value {
    let amounts = json!({"cpu": "1", "memory": "1Gi", "ephemeralStorage": "1Gi"});
    json!({"requests": amounts, "limits": amounts})
}

fn placement() -> Value {
    json!({
        "nodeSelector": [{"key": "example.com/pool", "value": "builds"}],
        "tolerations": [{"key": "example.com/builds", "value": "only", "effect": "NoSchedule"}],
        "priorityClassName": "builds", "runtimeClassName": "gvisor", "schedulerName": "packing",
    })
}

/// What a Tenant allows so that its builds may be placed as the samples are.
pub fn allowed_placement() -> Value {
    json!({
        "nodeSelector": [{"key": "example.com/pool", "value": "builds"}],
        "tolerations": [{"key": "example.com/builds", "value": "only", "effect": "NoSchedule"}],
        "priorityClassNames": ["builds"], "runtimeClassNames": ["gvisor"], "schedulerNames": ["packing"],
    })
}

fn common() -> Value {
    json!({
        "projectRef": {"name": "app"},
        "labels": [{"name": "org.example.a", "value": "b"}],
        "pullSecrets": [{"name": "pull"}],
        "registryMirrors": [{"registry": "docker.io", "mirror": "mirror.example.com/hub"}],
        "caBundle": {"name": "authorities", "key": "ca.crt"},
        "output": {"image": "registry.example.com/a/b:1", "pushSecretRef": {"name": "push"}},
        "resources": resources(),
        "timeout": "30m",
        "policyRef": {"name": "strict"},
        "placement": placement(),
        "proxy": {"http": "http://proxy.example.com:3128", "https": "http://proxy.example.com:3128",
            "exceptions": [".example.com"]},
    })
}

fn build(source: &Value) -> Value {
    let mut build = common();
    build["source"] = source.clone();
    build["target"] = json!("stage");
    build["buildArgs"] = json!([{"name": "A", "value": "b"}]);
    build
}

fn recipe() -> Value {
    let mut build = common();
    build["recipe"] = json!({"baseImage": "debian:bookworm", "packages": ["curl"], "commands": ["true"],
        "env": [{"name": "A", "value": "b"}], "entrypoint": ["sh"]});
    build
}

fn several_platforms() -> Value {
    let mut build = build(&sources()[1]);
    build["method"] = json!("buildx");
    build["platforms"] = json!(["linux/amd64"]);
    build["secrets"] = json!([{"id": "token", "secretRef": {"name": "tokens", "key": "npm"}}]);
    build
}

fn custom() -> Value {
    let image = format!("registry.example.com/a/builder@sha256:{}", "0".repeat(64));
    json!({
        "projectRef": {"name": "app"}, "source": sources()[1], "method": "custom",
        "custom": {"image": image, "command": ["build"], "args": ["all"], "env": [{"name": "A", "value": "b"}]},
    })
}

/// A project with a template of each kind: a Build's inputs, and a repository for what comes of them.
fn templates() -> Value {
    let mut builds: Vec<_> = sources().iter().map(build).collect();
    builds.extend([recipe(), several_platforms(), custom()]);
    let templates = builds.into_iter().enumerate().map(|(number, mut template)| {
        template.as_object_mut().unwrap().remove("projectRef");
        template["name"] = json!(format!("template-{number}"));
        template["description"] = json!("Text");
        template["output"] = json!({"repository": "registry.example.com/a/b", "pushSecretRef": {"name": "push"}});
        template
    });
    json!({"templates": templates.collect::<Vec<_>>()})
}

fn project(source: &Value) -> Value {
    json!({"displayName": "Name", "description": "Text", "source": source,
        "buildDefaults": {"timeout": "30m", "resources": resources(), "placement": placement()}, "policyRef": {"name": "strict"},
        "retention": {"maxAge": "720h"}})
}

fn settings() -> Value {
    json!({
        "displayName": "Name", "logoUrl": "https://example.com/logo.png", "timeZone": "Europe/Zurich",
        "language": "de-CH", "contactEmail": "a@example.com", "supportEmail": "b@example.com",
        "members": [{"subject": {"kind": "ServiceAccount", "name": "ci", "namespace": "ci"}, "role": "mine", "projects": ["web"]}],
        "roles": [{"name": "mine", "description": "Text", "permissions": ["ViewProjects"]}],
        "retention": {"maxAge": "720h"},
        "buildDefaults": {"timeout": "30m", "resources": resources(), "placement": placement()},
    })
}

fn tenant() -> Value {
    json!({
        "owners": [{"kind": "ServiceAccount", "name": "ci", "namespace": "ci"}],
        "capabilities": {"build": true, "changeReason": "a test"},
        "quota": {"cpu": "1", "memory": "1Gi", "ephemeralStorage": "1Gi"},
        "registries": ["registry.example.com/a"],
        "policyRef": {"name": "strict"},
        "serviceAccountNamespaces": ["ci"],
        "placement": allowed_placement(),
    })
}

fn record() -> Value {
    json!({"recordId": "APP-4711", "tenants": ["acme"], "product": "Shop", "technology": "PostgreSQL",
        "justification": "Text", "expiresAt": "2035-01-01T00:00:00Z"})
}

/// The record that the sample of a request rests on.
pub const RECORD: &str = "APP-4711";

fn request() -> Value {
    json!({"source": {"image": "quay.io/a/b:1"}, "sorRecordId": RECORD, "justification": "Text",
        "projectRef": {"name": "app"}, "platforms": ["linux/amd64"], "policyRef": {"name": "strict"}})
}

fn policy() -> Value {
    json!({
        "maxCvss": "6.9", "deniedLicences": ["AGPL-3.0-only"], "deniedPackages": ["telnet"], "maxEvidenceAge": "24h",
        "allowedSources": {"bases": ["registry.example.com/hardened"], "git": ["git.example.com/team"]},
        "rules": [{"name": "small", "expression": "size(findings) < 10", "message": "Fewer findings, please."}],
    })
}

fn scan() -> Value {
    json!({
        "projectRef": {"name": "app"}, "image": "registry.example.com/images/acme/app:1", "policyRef": {"name": "strict"},
        "timeout": "20m",
    })
}

/// JSON pointers of all texts of a spec, with `*` for what is a place in a list in the second of each pair.
pub fn texts(value: &Value) -> Vec<(String, String)> {
    fn walk(value: &Value, exact: &str, general: &str, found: &mut Vec<(String, String)>) {
        match value {
            Value::String(_) => found.push((exact.to_owned(), general.to_owned())),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .for_each(|(index, item)| walk(item, &format!("{exact}/{index}"), &format!("{general}/*"), found)),
            Value::Object(fields) => fields
                .iter()
                .for_each(|(name, field)| walk(field, &format!("{exact}/{name}"), &format!("{general}/{name}"), found)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut found = Vec::new();
    walk(value, "", "", &mut found);
    found
}

/// The texts that a schema has, in the general form of [`texts`]. One with a fixed set of words is none.
pub fn texts_of_schema(schema: &Value) -> Vec<String> {
    fn walk(schema: &Value, path: &str, found: &mut Vec<String>) {
        let is_text = schema["type"] == "string" || schema["x-kubernetes-int-or-string"] == true;
        if is_text && schema.get("enum").is_none() {
            found.push(path.to_owned());
        }
        if let Some(items) = schema.get("items") {
            walk(items, &format!("{path}/*"), found);
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            walk(property, &format!("{path}/{name}"), found);
        }
    }
    let mut found = Vec::new();
    walk(schema, "", &mut found);
    found
}
