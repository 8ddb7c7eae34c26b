//! Logs outlive their pods: of every container, however the build ended, and they cost a good build no write.

use imagefactory_crds::Build;
use imagefactory_crds::build::FailureClass;
use imagefactory_tests::TestTenant;
use imagefactory_tests::building::{phase_of, status_of, told};
use imagefactory_tests::dockerfile::{BASE, BEGUN, inline, slow};
use imagefactory_tests::wait::until;
use serde_json::json;

/// `attempt/stage-container` of every log that status names, in order.
fn names(build: &Build) -> Vec<String> {
    let logs = status_of(build).logs.iter().flat_map(|logs| &logs.containers);
    logs.map(|log| format!("{}/{}-{}", log.attempt, log.stage, log.container))
        .collect()
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_good_build_says_where_its_logs_are_in_the_write_that_says_its_end() {
    let tenant = TestTenant::create("logs").await;
    let said = "RUN echo said $((40 + 2)) aloud\n";
    let build = tenant
        .succeeds("kept", json!({"source": inline(&format!("FROM {BASE}\n{said}"))}))
        .await;
    let expected = [
        "1/build-prepare",
        "1/build-build",
        "1/build-push",
        "1/scan-install",
        "1/scan-scan",
        "1/scan-evaluate",
        "1/publish-publish",
    ];
    assert_eq!(names(&build), expected, "{}", told(&build));
    let location = &status_of(&build).logs.as_ref().unwrap().location;
    let uid = build.metadata.uid.as_deref().unwrap();
    assert!(location.ends_with(&format!("/{}/app/{uid}", tenant.name)), "{location}");
    let pod = tenant.pod_of("kept").await;
    let namespace = tenant.namespace.as_str();
    let _ = tenant
        .cluster
        .kubectl()
        .run(&["delete", "pod", &pod, "-n", namespace])
        .expect_ok();
    let text = tenant.kept_logs("kept");
    assert!(text.contains("said 42 aloud"), "{text}");
    for name in expected {
        assert!(text.contains(&format!("==> {name}.log ")), "{name} in {text}");
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn the_logs_of_a_build_that_failed_or_was_cancelled_are_kept() {
    let tenant = TestTenant::create("badlogs").await;
    let step = "RUN echo it broke at $((40 + 2)) && exit 7\n";
    tenant
        .fails(
            "failed",
            FailureClass::Build,
            json!({"source": inline(&format!("FROM {BASE}\n{step}"))}),
        )
        .await;
    tenant.start("cancelled", json!({"source": slow(600)})).await;
    tenant.reaches("cancelled", "Building").await;
    let pod = tenant.pod_of("cancelled").await;
    until("the step has begun", 90, async || {
        tenant.log(&pod, "build").await.contains(BEGUN).then_some(())
    })
    .await;
    tenant.cancel("cancelled").await;
    assert_eq!(phase_of(&tenant.settled("cancelled").await), "Cancelled");
    for (build, said) in [("failed", "it broke at 42"), ("cancelled", BEGUN)] {
        // The kubelet may tell of a container's end after that of its pod.
        until("the log of its step stands in status", 60, async || {
            names(&tenant.build(build).await)
                .contains(&"1/build-build".to_owned())
                .then_some(())
        })
        .await;
        assert!(tenant.kept_logs(build).contains(said), "{build}");
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn members_read_live_logs_and_nobody_in_a_tenant_reaches_the_store() {
    let tenant = TestTenant::create("liverights").await;
    let rights = |verb: &str, resource: &str, namespace: &str| {
        let owner = imagefactory_tests::tenant::owner_of(&tenant.name);
        let command = ["auth", "can-i", verb, resource, "-n", namespace, "--as", &owner];
        tenant.cluster.kubectl().run(&command).ok
    };
    assert!(rights("get", "pods/log", &tenant.namespace));
    let installation = &tenant.cluster.installation;
    assert!(!rights("create", "pods/exec", &installation.namespace));
    assert!(!rights("get", "pods/log", installation.work_namespace()));
}
