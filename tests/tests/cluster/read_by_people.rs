//! What somebody sees who knows Kubernetes and not this product: columns, short names, categories, manuals.

use imagefactory_tests::dockerfile::quick;
use imagefactory_tests::{Cluster, TestTenant};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::ListParams;
use serde_json::Value;

const PLURALS: [&str; 8] = [
    "builds",
    "imagepolicies",
    "imagescans",
    "projects",
    "quarantinerequests",
    "sorrecords",
    "tenants",
    "tenantsettings",
];

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn columns_answer_what_state_why_and_since_when() {
    let tenant = TestTenant::create("columns").await;
    tenant.start("shown", serde_json::json!({"source": quick()})).await;
    tenant.has_succeeded("shown").await;
    let kubectl = tenant.cluster.kubectl();
    let get = |what: &str| kubectl.run(&["get", what, "-n", &tenant.namespace]).expect_ok();
    let builds = get("ifb");
    let mut lines = builds.lines();
    let header: Vec<_> = lines.next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(
        header,
        ["NAME", "PROJECT", "STATE", "REASON", "VERDICT", "SINCE", "AGE"]
    );
    let row: Vec<_> = lines.next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(row[..5], ["shown", "app", "Succeeded", "Published", "Pass"], "{builds}");
    let wide = kubectl
        .run(&["get", "builds", "-n", &tenant.namespace, "-o", "wide"])
        .expect_ok();
    assert!(wide.contains("sha256:") && wide.contains("/app:shown"), "{wide}");
    let tenants = get("ten");
    let line = tenants
        .lines()
        .find(|line| line.starts_with(&tenant.name))
        .unwrap_or_default();
    let row: Vec<_> = line.split_whitespace().collect();
    assert_eq!(row[1..4], ["True", "Active", "false"], "{tenants}");
    let all = get("imagefactory");
    for expected in [
        "build.imagefactory.dev/shown",
        "project.imagefactory.dev/app",
        "tenantsettings.imagefactory.dev/settings",
    ] {
        assert!(all.contains(expected), "{expected} is not in the category:\n{all}");
    }
    for (selector, found) in [
        ("spec.projectRef.name=app", true),
        ("status.phase=Succeeded", true),
        ("status.phase=Failed", false),
    ] {
        let answer = kubectl
            .run(&["get", "builds", "-n", &tenant.namespace, "--field-selector", selector])
            .expect_ok();
        assert_eq!(answer.contains("shown"), found, "{selector}: {answer}");
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn explain_is_the_manual_every_field_has_a_description() {
    let cluster = Cluster::connect().await;
    let definitions = Api::<CustomResourceDefinition>::all(cluster.client.clone());
    let listed = definitions.list(&ListParams::default()).await.unwrap().items;
    let ours: Vec<_> = listed
        .into_iter()
        .filter(|definition| definition.spec.group == "imagefactory.dev")
        .collect();
    let mut plurals: Vec<_> = ours
        .iter()
        .map(|definition| definition.spec.names.plural.as_str())
        .collect();
    plurals.sort_unstable();
    assert_eq!(plurals, PLURALS);
    let mut silent = Vec::new();
    for definition in &ours {
        let schema = serde_json::to_value(&definition.spec.versions[0].schema).unwrap();
        find_silent(&schema["openAPIV3Schema"], &definition.spec.names.plural, &mut silent);
    }
    assert!(silent.is_empty(), "without a description: {silent:#?}");
    for plural in PLURALS {
        let explained = cluster
            .kubectl()
            .run(&["explain", &format!("{plural}.spec")])
            .expect_ok();
        assert!(
            explained.contains("DESCRIPTION") && !explained.contains("<no description>"),
            "{explained}"
        );
    }
}

fn find_silent(schema: &Value, path: &str, silent: &mut Vec<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        // apiVersion, kind and metadata are Kubernetes' own, and it explains them.
        let is_own = !["apiVersion", "kind", "metadata"].contains(&name.as_str());
        if is_own
            && property["description"]
                .as_str()
                .is_none_or(|text| text.trim().is_empty())
        {
            silent.push(path.clone());
        }
        find_silent(property, &path, silent);
        find_silent(&property["items"], &path, silent);
    }
}
