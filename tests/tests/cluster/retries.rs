//! Failures that may pass by themselves: tried again, said so meanwhile, and final when the budget is spent.

use imagefactory_crds::Build;
use imagefactory_crds::build::FailureClass;
use imagefactory_tests::building::{conditions_of, failure_of, status_of, told};
use imagefactory_tests::dockerfile::{BEGUN, git, slow, with_packages};
use imagefactory_tests::wait::until;
use imagefactory_tests::{TestTenant, phase_of, reason_of};
use serde_json::{Value, json};

/// Starts a build and deletes its pod while its step runs; gives the build as it waits for its next attempt.
async fn interrupted(tenant: &TestTenant, name: &str, spec: Value) -> Build {
    tenant.start(name, spec).await;
    tenant.reaches(name, "Building").await;
    let pod = tenant.pod_of(name).await;
    until("the step has begun", 90, async || {
        tenant.log(&pod, "build").await.contains(BEGUN).then_some(())
    })
    .await;
    let delete = ["delete", "pod", &pod, "-n", &tenant.namespace, "--wait=false"];
    let _ = tenant.cluster.kubectl().run(&delete).expect_ok();
    until("it waits for its next attempt", 90, async || {
        let build = tenant.build(name).await;
        status_of(&build).next_attempt_at.is_some().then_some(build)
    })
    .await
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_build_whose_pod_somebody_deletes_says_so_and_is_built_again() {
    let tenant = TestTenant::create("again").await;
    let build = interrupted(&tenant, "again", json!({"source": slow(30)})).await;
    assert_eq!(reason_of(&build), "Infrastructure", "{}", told(&build));
    assert_eq!(phase_of(&build), "Building", "the phase stays");
    assert_eq!(
        conditions_of(&build),
        [("Ready", "False"), ("Reconciling", "True"), ("Succeeded", "Unknown")]
    );
    assert_eq!(failure_of(&build).reason, "PodDeleted");
    let build = tenant.has_succeeded("again").await;
    let status = status_of(&build);
    assert_eq!(
        (status.attempts, status.pod_name.as_deref()),
        (Some(2), Some("again-build-2"))
    );
    assert_eq!((status.retries.len(), status.retries[0].count), (1, 1));
    assert!(status.failure.is_none() && status.next_attempt_at.is_none());
    assert!(status.attempt_time.is_some() && status.used_seconds.is_some());
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_build_that_waits_for_its_next_attempt_can_be_cancelled() {
    let tenant = TestTenant::create("between").await;
    let _ = interrupted(&tenant, "between", json!({"source": slow(600)})).await;
    tenant.cancel("between").await;
    let build = tenant.settled("between").await;
    assert_eq!(phase_of(&build), "Cancelled", "{}", told(&build));
    tenant.is_not_published("between").await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_server_that_does_not_answer_is_asked_as_often_as_the_build_allows_and_a_missing_revision_never_again() {
    let tenant = TestTenant::create("asked").await;
    let nowhere = git("https://git.nowhere.invalid/team/app.git", None);
    tenant.start("nowhere", json!({"source": nowhere, "retries": 1})).await;
    let build = tenant.settled("nowhere").await;
    assert_eq!(
        (phase_of(&build), reason_of(&build)),
        ("Failed", "Source"),
        "{}",
        told(&build)
    );
    assert_eq!(failure_of(&build).reason, "GitUnreachable");
    assert_eq!(status_of(&build).attempts, Some(2));

    let never = tenant
        .fails(
            "never",
            FailureClass::Pull,
            json!({"source": imagefactory_tests::dockerfile::inline("FROM debian:no-such-tag\n")}),
        )
        .await;
    assert_eq!(never.reason, "BaseImageNotFound");
    assert_eq!(status_of(&tenant.build("never").await).attempts, Some(1));
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_scan_that_somebody_ends_is_repeated_and_nothing_else_is() {
    let tenant = TestTenant::create("rescan").await;
    // Its scan takes long enough to be ended.
    tenant.start("rescan", json!({"source": with_packages()})).await;
    let build = tenant.reaches("rescan", "Scanning").await;
    let staged = status_of(&build).staged.clone().unwrap();
    let uid = build.metadata.uid.clone().unwrap();
    let work = tenant.cluster.installation.work_namespace().to_owned();
    let selector = format!("imagefactory.dev/build-uid={uid},imagefactory.dev/stage=scan");
    until("the scan's pod is ended", 60, async || {
        let delete = [
            "delete",
            "pod",
            "-n",
            &work,
            "-l",
            &selector,
            "--grace-period=0",
            "--force",
        ];
        let answer = tenant.cluster.kubectl().run(&delete);
        (answer.ok && answer.stdout.contains("deleted")).then_some(())
    })
    .await;
    let build = tenant.has_succeeded("rescan").await;
    let status = status_of(&build);
    assert_eq!(
        (status.attempts, status.stage_attempts.unwrap().scan),
        (Some(1), Some(2)),
        "{}",
        told(&build)
    );
    assert_eq!(status.staged.as_ref().unwrap(), &staged, "the staged digest stands");
    assert_eq!(status.output.as_ref().unwrap().digest, staged.digest);
}
