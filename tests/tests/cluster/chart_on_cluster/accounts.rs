//! What the factory's own accounts can't do, where RBAC or admission holds them.

use imagefactory_crds::Project;
use imagefactory_tests::access::{create, refusal, try_create};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::fenced::{Fenced, LABEL};
use super::refused;

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn the_operators_account_is_held_to_the_factorys_namespaces_where_rbac_would_let_it_out() {
    let fenced = Fenced::new("wall-confine").await;
    let binding = fenced.binding("viewer");
    assert_eq!(fenced.try_as_operator(&binding).await, Ok(()));
    for elsewhere in ["kube-system", "default"] {
        refused(
            try_create(&fenced.operator, Some(elsewhere), &binding).await,
            "write only in namespaces of tenants",
        );
    }
    let credentials = fenced.binding("tenant-credentials");
    refused(
        fenced.try_as_operator(&credentials).await,
        "the credentials role's alone",
    );
    let mut cluster_admin = binding.clone();
    cluster_admin["roleRef"]["name"] = json!("cluster-admin");
    refused(
        fenced.try_as_operator(&cluster_admin).await,
        "attempting to grant RBAC permissions not currently held",
    );
    let namespace = |name: &str, labels: Value| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    for (name, labels) in [
        ("kube-evil", json!({})),
        ("tenant-evil", json!({})),
        ("tenant-evil", json!({LABEL: "other"})),
        ("evil", json!({LABEL: "evil"})),
    ] {
        refused(
            try_create(&fenced.operator, None, &namespace(name, labels)).await,
            "makes only Namespaces that are named tenant-<name>",
        );
    }
    let namespaces = Api::<Namespace>::all(fenced.operator.clone());
    let privileged =
        Patch::Merge(json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}));
    let changed = namespaces
        .patch("kube-system", &PatchParams::default(), &privileged)
        .await;
    refused(
        changed.map(|_| ()).map_err(|error| refusal(&error)),
        "changes only Namespaces that it made",
    );
    fenced.gone().await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn neither_account_of_the_factory_reads_a_secret_anywhere() {
    let fenced = Fenced::new("wall-secrets").await;
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mine"}, "stringData": {"password": "x"}});
    create(&fenced.cluster.client, Some(&fenced.name), &secret)
        .await
        .unwrap();
    let installation = &fenced.cluster.installation;
    for user in [installation.operator_user(), installation.credentials_user()] {
        let client = fenced
            .cluster
            .client_as(&user, &["system:serviceaccounts", "system:authenticated"])
            .await;
        for namespace in [&fenced.name, installation.work_namespace(), &installation.namespace] {
            let api = Api::<Secret>::namespaced(client.clone(), namespace);
            for answer in [
                api.get("mine").await.map(|_| ()),
                api.list(&ListParams::default()).await.map(|_| ()),
                api.delete("mine", &DeleteParams::default()).await.map(|_| ()),
                api.patch("mine", &PatchParams::default(), &Patch::Merge(json!({})))
                    .await
                    .map(|_| ()),
            ] {
                refused(answer.map_err(|error| refusal(&error)), "cannot");
            }
        }
    }
    fenced.gone().await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn not_even_an_administrator_writes_what_was_staged_and_judged() {
    let fenced = Fenced::new("wall-status").await;
    let project =
        json!({"apiVersion": "imagefactory.dev/v1alpha1", "kind": "Project", "metadata": {"name": "app"}, "spec": {}});
    create(&fenced.cluster.client, Some(&fenced.name), &project)
        .await
        .unwrap();
    let patch = Patch::Merge(json!({"status": {"observedGeneration": 7}}));
    let api = Api::<Project>::namespaced(fenced.cluster.client.clone(), &fenced.name);
    let written = api.patch_status("app", &PatchParams::default(), &patch).await;
    refused(
        written.map(|_| ()).map_err(|error| refusal(&error)),
        "status is written by Image Factory's operator alone",
    );
    let api = Api::<Project>::namespaced(fenced.operator.clone(), &fenced.name);
    api.patch_status("app", &PatchParams::default(), &patch)
        .await
        .expect("the operator writes it");
    fenced.gone().await;
}
