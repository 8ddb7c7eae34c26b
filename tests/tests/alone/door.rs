//! The door, where only the whole of it will do: an uninvited hand takes its configurations away.
//!
//! Runs alone: for a moment nobody is asked about what others write.

use imagefactory_tests::TestTenant;
use imagefactory_tests::cluster::unique;
use imagefactory_tests::dockerfile::quick;
use imagefactory_tests::wait::until;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn configurations_that_somebody_deletes_are_put_back_and_the_door_is_shut_again() {
    let off = json!({"capabilities": {"build": false, "changeReason": "a test"}});
    let tenant = TestTenant::create_with("door-back", off).await;
    let name = tenant.cluster.webhook();
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(tenant.client());
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(tenant.client());
    let uids = (
        validating.get(&name).await.unwrap().metadata.uid,
        mutating.get(&name).await.unwrap().metadata.uid,
    );
    validating.delete(&name, &DeleteParams::default()).await.unwrap();
    mutating.delete(&name, &DeleteParams::default()).await.unwrap();
    until("both configurations are made anew", 30, async || {
        let validating = validating.get_opt(&name).await.unwrap()?.metadata.uid;
        let mutating = mutating.get_opt(&name).await.unwrap()?.metadata.uid;
        (validating != uids.0 && mutating != uids.1).then_some(())
    })
    .await;
    tenant.cluster.until_door_stands();
    let refused = until("the door is shut again", 15, async || {
        let spec = json!({"projectRef": {"name": "app"}, "source": quick()});
        let object = json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build", "metadata": {"name": unique("try")}, "spec": spec,
        });
        let answer = imagefactory_tests::access::create(&tenant.client(), Some(&tenant.namespace), &object).await;
        answer.err()
    })
    .await;
    assert!(refused.starts_with("403 tenant_capability_not_entitled"), "{refused}");
}
