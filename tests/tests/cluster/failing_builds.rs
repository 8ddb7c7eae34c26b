//! Builds that fail by what they hold: each names the class, the container, the exit code, the end of the log and what
//! to do next.

use imagefactory_crds::build::FailureClass;
use imagefactory_tests::TestTenant;
use imagefactory_tests::dockerfile::{BASE, git, inline};
use imagefactory_tests::git::GitRepository;
use serde_json::json;

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_step_that_fails_is_told_with_its_exit_code_and_the_end_of_the_log() {
    let tenant = TestTenant::create("step").await;
    let dockerfile = format!("FROM {BASE}\nRUN echo this is why it failed >&2 && exit 7\n");
    let failure = tenant
        .fails("fails", FailureClass::Build, json!({"source": inline(&dockerfile)}))
        .await;
    assert_eq!(failure.container.as_deref(), Some("build"));
    assert_eq!(failure.exit_code, Some(7), "{failure:?}");
    let log = failure.log.expect("the end of the log is there");
    assert!(
        log.contains("this is why it failed") && log.contains("exit status 7"),
        "{log}"
    );
    tenant.is_not_published("fails").await;
    let described = tenant
        .cluster
        .kubectl()
        .run(&["describe", "build", "fails", "-n", &tenant.namespace])
        .expect_ok();
    assert!(
        described.contains("Warning") && described.contains("this is why it failed"),
        "{described}"
    );
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_source_that_is_not_there_is_told_apart() {
    let tenant = TestTenant::create("source").await;
    let environment = &tenant.cluster.environment;
    let repository = GitRepository::create(environment, "");
    repository.commit(&[("README", "no Dockerfile here")]);
    repository.push();
    let base = environment.get("GIT_URL");
    let there = repository.url(base);
    let nowhere = "0123456789012345678901234567890123456789";
    let mut outside = git(&there, None);
    outside["contextDir"] = json!("no/such/folder");
    let cases = [
        ("repository", git(&format!("{base}/no-such-repository"), None)),
        ("branch", git(&there, Some("no-such-branch"))),
        ("commit", git(&there, Some(nowhere))),
        ("host", git("http://no-such-host.invalid/repository", None)),
        ("dockerfile", git(&there, Some("main"))),
        ("folder", outside),
        ("config-map", json!({"configMap": {"name": "no-such-config-map"}})),
    ];
    for (name, source) in &cases {
        tenant.start(name, json!({"source": source})).await;
    }
    for (name, _) in cases {
        let build = tenant.settled(name).await;
        let failure = imagefactory_tests::failure_of(&build);
        assert_eq!(
            (failure.class, failure.container.as_deref()),
            (FailureClass::Source, Some("prepare")),
            "{name}"
        );
        assert_ne!(failure.reason, "StepCrashed", "{name}: {failure:?}");
        assert!(!failure.next.is_empty(), "{name}");
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_base_image_that_can_not_be_pulled_is_of_class_pull() {
    let registry = imagefactory_tests::environment::Environment::load()
        .get("REGISTRY")
        .to_owned();
    // The platform's own prefix is closed but for what is named within it.
    let others = format!("{registry}/output/of-others");
    let registries = json!([registry, others, "no-such-registry.invalid"]);
    let tenant = TestTenant::create_with("base", json!({"registries": registries})).await;
    let cases = [
        ("tag", format!("FROM {BASE}-no-such-tag\n")),
        ("image", "FROM no-such-image\n".to_owned()),
        ("digest", format!("FROM debian@sha256:{}\n", "0".repeat(64))),
        ("registry", "FROM no-such-registry.invalid/image:1\n".to_owned()),
        ("private", format!("FROM {others}/app:1\n")),
        (
            "copied-from",
            format!("FROM {BASE}\nCOPY --from=no-such-image /etc/passwd /\n"),
        ),
    ];
    for (name, dockerfile) in &cases {
        tenant.start(name, json!({"source": inline(dockerfile)})).await;
    }
    for (name, _) in cases {
        let build = tenant.settled(name).await;
        let failure = imagefactory_tests::failure_of(&build);
        assert_eq!(
            (failure.class, failure.container.as_deref()),
            (FailureClass::Pull, Some("prepare")),
            "{name}: {failure:?}"
        );
    }
    let closed = format!("FROM {registry}/output/of-nobody/app:1\n");
    tenant.start("closed", json!({"source": inline(&closed)})).await;
    let failure = imagefactory_tests::failure_of(&tenant.settled("closed").await);
    assert_eq!(failure.reason, "RegistryNotAllowed", "{failure:?}");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_dockerfile_that_is_none_ends_before_tenant_code_runs() {
    let tenant = TestTenant::create("malformed").await;
    let cases = [
        ("empty", "\n"),
        ("no-from", "RUN echo hello\n"),
        ("unknown-word", "FROM debian:bookworm-slim\nFRON x\n"),
        ("unset-base", "ARG BASE\nFROM ${BASE}\n"),
    ];
    for (name, dockerfile) in cases {
        tenant.start(name, json!({"source": inline(dockerfile)})).await;
    }
    for (name, _) in cases {
        let build = tenant.settled(name).await;
        let failure = imagefactory_tests::failure_of(&build);
        assert!(
            matches!(failure.class, FailureClass::Source | FailureClass::Build),
            "{name}: {failure:?}"
        );
        assert_ne!(failure.reason, "StepCrashed", "{name}: {failure:?}");
        tenant.is_not_published(name).await;
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_build_over_its_memory_limit_is_told_so() {
    let tenant = TestTenant::create("memory").await;
    let spec = json!({
        "source": inline(&format!("FROM {BASE}\nRUN head -c 1500m /dev/zero | tail > /dev/null\n")),
        "resources": {"limits": {"memory": "400Mi"}},
    });
    let failure = tenant.fails("greedy", FailureClass::OutOfMemory, spec).await;
    assert_eq!(
        (failure.reason.as_str(), failure.container.as_deref()),
        ("OOMKilled", Some("build"))
    );
    assert!(failure.next.contains("memory"), "{}", failure.next);
}
