//! Builds that write more than their volumes may hold: put out by the kubelet, in its words, and nobody beside them is.

use imagefactory_crds::build::FailureClass;
use imagefactory_tests::TestTenant;
use imagefactory_tests::building::{failure_of, reason_of, status_of, told};
use imagefactory_tests::dockerfile::{SMALL, inline, slow};
use imagefactory_tests::wait::until;
use serde_json::{Value, json};

/// A source whose step takes a little more of that folder than a volume has, at once, and then waits to be found out: a
/// kubelet looks at what volumes hold once a minute.
fn fills(tenant: &TestTenant, folder: &str) -> Value {
    let size = tenant.cluster.installation.text("/builds/volumeSize");
    let gibibytes: u32 = size.strip_suffix("Gi").and_then(|size| size.parse().ok()).unwrap();
    let mebibytes = gibibytes * 1024 + 64;
    inline(&format!(
        "FROM {SMALL}\nRUN fallocate -l {mebibytes}M {folder}/large && sleep 600\n"
    ))
}

/// What the kubelet says of a volume, and whether what is to be done about it is told.
fn says(failure: &imagefactory_crds::build::Failure, volume: &str) {
    assert_eq!(
        (failure.class, failure.reason.as_str()),
        (FailureClass::Evicted, "Evicted")
    );
    let said = format!("EmptyDir volume \"{volume}\" exceeds the limit");
    assert!(failure.message.contains(&said), "{failure:?}");
    assert!(failure.next.contains("spec.resources"), "{failure:?}");
}

/// Out at once, and not tried again, where no retries are asked for.
async fn ends(tenant: &TestTenant, name: &str) {
    let build = tenant.settled(name).await;
    assert_eq!(reason_of(&build), "Evicted", "{}", told(&build));
    says(&failure_of(&build), name);
    assert_eq!(status_of(&build).attempts, Some(1));
    tenant.is_not_published(name).await;
}

/// Out, and in line for its next attempt: seen while it waits, since a moment later the next attempt has begun.
async fn is_tried_again(tenant: &TestTenant, name: &str, volume: &str) {
    let build = until("the Build waits for its next attempt", 180, async || {
        let build = tenant.build(name).await;
        status_of(&build).next_attempt_at.is_some().then_some(build)
    })
    .await;
    says(&failure_of(&build), volume);
    let retries: Vec<_> = status_of(&build)
        .retries
        .iter()
        .map(|of| (of.class, of.count))
        .collect();
    assert_eq!(retries, [(FailureClass::Evicted, 1)]);
    tenant.cancel(name).await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_build_that_fills_its_volume_is_evicted_and_says_which_and_its_neighbour_builds_on() {
    let tenant = TestTenant::create("full").await;
    let layout = json!({"source": fills(&tenant, "/layout"), "retries": 0});
    tenant.start("layout", layout).await;
    let cache = json!({"source": fills(&tenant, "/cache/out"), "cache": {"mode": "Refresh"}, "retries": 1});
    tenant.start("cache", cache).await;
    tenant.start("neighbour", json!({"source": slow(80)})).await;

    // Which of the two the kubelet finds first is its own affair.
    tokio::join!(ends(&tenant, "layout"), is_tried_again(&tenant, "cache", "cache-out"));

    let build = tenant.has_succeeded("neighbour").await;
    assert_eq!(
        (status_of(&build).attempts, status_of(&build).retries.len()),
        (Some(1), 0)
    );
}
