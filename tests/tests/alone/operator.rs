//! The operator killed, handed over, restarted: one pod, one image, the right end, and no request too many.
//!
//! Runs alone: it ends the operator's pods.

use imagefactory_crds::Build;
use imagefactory_tests::audit::{AuditEvent, AuditLog};
use imagefactory_tests::building::{output_of, status_of};
use imagefactory_tests::dockerfile::{quick, slow};
use imagefactory_tests::wait::until;
use imagefactory_tests::{Cluster, TestTenant, phase_of};
use serde_json::json;

/// What the operator wrote about a build: pods, jobs, status; Events apart.
fn written(audit: &AuditLog, cluster: &Cluster, build: &Build) -> Vec<AuditEvent> {
    let operator = cluster.installation.operator_user();
    let name = build.metadata.name.clone().unwrap_or_default();
    let uid = build.metadata.uid.clone().unwrap_or_default();
    let namespace = build.metadata.namespace.clone().unwrap_or_default();
    let is_about = |event: &AuditEvent| {
        event.name().contains(&uid)
            || (event.namespace() == namespace && (event.name() == name || event.name() == format!("{name}-build-1")))
    };
    let events = audit.events().into_iter();
    events
        .filter(|event| event.user() == operator && event.mutates() && event.resource() != "events")
        .filter(is_about)
        .collect()
}

/// Expects that the pod and each job were made once, and that the image is the one that was built.
async fn was_done_once(tenant: &TestTenant, audit: &AuditLog, name: &str) -> Build {
    let build = tenant.has_succeeded(name).await;
    let made: Vec<_> = written(audit, &tenant.cluster, &build)
        .iter()
        .filter(|event| event.verb == "create" && event.succeeded())
        .map(AuditEvent::told)
        .collect();
    assert_eq!(made.len(), 3, "a pod, a scan, a publish: {made:#?}");
    let pods: Vec<_> = tenant
        .pods()
        .await
        .into_iter()
        .filter_map(|pod| pod.metadata.name)
        .collect();
    assert_eq!(
        pods.iter()
            .filter(|pod| pod.starts_with(&format!("{name}-build-")))
            .count(),
        1,
        "{pods:?}"
    );
    assert_eq!(tenant.jobs_of(&build).await.len(), 2);
    assert_eq!(status_of(&build).attempts, Some(1));
    let (repository, tag) = tenant.default_output(name);
    let found = tenant
        .cluster
        .registry()
        .manifest(&repository, &tag)
        .await
        .expect("the tag is set");
    assert_eq!(found.digest, output_of(&build).digest.0);
    build
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_leader_killed_while_a_build_runs_leaves_one_pod_one_image_and_the_right_end() {
    let _alone = crate::ALONE.lock().await;
    let tenant = TestTenant::create("killed").await;
    let audit = tenant.cluster.audit();
    tenant.start("building", json!({"source": slow(25)})).await;
    tenant.reaches("building", "Building").await;
    tenant.cluster.kill_operator_pod(&tenant.cluster.leader().await);
    was_done_once(&tenant, &audit, "building").await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn every_operator_killed_again_and_again_leaves_one_pod_one_image_and_the_right_end() {
    let _alone = crate::ALONE.lock().await;
    let tenant = TestTenant::create("killed-all").await;
    let audit = tenant.cluster.audit();
    let names = ["first", "second", "third"];
    for name in names {
        tenant.start(name, json!({"source": slow(5)})).await;
    }
    for _ in 0..4 {
        for pod in tenant.cluster.operator_pods().await {
            tenant.cluster.kill_operator_pod(&pod.metadata.name.unwrap_or_default());
        }
        tokio::time::sleep(std::time::Duration::from_secs(9)).await;
    }
    for name in names {
        was_done_once(&tenant, &audit, name).await;
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn another_leads_soon_after_the_leader_is_gone() {
    let _alone = crate::ALONE.lock().await;
    let tenant = TestTenant::create("leads").await;
    let cluster = &tenant.cluster;
    cluster.until_rolled_out(&cluster.installation.namespace, &cluster.installation.operator);
    let before = cluster.leader().await;
    cluster.kill_operator_pod(&before);
    let killed = std::time::Instant::now();
    tenant.start("after", json!({"source": quick()})).await;
    until("somebody else leads", 60, async || {
        Some(cluster.leader().await).filter(|leader| *leader != before)
    })
    .await;
    until("the build was seen", 60, async || {
        Some(tenant.build("after").await).filter(|build| !phase_of(build).is_empty())
    })
    .await;
    assert!(killed.elapsed().as_secs() < 40, "it took {:?}", killed.elapsed());
    tenant.has_succeeded("after").await;
    cluster.until_rolled_out(&cluster.installation.namespace, &cluster.installation.operator);
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_good_build_costs_at_most_eight_writes() {
    let _alone = crate::ALONE.lock().await;
    let tenant = TestTenant::create("writes").await;
    let audit = tenant.cluster.audit();
    let build = tenant.succeeds("frugal", json!({"source": slow(5)})).await;
    let writes: Vec<_> = written(&audit, &tenant.cluster, &build)
        .iter()
        .map(AuditEvent::told)
        .collect();
    assert!(writes.len() <= 8 && writes.len() >= 4, "{writes:#?}");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn after_a_restart_what_is_settled_costs_no_write() {
    let _alone = crate::ALONE.lock().await;
    let tenant = TestTenant::create("restart").await;
    tenant.succeeds("good", json!({"source": quick()})).await;
    tenant
        .start(
            "bad",
            json!({"source": imagefactory_tests::dockerfile::inline("RUN no base\n")}),
        )
        .await;
    tenant.settled("bad").await;
    // Counts are brought up to date within ten seconds.
    tokio::time::sleep(std::time::Duration::from_secs(15)).await;
    let cluster = &tenant.cluster;
    let audit = cluster.audit();
    cluster.restart(&cluster.installation.namespace, &cluster.installation.operator);
    cluster.leader().await;
    tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    let operator = cluster.installation.operator_user();
    let events = audit.events();
    assert!(
        events
            .iter()
            .any(|event| event.user() == operator && event.verb == "watch"),
        "the operator was at work"
    );
    // Other tests' tenants may still be on their way out; this one's has nothing left to be done.
    let writes: Vec<_> = events
        .iter()
        .filter(|event| event.user() == operator && event.mutates() && event.resource() != "leases")
        .filter(|event| event.namespace() == tenant.namespace || event.name() == tenant.name)
        .map(AuditEvent::told)
        .collect();
    assert!(writes.is_empty(), "{writes:#?}");
}
