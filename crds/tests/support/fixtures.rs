//! Objects that use every field, one or more for each kind.

use serde_json::{Value, json};

use super::with;

fn read(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

pub fn tenant() -> Value {
    read(include_str!("../fixtures/tenant.yaml"))
}

pub fn tenant_settings() -> Value {
    read(include_str!("../fixtures/tenantsettings.yaml"))
}

pub fn project() -> Value {
    read(include_str!("../fixtures/project.yaml"))
}

/// A Build from a Git repository.
pub fn build() -> Value {
    read(include_str!("../fixtures/build.yaml"))
}

/// A Build from a recipe.
pub fn recipe() -> Value {
    read(include_str!("../fixtures/recipe.yaml"))
}

/// A Build of several platforms, placed, with cache, secrets and proxy.
pub fn buildx() -> Value {
    read(include_str!("../fixtures/buildx.yaml"))
}

/// A Build by a builder of the tenant's.
pub fn custom() -> Value {
    read(include_str!("../fixtures/custom.yaml"))
}

/// A Build by a template of its project.
pub fn by_template() -> Value {
    super::object(
        "Build",
        "shop-2",
        json!({"projectRef": {"name": "shop"}, "templateRef": {"name": "release"}, "platforms": ["linux/arm64"]}),
    )
}

/// A Build that runs another one again.
pub fn rerun() -> Value {
    super::object(
        "Build",
        "shop-3",
        json!({
            "projectRef": {"name": "shop"}, "rerunOf": {"name": "shop-1"},
            "output": {"image": "registry.example.com/acme/shop:again"}, "priority": 1, "timeout": "20m", "retries": 1,
        }),
    )
}

pub fn sor_record() -> Value {
    read(include_str!("../fixtures/sorrecord.yaml"))
}

pub fn quarantine_request() -> Value {
    read(include_str!("../fixtures/quarantinerequest.yaml"))
}

pub fn image_scan() -> Value {
    read(include_str!("../fixtures/imagescan.yaml"))
}

pub fn image_policy() -> Value {
    read(include_str!("../fixtures/imagepolicy.yaml"))
}

/// A source of one file in the object itself.
pub fn inline() -> Value {
    json!({"inline": {"files": [{"path": "app/Dockerfile", "content": "FROM debian:bookworm-slim\nRUN echo \"$(id)\"\n"}]}})
}

/// A source in an OCI artifact.
pub fn oci() -> Value {
    json!({"oci": {"image": "registry.example.com/acme/source:1"}})
}

/// A source in a ConfigMap.
pub fn config_map() -> Value {
    json!({"configMap": {"name": "source"}})
}

/// All of them: together they use every field of every kind.
pub fn all() -> Vec<Value> {
    let mut all = vec![
        tenant(),
        tenant_settings(),
        image_policy(),
        sor_record(),
        quarantine_request(),
        image_scan(),
        recipe(),
        buildx(),
        custom(),
        by_template(),
        rerun(),
    ];
    for object in [project(), build()] {
        for source in [inline(), config_map(), oci()] {
            // Templates are long, and stand in one of them.
            let other = with(&object, "/spec/templates", None);
            all.push(with(&other, "/spec/source", Some(source)));
        }
        all.push(object);
    }
    all
}
