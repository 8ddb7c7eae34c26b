//! Pods go away in every stage: by hand, and with the node and the operator on it, which then come back. Builds whose pods
//! are gone are built again, and come to their right end.
//!
//! Runs alone, and only in `make soak`: it takes minutes, and the whole cluster away.

use std::time::Duration;

use imagefactory_tests::busy::{Busy, figure};
use imagefactory_tests::wait::until;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};

/// The node controller collects the pods of a node that is gone after 40 s, looked at every 20 s.
const COLLECTED: u64 = 240;

#[tokio::test]
#[ignore = "run by `make soak`: it takes minutes"]
async fn a_node_that_is_gone_with_all_its_pods_and_comes_back_costs_attempts_and_no_build() {
    let _alone = crate::ALONE.lock().await;
    let busy = Busy::start("node").await;
    let cluster = busy.tenant.cluster.clone();
    let nodes = Api::<Node>::all(cluster.client.clone());
    let name = nodes.list(&ListParams::default()).await.unwrap().items[0].name_any();
    let down = cluster.take_down("kubelet");
    nodes
        .delete(&name, &DeleteParams::default())
        .await
        .expect("deleting the node");
    let pods = busy.tenant.api::<Pod>();
    let bound = ListParams::default().fields(&format!("spec.nodeName={name}"));
    until("the pods of the node are collected", COLLECTED, async || {
        pods.list(&bound).await.unwrap().items.is_empty().then_some(())
    })
    .await;
    figure(&format!("the node is gone: {:?}", busy.phases().await));
    drop(down);
    until("the operator is back", 300, async || {
        let pods = cluster.operator_pods().await;
        let is_ready = |pod: &Pod| {
            let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions
                .into_iter()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True")
        };
        pods.iter().any(is_ready).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    busy.ends_well().await;
}

#[tokio::test]
#[ignore = "run by `make soak`: it takes minutes"]
async fn pods_of_every_stage_deleted_by_hand_are_made_again_and_nothing_twice() {
    let _alone = crate::ALONE.lock().await;
    let busy = Busy::start("by-hand").await;
    let kubectl = busy.tenant.cluster.kubectl();
    let work = busy.tenant.cluster.installation.work_namespace();
    let label = format!("imagefactory.dev/tenant={}", busy.tenant.name);
    for namespace in [busy.tenant.namespace.as_str(), work] {
        let delete = [
            "delete",
            "pod",
            "-n",
            namespace,
            "-l",
            &label,
            "--grace-period=0",
            "--force",
        ];
        figure(&kubectl.run(&delete).expect_ok().replace('\n', "; "));
    }
    busy.ends_well().await;
}
