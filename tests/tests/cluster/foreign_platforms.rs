//! Images of other platforms than the node's: an index goes as a whole, and steps run where the node can run them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use imagefactory_crds::build::{FailureClass, Judgement};
use imagefactory_tests::TestTenant;
use imagefactory_tests::building::{output_of, reason_of, status_of, told};
use imagefactory_tests::dockerfile::{SMALL, files, inline};
use imagefactory_tests::emulation::Emulation;
use imagefactory_tests::image::{content_of, crane};
use serde_json::{Value, json};

use super::buildkit::platforms::{AARCH64, program};

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn an_index_of_two_platforms_is_scanned_and_published_whole() {
    let tenant = TestTenant::create("index").await;
    let dockerfile = "FROM scratch\nCOPY message.txt /message.txt\n";
    let source = files(&[("Dockerfile", dockerfile), ("message.txt", "hello")]);
    let spec = json!({"source": source, "method": "buildx", "platforms": ["linux/amd64", "linux/arm64"]});
    let build = tenant.succeeds("two", spec).await;
    let (status, output) = (status_of(&build), output_of(&build));
    let staged = status.staged.as_ref().unwrap();
    let names: Vec<&str> = staged.platforms.iter().map(|image| image.platform.as_str()).collect();
    assert_eq!(names, ["linux/amd64", "linux/arm64"]);
    let scanned = &status.scan.as_ref().unwrap().platforms;
    assert_eq!(scanned.len(), 2);
    let (repository, _) = output.image.rsplit_once(':').unwrap();
    let registry = tenant.cluster.registry();
    for image in scanned {
        let referrers = registry.referrers(repository, &image.digest.0).await;
        assert_eq!(
            referrers.len(),
            2,
            "SBOM and report of {}: {referrers:?}",
            image.platform
        );
    }
    assert!(registry.referrers(repository, &output.digest.0).await.len() >= 4);
    for platform in ["linux/amd64", "linux/arm64"] {
        let content = content_of(&tenant.cluster.environment, &output.image, platform, "message.txt");
        assert_eq!(content, "hello");
    }
}

/// What Python's packages are known by. The scanner knows a CRITICAL finding of this one (hack/cluster/advisories.yaml).
const VULNERABLE: &str = "Metadata-Version: 2.1\nName: PyYAML\nVersion: 5.3\n";

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn an_index_of_which_one_platform_fails_its_policy_is_published_in_no_part() {
    let tenant = TestTenant::create("index-fails").await;
    let dockerfile = format!(
        "FROM --platform=$BUILDPLATFORM {SMALL} AS made\nARG TARGETARCH\nCOPY METADATA /METADATA\n\
         RUN mkdir -p /out/PyYAML-5.3.dist-info && echo $TARGETARCH > /out/architecture && \
         if [ $TARGETARCH = arm64 ]; then cp /METADATA /out/PyYAML-5.3.dist-info; fi\n\
         FROM scratch\nCOPY --from=made /out /\n"
    );
    let source = files(&[("Dockerfile", &dockerfile), ("METADATA", VULNERABLE)]);
    let spec = json!({"source": source, "method": "buildx", "platforms": ["linux/amd64", "linux/arm64"]});
    tenant.start("refused", spec).await;
    let build = tenant.settled("refused").await;
    assert_eq!(reason_of(&build), "PolicyFailed", "{}", told(&build));
    let status = status_of(&build);
    let verdict = status.verdict.as_ref().unwrap();
    assert_eq!((verdict.result, verdict.publishable), (Judgement::Fail, false));
    let scanned = &status.scan.as_ref().unwrap().platforms;
    let critical: Vec<_> = (scanned.iter())
        .map(|image| (image.platform.as_str(), image.vulnerabilities.critical))
        .collect();
    assert_eq!(critical, [("linux/amd64", 0), ("linux/arm64", 1)]);

    let registry = tenant.cluster.registry();
    let (repository, _) = tenant.default_output("refused");
    assert!(status.output.is_none());
    assert!(
        !registry.has_repository(&repository).await,
        "neither the good image nor what refers to it, under any name"
    );
    let jobs = tenant.jobs_of(&build).await.into_iter();
    let jobs: Vec<_> = jobs.filter_map(|job| job.metadata.name).collect();
    assert!(jobs.iter().all(|name| name.starts_with("scan-")), "{jobs:?}");
    let staged = &status.staged.as_ref().unwrap().repository;
    for image in scanned {
        let evidence = registry.referrers(staged, &image.digest.0).await;
        assert_eq!(evidence.len(), 2, "of {}: {evidence:?}", image.platform);
    }
}

/// A Build for one platform, whose step is a program of that platform.
fn foreign(platform: &str, program: &[u8]) -> Value {
    let program = BASE64_STANDARD.encode(program);
    let source = inline(&format!(
        "FROM --platform=$BUILDPLATFORM {SMALL} AS made\n\
         RUN echo {program} | base64 -d > /program && chmod 755 /program\n\
         FROM scratch\nCOPY --from=made /program /program\nRUN [\"/program\"]\n"
    ));
    json!({"method": "buildx", "source": source, "platforms": [platform]})
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_step_for_a_platform_that_the_node_can_t_run_is_told_clearly() {
    let tenant = TestTenant::create("foreign").await;
    // One that nobody has emulation for: it is no program at all.
    let failure = tenant
        .fails("foreign", FailureClass::Build, foreign("linux/s390x", b"x"))
        .await;
    assert_eq!(failure.reason, "PlatformNotEmulated", "{failure:?}");
    assert!(failure.message.contains("has no emulation"), "{failure:?}");
    assert!(
        failure.next.contains("cross-compile on the build platform"),
        "{failure:?}"
    );
    let log = failure.log.unwrap_or_default();
    assert!(log.contains("no emulation for linux/s390x on this node"), "{log}");
    tenant.is_not_published("foreign").await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_step_for_another_platform_runs_where_the_node_has_emulation_for_it() {
    let tenant = TestTenant::create("emulated").await;
    let emulation = Emulation::of_arm64(&tenant.cluster.environment);
    let build = tenant
        .succeeds("emulated", foreign("linux/arm64", &program(AARCH64)))
        .await;
    drop(emulation);
    let image = &output_of(&build).image;
    let config = crane(
        &tenant.cluster.environment,
        &["config", "--platform", "linux/arm64", image],
    );
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["architecture"], "arm64");
    let log = tenant.log(&tenant.pod_of("emulated").await, "build").await;
    assert!(!log.contains("no emulation for"), "{log}");
}
