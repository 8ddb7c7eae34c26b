//! The wall around Tenants, asked of the real API server in the operator's name: RBAC lets it patch them.

use imagefactory_crds::Tenant;
use imagefactory_tests::TestTenant;
use imagefactory_tests::access::refusal;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::refused;

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn the_operator_can_not_change_what_administrators_wrote_into_a_tenant() {
    let tenant = TestTenant::create("own-spec").await;
    let user = tenant.cluster.installation.operator_user();
    let groups = ["system:serviceaccounts", "system:authenticated"];
    let tenants = Api::<Tenant>::all(tenant.cluster.client_as(&user, &groups).await);
    for change in [
        json!({"spec": {"suspended": true}}),
        json!({"spec": {"delegateApproval": true}}),
        json!({"metadata": {"annotations": {"a": "b"}}}),
        json!({"metadata": {"labels": {"a": "b"}}}),
    ] {
        let answer = tenants
            .patch(&tenant.name, &PatchParams::default(), &Patch::Merge(&change))
            .await;
        let answer = answer.map(|_| ()).map_err(|error| refusal(&error));
        refused(answer, "change nothing of a Tenant but its finalizers");
    }
    let touch = json!({"metadata": {"finalizers": ["imagefactory.dev/tenant", "imagefactory.dev/test"]}});
    let answer = tenants
        .patch(&tenant.name, &PatchParams::default(), &Patch::Merge(&touch))
        .await;
    answer.expect("finalizers are the operator's to write");
    tenant
        .patch(json!({"metadata": {"finalizers": ["imagefactory.dev/tenant"]}}))
        .await;
}
