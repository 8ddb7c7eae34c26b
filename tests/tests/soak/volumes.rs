//! Volumes without room: of a build, which fails with its class, and of the store of logs, which costs no build anything.
//!
//! Runs alone: it changes where everybody's logs are kept.

use imagefactory_crds::build::FailureClass;
use imagefactory_tests::building::{status_of, told};
use imagefactory_tests::busy::figure;
use imagefactory_tests::dockerfile::{BASE, inline, talks};
use imagefactory_tests::kept::{SAID, logs_of};
use imagefactory_tests::store::Tight;
use imagefactory_tests::wait::until;
use imagefactory_tests::{Cluster, TestTenant};
use serde_json::{Value, json};

/// A source whose step takes so many MiB, and gives the kubelet the time to look how much is used.
fn large(mebibytes: u32) -> Value {
    inline(&format!(
        "FROM {BASE}\nRUN head -c {mebibytes}M /dev/urandom > /large && sleep 90\n"
    ))
}

/// Waits until Prometheus has a value above zero for it.
async fn is_told(cluster: &Cluster, expression: &str) {
    let prometheus = cluster.prometheus();
    until(&format!("Prometheus tells {expression}"), 90, async || {
        let samples = prometheus.query(expression).await;
        samples.iter().any(|sample| sample.value > 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "run by `make soak`: it takes minutes"]
async fn a_build_that_fills_its_disk_is_evicted_and_says_so() {
    let _alone = crate::ALONE.lock().await;
    let tenant = TestTenant::create("disk").await;
    let little = json!({"limits": {"ephemeralStorage": "200Mi"}, "requests": {"ephemeralStorage": "100Mi"}});
    // The builder is an init container: the kubelet holds the pod to the highest limit of any container in it.
    let _restored = tenant.cluster.with_settings(|settings| {
        settings["builds"]["stepResources"]["limits"]["ephemeralStorage"] = json!("200Mi");
    });
    let spec = json!({"source": large(400), "resources": little, "retries": 0});
    let failure = tenant.fails("full", FailureClass::Evicted, spec).await;
    figure(&format!("{}: {}", failure.reason, failure.message));
    assert!(failure.message.contains("ephemeral"), "{failure:?}");
    assert!(failure.next.contains("ephemeralStorage"), "{failure:?}");
    tenant.is_not_published("full").await;
}

#[tokio::test]
#[ignore = "run by `make soak`: it takes minutes"]
async fn a_full_store_costs_a_build_nothing_and_its_logs_are_kept_when_there_is_room() {
    let _alone = crate::ALONE.lock().await;
    let tenant = TestTenant::create("nostore").await;
    let cluster = tenant.cluster.clone();
    let restart = || cluster.restart(&cluster.installation.namespace, &cluster.installation.operator);
    let tight = Tight::over_the_archive(&cluster).await;
    restart();
    let build = tenant.succeeds("goes-on", json!({"source": talks()})).await;
    assert_eq!(logs_of(&build), 0, "{}", told(&build));
    is_told(&cluster, "sum(imagefactory_logs_waiting)").await;
    is_told(&cluster, r#"sum(imagefactory_log_failures_total{cause="store"})"#).await;
    assert!(!tenant.pods().await.is_empty(), "no pod goes before its logs are kept");
    tight.give_room();
    let build = until("every log is kept", 120, async || {
        Some(tenant.build("goes-on").await).filter(|build| logs_of(build) == 7)
    })
    .await;
    assert_eq!(status_of(&build).attempts, Some(1));
    assert!(tenant.kept_logs("goes-on").contains(SAID));
    drop(tight);
    restart();
}
