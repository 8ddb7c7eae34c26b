//! Volumes without room: of a build, which fails with its class, and of the store of logs, which costs no build anything.
//! And the other store, a bucket, as it is deployed.
//!
//! Runs alone: it changes where everybody's logs are kept.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on ends and says why"
)]

use imagefactory_crds::Build;
use imagefactory_crds::build::FailureClass;
use imagefactory_tests::building::{status_of, told};
use imagefactory_tests::busy::figure;
use imagefactory_tests::dockerfile::{BASE, inline};
use imagefactory_tests::store::{Deployed, Minio, Tight};
use imagefactory_tests::wait::until;
use imagefactory_tests::{Cluster, TestTenant};
use serde_json::{Value, json};
use tokio::sync::Mutex;

static ALONE: Mutex<()> = Mutex::const_new(());

/// A source whose step takes so many MiB, and gives the kubelet the time to look how much is used.
fn large(mebibytes: u32) -> Value {
    inline(&format!(
        "FROM {BASE}\nRUN head -c {mebibytes}M /dev/urandom > /large && sleep 90\n"
    ))
}

/// A source that is built soon, and says something.
fn talks() -> Value {
    inline(&format!("FROM {BASE}\nRUN echo said $((40 + 2)) aloud\n"))
}

/// What the platform's administrators read of a build.
fn kept(tenant: &TestTenant, build: &str) -> String {
    let installation = &tenant.cluster.installation;
    let deployment = format!("deploy/{}", installation.operator);
    let name = format!("{}/{build}", tenant.namespace);
    let command = [
        "exec",
        "-n",
        &installation.namespace,
        &deployment,
        "--",
        "/operator",
        "logs",
        &name,
    ];
    tenant.cluster.kubectl().run(&command).expect_ok()
}

fn logs_of(build: &Build) -> usize {
    status_of(build).logs.as_ref().map_or(0, |logs| logs.containers.len())
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
#[ignore = "needs the cluster of `make cluster`"]
async fn a_build_that_fills_its_disk_is_evicted_and_says_so() {
    let _alone = ALONE.lock().await;
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
#[ignore = "needs the cluster of `make cluster`"]
async fn a_full_store_costs_a_build_nothing_and_its_logs_are_kept_when_there_is_room() {
    let _alone = ALONE.lock().await;
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
    assert!(kept(&tenant, "goes-on").contains("said 42 aloud"));
    drop(tight);
    restart();
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn logs_are_kept_in_a_bucket_where_the_release_says_so_and_read_back_from_there() {
    let _alone = ALONE.lock().await;
    let cluster = Cluster::connect().await;
    let minio = Minio::start(&cluster).await;
    let deployed = Deployed::with(&cluster, &minio.values());
    let tenant = TestTenant::create("bucket").await;
    let build = tenant.succeeds("in-s3", json!({"source": talks()})).await;
    assert_eq!(logs_of(&build), 7, "{}", told(&build));
    let location = &status_of(&build).logs.as_ref().unwrap().location;
    assert!(location.starts_with("s3://archive/factory/"), "{location}");
    assert!(kept(&tenant, "in-s3").contains("said 42 aloud"));
    let path = location.trim_start_matches("s3://archive/");
    let objects = minio.objects(path);
    assert_eq!(objects.len(), 7, "{objects:?}");
    drop(deployed);
    tenant.succeeds("on-the-volume", json!({"source": talks()})).await;
}
