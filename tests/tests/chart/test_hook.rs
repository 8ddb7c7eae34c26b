//! `helm test`: what it makes, what it may do, and that it says of a release that is well that it is.

use std::process::Command;

use crate::support::render;
use imagefactory_tests::Cluster;
use imagefactory_tests::chart::object::{find, kind, list, name, text};
use imagefactory_tests::chart::rights::granted;
use imagefactory_tests::chart::{Chart, RELEASE};
use serde_json::{Value, json};

fn hooks(objects: &[Value]) -> Vec<&Value> {
    let hook = "/metadata/annotations/helm.sh~1hook";
    objects.iter().filter(|object| text(object, hook) == "test").collect()
}

#[test]
fn the_test_is_a_pod_of_our_own_image_with_an_account_of_its_own_and_all_of_it_goes_after_success() {
    let objects = render(&Chart::minimal());
    let hooks = hooks(&objects);
    let kinds: Vec<&str> = hooks.iter().map(|object| kind(object)).collect();
    let mut sorted = kinds.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["Pod", "Role", "RoleBinding", "ServiceAccount"]);
    for object in &hooks {
        let policy = text(object, "/metadata/annotations/helm.sh~1hook-delete-policy");
        assert_eq!(policy, "before-hook-creation,hook-succeeded", "{}", kind(object));
        assert_eq!(name(object), "image-factory-test");
    }
    let pod = find(&objects, "Pod", "image-factory-test").unwrap();
    let operator = find(&objects, "Deployment", "image-factory-operator").unwrap();
    assert_eq!(
        pod.pointer("/spec/containers/0/image"),
        operator.pointer("/spec/template/spec/containers/0/image"),
        "no image of others"
    );
    assert_eq!(pod["spec"]["restartPolicy"], "Never");
    assert!(pod["spec"]["activeDeadlineSeconds"].as_u64().unwrap() <= 300);
}

#[test]
fn it_may_read_two_deployments_and_nothing_else() {
    let objects = render(&Chart::minimal());
    let rights: Vec<String> = granted(&objects)
        .iter()
        .map(ToString::to_string)
        .filter(|right| right.starts_with("image-factory-test"))
        .collect();
    assert_eq!(
        rights,
        [
            "image-factory-test in image-factory-work | deployments.apps [image-factory-credentials image-factory-trivy] | get"
        ]
    );
    let bound: Vec<&Value> = objects
        .iter()
        .filter(|object| kind(object).ends_with("RoleBinding"))
        .flat_map(|object| list(object, "/subjects"))
        .filter(|subject| text(subject, "/name") == "image-factory-test")
        .collect();
    assert_eq!(bound.len(), 1, "one binding: {bound:?}");
}

#[test]
fn where_metrics_are_closed_the_test_may_still_ask_the_operator_and_only_it() {
    let from = "networkPolicies.metricsFrom[0].namespaceSelector.matchLabels.team=watchers";
    let objects = render(&Chart::minimal().set(from));
    let peers = |named: &str| {
        let policy = find(&objects, "NetworkPolicy", named).unwrap();
        list(policy, "/spec/ingress/0/from").to_vec()
    };
    assert_eq!(peers("image-factory-credentials").len(), 1);
    let pod = find(&objects, "Pod", "image-factory-test").unwrap();
    let selected = &peers("image-factory-operator")[1]["podSelector"]["matchLabels"];
    for (key, value) in selected.as_object().unwrap() {
        assert_eq!(&pod["metadata"]["labels"][key], value, "{key}");
    }
    assert_eq!(selected["app.kubernetes.io/component"], "test");
    let open = render(&Chart::minimal());
    let policy = find(&open, "NetworkPolicy", "image-factory-operator").unwrap();
    assert_eq!(policy.pointer("/spec/ingress/0/from"), None, "no list means anybody");
    assert_eq!(policy.pointer("/spec/ingress/0/ports/0/port"), Some(&json!(8080)));
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn helm_test_passes_on_the_deployed_release_and_leaves_nothing_behind() {
    let cluster = Cluster::connect().await;
    let namespace = &cluster.installation.namespace;
    let output = Command::new(cluster.environment.tool("helm"))
        .args(["test", RELEASE, "--timeout", "3m", "--namespace", namespace])
        .env("KUBECONFIG", cluster.environment.get("KUBECONFIG"))
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{said}");
    assert!(said.contains("TEST SUITE:") && said.contains("Succeeded"), "{said}");
    let name = format!("{}-test", cluster.installation.prefix());
    for (kind, namespace) in [
        ("pod", namespace.as_str()),
        ("serviceaccount", namespace.as_str()),
        ("role", cluster.installation.work_namespace()),
        ("rolebinding", cluster.installation.work_namespace()),
    ] {
        let left = cluster.kubectl().run(&["get", kind, &name, "-n", namespace]);
        assert!(!left.ok && left.stderr.contains("NotFound"), "{kind} is left");
    }
}
