//! A tenant's own builds in the queue: its cap holds at every instant, priority decides, and status tells how it stands.
//!
//! What several tenants share is tried in `alone/queue.rs`, which changes the platform's cap.

use imagefactory_crds::build::QueueLimit;
use imagefactory_tests::building::{conditions_of, status_of, told};
use imagefactory_tests::dockerfile::{quick, slow};
use imagefactory_tests::record::Record;
use imagefactory_tests::wait::until;
use imagefactory_tests::{TestTenant, phase_of, reason_of};
use serde_json::json;

/// A tenant that may run so many builds at a time.
async fn tenant(purpose: &str, cap: u32) -> TestTenant {
    TestTenant::create_with(purpose, json!({"quota": {"concurrentBuilds": cap}})).await
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_tenants_cap_holds_at_every_instant_and_all_its_builds_come_to_their_end() {
    let tenant = tenant("cap", 2).await;
    let record = Record::of(&tenant.client(), &[&tenant.namespace]);
    let names: Vec<String> = (0..6).map(|number| format!("b{number}")).collect();
    for name in &names {
        tenant.start(name, json!({"source": quick()})).await;
    }
    for name in &names {
        let build = tenant.has_succeeded(name).await;
        assert_eq!(status_of(&build).queue, None, "nothing of the queue is left");
        assert_eq!(status_of(&build).attempts, Some(1));
    }
    assert_eq!(
        record.most_builds(Some(&tenant.namespace)),
        2,
        "both slots were used, and no third"
    );
    assert!(record.most_pods(Some(&tenant.namespace)) <= 2);
    assert_eq!(record.started().len(), names.len(), "one pod for each");
    let waited = names
        .iter()
        .filter(|name| !record.queues_of(&tenant.namespace, name).is_empty());
    assert!(waited.count() >= 3);
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_build_in_the_queue_says_how_it_stands_and_can_be_cancelled_there() {
    let tenant = tenant("stands", 1).await;
    let record = Record::of(&tenant.client(), &[&tenant.namespace]);
    tenant.start("runs", json!({"source": slow(600)})).await;
    tenant.reaches("runs", "Building").await;
    // In the order of their names, too: it decides between builds of the same second.
    for name in ["waits-1", "waits-2", "waits-3"] {
        tenant.start(name, json!({"source": quick(), "timeout": "10m"})).await;
        let build = until("it is in the queue", 30, async || {
            Some(tenant.build(name).await).filter(|build| phase_of(build) == "Queued")
        })
        .await;
        assert_eq!(reason_of(&build), "TenantLimit", "{}", told(&build));
        assert_eq!(
            conditions_of(&build),
            [("Ready", "Unknown"), ("Reconciling", "True"), ("Succeeded", "Unknown")]
        );
        assert_eq!(status_of(&build).start_time, None);
    }
    let queue = status_of(&tenant.build("waits-3").await).queue.clone().unwrap();
    assert_eq!((queue.limit, queue.position), (QueueLimit::TenantLimit, 3));
    tenant.cancel("waits-1").await;
    let cancelled = tenant.settled("waits-1").await;
    assert_eq!(phase_of(&cancelled), "Cancelled");
    assert!(status_of(&cancelled).pod_name.is_none() && status_of(&cancelled).queue.is_none());
    tenant.cancel("runs").await;
    tenant.has_succeeded("waits-3").await;
    let snapshots = record.queues_of(&tenant.namespace, "waits-3");
    let halves = snapshots
        .windows(2)
        .all(|pair| pair[1].position * 2 <= pair[0].position || pair[1].limit != pair[0].limit);
    assert!(halves, "written only when it is news: {snapshots:?}");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn the_more_important_of_a_tenants_builds_goes_first() {
    let tenant = tenant("priority", 1).await;
    let record = Record::of(&tenant.client(), &[&tenant.namespace]);
    tenant.start("first", json!({"source": slow(600)})).await;
    tenant.reaches("first", "Building").await;
    tenant.start("low", json!({"source": quick(), "priority": -5})).await;
    tenant.start("plain", json!({"source": quick()})).await;
    tenant.start("high", json!({"source": quick(), "priority": 5})).await;
    for name in ["low", "plain", "high"] {
        tenant.reaches(name, "Queued").await;
    }
    tenant.cancel("first").await;
    tenant.has_succeeded("low").await;
    let order: Vec<String> = record.started().into_iter().map(|(_, build)| build).collect();
    assert_eq!(order, ["first", "high", "plain", "low"]);
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_build_that_does_not_fit_the_quota_waits_and_lets_a_smaller_one_pass() {
    let quota = json!({"quota": {"cpu": "1", "memory": "4Gi", "ephemeralStorage": "40Gi", "pods": 10}});
    let tenant = TestTenant::create_with("fits", quota).await;
    let asks = |cpu: &str| json!({"requests": {"cpu": cpu}});
    tenant
        .start("runs", json!({"source": slow(600), "resources": asks("600m")}))
        .await;
    tenant.reaches("runs", "Building").await;
    tenant
        .start("large", json!({"source": quick(), "resources": asks("600m")}))
        .await;
    let large = until("it is in the queue", 30, async || {
        Some(tenant.build("large").await).filter(|build| phase_of(build) == "Queued")
    })
    .await;
    assert_eq!(reason_of(&large), "QuotaLimit", "{}", told(&large));
    tenant
        .start("small", json!({"source": quick(), "resources": asks("200m")}))
        .await;
    tenant.reaches("small", "Preparing").await;
    assert_eq!(phase_of(&tenant.build("large").await), "Queued");
    tenant.cancel("runs").await;
    tenant.has_succeeded("large").await;
    tenant.has_succeeded("small").await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_suspended_tenants_builds_leave_the_queue_and_come_back() {
    let tenant = tenant("suspends", 1).await;
    tenant.start("runs", json!({"source": slow(600)})).await;
    tenant.reaches("runs", "Building").await;
    tenant.start("waits", json!({"source": quick()})).await;
    tenant.reaches("waits", "Queued").await;
    tenant.patch(json!({"spec": {"suspended": true}})).await;
    until("it waits for the tenant", 30, async || {
        let build = tenant.build("waits").await;
        (reason_of(&build) == "TenantSuspended" && status_of(&build).queue.is_none()).then_some(())
    })
    .await;
    tenant.cancel("runs").await;
    tenant.settled("runs").await;
    assert_eq!(phase_of(&tenant.build("waits").await), "Queued");
    tenant.patch(json!({"spec": {"suspended": false}})).await;
    tenant.has_succeeded("waits").await;
}
