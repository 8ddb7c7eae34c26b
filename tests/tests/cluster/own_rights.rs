//! The factory's own rights: what RBAC does not give its service accounts (trust.md). What RBAC must leave open and
//! admission closes, the chart's own tests try (chart_on_cluster).

use imagefactory_tests::access::{Person, may, may_path};
use imagefactory_tests::{Cluster, TestTenant};
use serde_json::json;

const READS: [&str; 3] = ["get", "list", "watch"];
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// What neither account may do anywhere but in the factory's own namespaces.
const NEVER_ELSEWHERE: [&str; 16] = [
    "secrets",
    "configmaps",
    "serviceaccounts",
    "services",
    "events",
    "persistentvolumeclaims",
    "endpoints",
    "deployments.apps",
    "daemonsets.apps",
    "jobs.batch",
    "pods",
    "leases.coordination.k8s.io",
    "networkpolicies.networking.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "resourcequotas",
    "limitranges",
];

/// What neither account may do anywhere at all.
const NEVER: [(&str, &str); 22] = [
    ("impersonate", "users"),
    ("impersonate", "groups"),
    ("impersonate", "serviceaccounts"),
    ("escalate", "clusterroles.rbac.authorization.k8s.io"),
    ("escalate", "roles.rbac.authorization.k8s.io"),
    ("bind", "clusterroles.rbac.authorization.k8s.io"),
    ("create", "clusterroles.rbac.authorization.k8s.io"),
    ("create", "clusterrolebindings.rbac.authorization.k8s.io"),
    ("patch", "clusterroles.rbac.authorization.k8s.io"),
    ("create", "pods/exec"),
    ("create", "pods/attach"),
    ("create", "pods/portforward"),
    ("create", "serviceaccounts/token"),
    ("patch", "pods/ephemeralcontainers"),
    ("get", "nodes"),
    ("get", "nodes/proxy"),
    ("create", "certificatesigningrequests.certificates.k8s.io"),
    ("patch", "customresourcedefinitions.apiextensions.k8s.io"),
    ("delete", "validatingadmissionpolicies.admissionregistration.k8s.io"),
    ("patch", "validatingwebhookconfigurations.admissionregistration.k8s.io"),
    ("create", "tenants.imagefactory.dev"),
    ("delete", "tenants.imagefactory.dev"),
];

fn accounts(cluster: &Cluster) -> [String; 2] {
    [
        cluster.installation.operator_user(),
        cluster.installation.credentials_user(),
    ]
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn rbac_gives_the_factory_nothing_in_foreign_namespaces_and_no_secret_anywhere() {
    let tenant = TestTenant::create("rights").await;
    let cluster = &tenant.cluster;
    let mut held = Vec::new();
    for user in accounts(cluster) {
        let who = Person::service_account(&user);
        let mut check = Vec::new();
        for namespace in [
            "default",
            "kube-system",
            "",
            tenant.namespace.as_str(),
            cluster.installation.work_namespace(),
        ] {
            check.extend(READS.map(|verb| (verb, "secrets", namespace)));
            check.extend(["update", "delete", "deletecollection", "patch"].map(|verb| (verb, "secrets", namespace)));
            check.extend(NEVER.map(|(verb, resource)| (verb, resource, namespace)));
            check.push(("*", "*", namespace));
        }
        for namespace in ["default", "kube-system", ""] {
            check.extend(
                NEVER_ELSEWHERE
                    .iter()
                    .flat_map(|resource| WRITES.map(|verb| (verb, *resource, namespace))),
            );
        }
        for (verb, resource, namespace) in check {
            if may(&cluster.client, who, verb, resource, namespace).await {
                held.push(format!("{user} may {verb} {resource} in {namespace:?}"));
            }
        }
        assert!(
            !may_path(&cluster.client, who, "get", "/metrics").await,
            "{user} reads the API server's metrics"
        );
    }
    assert!(held.is_empty(), "{held:#?}");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn the_account_that_places_credentials_writes_one_name_and_nothing_else() {
    let tenant = TestTenant::create("places").await;
    let cluster = &tenant.cluster;
    let user = cluster.installation.credentials_user();
    let kubectl = cluster.kubectl();
    let secret = |name: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}).to_string();
    for namespace in ["default", "kube-system"] {
        let answer = kubectl.run_with(
            &["create", "--as", &user, "-n", namespace, "-f", "-", "--dry-run=server"],
            &secret("x"),
        );
        assert!(!answer.ok, "created in {namespace}");
    }
    tenant.secret("of-the-tenant", "Opaque", json!({"a": "b"})).await;
    for name in ["of-the-tenant", "imagefactory-other"] {
        let patch = [
            "patch",
            "secret",
            name,
            "--as",
            &user,
            "-n",
            &tenant.namespace,
            "-p",
            "{}",
            "--dry-run=server",
        ];
        let answer = kubectl.run(&patch);
        assert!(
            !answer.ok && answer.stderr.to_lowercase().contains("forbidden"),
            "{name}: {}{}",
            answer.stdout,
            answer.stderr
        );
    }
}
