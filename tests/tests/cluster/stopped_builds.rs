//! Builds that are ended from outside: by their user, by the clock, by losing the right to build. Logs stay.

use imagefactory_crds::Build;
use imagefactory_crds::build::FailureClass;
use imagefactory_tests::building::{conditions_of, failure_of, status_of, told};
use imagefactory_tests::dockerfile::{BEGUN, DONE, slow};
use imagefactory_tests::kept::logs_of;
use imagefactory_tests::wait::until;
use imagefactory_tests::{TestTenant, phase_of, reason_of};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

/// Starts a build and waits until its step runs.
async fn begun(tenant: &TestTenant, name: &str, seconds: u32) {
    tenant.start(name, json!({"source": slow(seconds)})).await;
    tenant.reaches(name, "Building").await;
    let pod = tenant.pod_of(name).await;
    until("the step has begun", 90, async || {
        tenant.log(&pod, "build").await.contains(BEGUN).then_some(())
    })
    .await;
}

/// Expects that the pod has ended, that it is still there, and that its log can be read.
async fn has_ended_with_its_log(tenant: &TestTenant, name: &str) {
    let pod = tenant.pod_of(name).await;
    until("the pod has ended", 60, async || {
        let found = tenant.api::<Pod>().get(&pod).await.expect("the pod stays").status?;
        (found.phase.as_deref() == Some("Failed")).then_some(())
    })
    .await;
    let log = tenant.log(&pod, "build").await;
    assert!(log.contains(BEGUN) && !log.contains(DONE), "{log}");
}

async fn nothing_came_of_it(tenant: &TestTenant, build: &Build) {
    let name = build.metadata.name.clone().unwrap_or_default();
    assert_eq!(
        conditions_of(build),
        [("Ready", "False"), ("Stalled", "True"), ("Succeeded", "False")]
    );
    assert!(status_of(build).staged.is_none() && status_of(build).output.is_none());
    assert!(tenant.jobs_of(build).await.is_empty());
    tenant.is_not_published(&name).await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_build_that_is_cancelled_ends_its_pod_and_keeps_its_log() {
    let tenant = TestTenant::create("cancel").await;
    begun(&tenant, "cancelled", 600).await;
    tenant.cancel("cancelled").await;
    has_ended_with_its_log(&tenant, "cancelled").await;
    let build = tenant.settled("cancelled").await;
    assert_eq!(
        (phase_of(&build), reason_of(&build)),
        ("Cancelled", "Cancelled"),
        "{}",
        told(&build)
    );
    nothing_came_of_it(&tenant, &build).await;
    let refused = tenant.cluster.kubectl().run(&[
        "patch",
        "build",
        "cancelled",
        "-n",
        &tenant.namespace,
        "--type=merge",
        "-p",
        r#"{"spec":{"cancelled":false}}"#,
    ]);
    assert!(
        !refused.ok && refused.stderr.contains("a cancelled build stays cancelled"),
        "{}",
        refused.stderr
    );
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_build_that_is_longer_than_its_timeout_ends() {
    let tenant = TestTenant::create("timeout").await;
    tenant
        .start("late", json!({"source": slow(600), "timeout": "90s"}))
        .await;
    let build = tenant.settled("late").await;
    assert_eq!(
        (phase_of(&build), reason_of(&build)),
        ("TimedOut", "TimedOut"),
        "{}",
        told(&build)
    );
    assert_eq!(failure_of(&build).class, FailureClass::Timeout);
    assert!(
        failure_of(&build).next.contains("spec.timeout"),
        "{:?}",
        failure_of(&build)
    );
    let status = status_of(&build);
    let (start, end) = (
        status.start_time.clone().unwrap().0,
        status.completion_time.clone().unwrap().0,
    );
    let took = end.duration_since(start).as_secs();
    assert!(took >= 89, "it ended after {took} s");
    has_ended_with_its_log(&tenant, "late").await;
    nothing_came_of_it(&tenant, &build).await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn running_work_is_stopped_when_the_capability_is_withdrawn() {
    let tenant = TestTenant::create("withdrawn").await;
    begun(&tenant, "running", 600).await;
    let off = json!({"spec": {"capabilities": {"build": false, "changeReason": "withdrawn by a test"}}});
    tenant.patch(off).await;
    has_ended_with_its_log(&tenant, "running").await;
    let build = tenant.settled("running").await;
    assert_eq!(
        (phase_of(&build), reason_of(&build)),
        ("Failed", "tenant_capability_not_entitled"),
        "{}",
        told(&build)
    );
    nothing_came_of_it(&tenant, &build).await;
    let kept = until("its log is kept", 60, async || {
        let build = tenant.build("running").await;
        (logs_of(&build) > 0).then(|| tenant.kept_logs("running"))
    })
    .await;
    assert!(kept.contains(BEGUN) && !kept.contains(DONE), "{kept}");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn running_work_of_a_suspended_tenant_and_of_an_archived_project_finishes() {
    let tenant = TestTenant::create("finishes").await;
    begun(&tenant, "running", 20).await;
    tenant.patch(json!({"spec": {"suspended": true}})).await;
    let archive = [
        "patch",
        "project",
        "app",
        "-n",
        &tenant.namespace,
        "--type=merge",
        "-p",
        r#"{"spec":{"archived":true}}"#,
    ];
    let _ = tenant.cluster.kubectl().run(&archive).expect_ok();
    tenant.has_succeeded("running").await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_pod_that_somebody_deletes_fails_a_build_that_wants_no_retry() {
    let tenant = TestTenant::create("deleted").await;
    tenant
        .start("deleted", json!({"source": slow(600), "retries": 0}))
        .await;
    tenant.reaches("deleted", "Building").await;
    let pod = tenant.pod_of("deleted").await;
    let _ = tenant
        .cluster
        .kubectl()
        .run(&["delete", "pod", &pod, "-n", &tenant.namespace, "--wait=false"])
        .expect_ok();
    let build = tenant.settled("deleted").await;
    assert_eq!(
        (phase_of(&build), reason_of(&build)),
        ("Failed", "Infrastructure"),
        "{}",
        told(&build)
    );
    assert_eq!(status_of(&build).attempts, Some(1));
    tenant.is_not_published("deleted").await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_build_that_is_deleted_takes_its_pod_with_it_and_its_name_is_free_again() {
    let tenant = TestTenant::create("again").await;
    begun(&tenant, "again", 600).await;
    let first = tenant.build("again").await;
    let _ = tenant
        .cluster
        .kubectl()
        .run(&["delete", "build", "again", "-n", &tenant.namespace])
        .expect_ok();
    tenant
        .start("again", json!({"source": imagefactory_tests::dockerfile::quick()}))
        .await;
    let second = tenant.has_succeeded("again").await;
    assert_ne!(first.metadata.uid, second.metadata.uid);
    let pods = tenant.pods().await;
    assert_eq!(pods.len(), 1, "only the second build's pod is there");
    let owner = pods[0].metadata.owner_references.clone().unwrap_or_default();
    assert_eq!(owner.first().map(|owner| owner.uid.clone()), second.metadata.uid);
}
