//! Reserved names, and the label that says that the factory made a namespace.

use imagefactory_tests::access::{create, refusal, try_create};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::fenced::{Fenced, LABEL};
use super::refused;

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn reserved_names_are_the_factorys_and_go_with_their_namespace() {
    let fenced = Fenced::new("wall-names").await;
    let object = |kind: &str, metadata: Value| json!({"apiVersion": "v1", "kind": kind, "metadata": metadata});
    for kind in ["Secret", "ConfigMap", "ServiceAccount"] {
        for metadata in [
            json!({"name": "imagefactory-mine"}),
            json!({"generateName": "imagefactory-"}),
        ] {
            refused(
                fenced.try_as_administrator(&object(kind, metadata)).await,
                "reserved for Image Factory",
            );
        }
        assert_eq!(
            fenced
                .try_as_administrator(&object(kind, json!({"name": "mine"})))
                .await,
            Ok(())
        );
    }
    create(
        &fenced.operator,
        Some(&fenced.name),
        &object("ConfigMap", json!({"name": "imagefactory-ca"})),
    )
    .await
    .unwrap();
    let maps = Api::<ConfigMap>::namespaced(fenced.cluster.client.clone(), &fenced.name);
    let patch = Patch::Merge(json!({"data": {"ca.crt": "mine"}}));
    let changed = maps.patch("imagefactory-ca", &PatchParams::default(), &patch).await;
    refused(
        changed.map(|_| ()).map_err(|error| refusal(&error)),
        "reserved for Image Factory",
    );
    let deleted = maps.delete("imagefactory-ca", &DeleteParams::default()).await;
    refused(
        deleted.map(|_| ()).map_err(|error| refusal(&error)),
        "reserved for Image Factory",
    );
    let all = maps
        .delete_collection(&DeleteParams::default(), &ListParams::default())
        .await;
    refused(
        all.map(|_| ()).map_err(|error| refusal(&error)),
        "reserved for Image Factory",
    );
    fenced.gone().await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn the_label_that_says_made_by_the_factory_can_not_be_put_on_changed_or_taken_off() {
    let fenced = Fenced::new("wall-label").await;
    let administrator = &fenced.cluster.client;
    let labelled = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tenant-evil", "labels": {LABEL: "evil"}}});
    refused(
        try_create(administrator, None, &labelled).await,
        "only Image Factory makes Namespaces with the label",
    );
    for client in [administrator, &fenced.operator] {
        let api = Api::<Namespace>::all(client.clone());
        for value in [json!(null), json!("other"), json!("")] {
            let patch = Patch::Merge(json!({"metadata": {"labels": {LABEL: value}}}));
            let changed = api.patch(&fenced.name, &PatchParams::default(), &patch).await;
            refused(
                changed.map(|_| ()).map_err(|error| refusal(&error)),
                "can't be added, changed or removed",
            );
        }
    }
    let api = Api::<Namespace>::all(administrator.clone());
    let patch = Patch::Merge(json!({"metadata": {"labels": {LABEL: "default"}}}));
    for adopted in [
        api.patch("default", &PatchParams::default(), &patch).await,
        api.patch_status("default", &PatchParams::default(), &patch).await,
    ] {
        refused(
            adopted.map(|_| ()).map_err(|error| refusal(&error)),
            "can't be added, changed or removed",
        );
    }
    let team = Patch::Merge(json!({"metadata": {"labels": {"team": "x"}}}));
    api.patch(&fenced.name, &PatchParams::default(), &team)
        .await
        .expect("other labels are free");
    fenced.gone().await;
}
