//! The chart on a real API server: it takes every object that is rendered, its policies compile without a warning,
//! and the walls hold against requests that RBAC would let through.

mod accounts;
mod fenced;
mod names;
mod pods;
mod tenants;

use crate::support::{local, render};
use imagefactory_tests::Cluster;
use imagefactory_tests::chart::Chart;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

#[track_caller]
fn refused(answer: Result<(), String>, words: &str) {
    match answer {
        Ok(()) => panic!("admitted, although it should be refused with {words:?}"),
        Err(said) => assert!(said.contains(words), "expected {words:?}: {said}"),
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn the_api_server_takes_every_object_that_is_rendered() {
    let cluster = Cluster::connect().await;
    let work = cluster.installation.work_namespace();
    for (values, chart) in [
        ("default", Chart::minimal()),
        ("full", Chart::full()),
        ("local", local()),
    ] {
        // Namespaces that the release has: a dry run makes none for the objects in them.
        let chart = chart.set(&format!(
            "workNamespace.name={work},seccomp.namespace.name=image-factory-nodes,metrics.dashboards.namespace={work}"
        ));
        // The pod of `helm test` has a service account that is made right before it: a dry run does not make it.
        let is_made_for_a_test =
            |object: &Value| object.pointer("/metadata/annotations/helm.sh~1hook").is_some() && object["kind"] == "Pod";
        // Its kinds are not on this cluster; chart/monitoring.rs reads them.
        let is_of_the_prometheus_operator = |object: &Value| {
            let version = object["apiVersion"].as_str().unwrap_or_default();
            version.starts_with("monitoring.coreos.com/")
        };
        let objects: Vec<_> = render(&chart)
            .into_iter()
            .filter(|object| !is_made_for_a_test(object) && !is_of_the_prometheus_operator(object))
            .collect();
        let text = serde_json::to_string(&json!({"apiVersion": "v1", "kind": "List", "items": objects})).unwrap();
        let arguments = [
            "apply",
            "--server-side",
            "--dry-run=server",
            "--validate=strict",
            "--force-conflicts",
            "-f",
            "-",
        ];
        let answer = cluster.kubectl().run_with(&arguments, &text);
        assert!(answer.ok, "{values}: {}", answer.stderr);
        assert_eq!(answer.stdout.lines().count(), objects.len(), "{values}");
        assert!(!answer.stderr.contains("Warning"), "{values}: {}", answer.stderr);
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn the_policies_compile_without_a_warning() {
    let cluster = Cluster::connect().await;
    let label = ListParams::default().labels("app.kubernetes.io/part-of=image-factory");
    let policies = Api::<ValidatingAdmissionPolicy>::all(cluster.client.clone())
        .list(&label)
        .await
        .unwrap()
        .items;
    assert_eq!(policies.len(), 14);
    for policy in policies {
        let status = policy.status.unwrap_or_default();
        assert_eq!(
            status.observed_generation, policy.metadata.generation,
            "{:?}",
            policy.metadata.name
        );
        let warnings = status
            .type_checking
            .and_then(|checking| checking.expression_warnings)
            .unwrap_or_default();
        assert!(warnings.is_empty(), "{:?}: {warnings:#?}", policy.metadata.name);
    }
}
