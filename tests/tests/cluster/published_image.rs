//! What stands at the end of a good Build: one digest from end to end, its evidence, and an image that runs.

use imagefactory_crds::Build;
use imagefactory_tests::TestTenant;
use imagefactory_tests::building::{conditions_of, output_of, status_of};
use imagefactory_tests::cluster::unique;
use imagefactory_tests::dockerfile::{BASE, inline};
use imagefactory_tests::tenant::{ClusterObject, MANAGER};
use imagefactory_tests::wait::until;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

/// What no shell and no template may touch on its way into the image.
const GREETING: &str = "hello $(POD_NAME) `id` ${HOME} ; | & > 'single' \"double\" %s \\n";

fn multi_stage() -> String {
    format!(
        "ARG BASE=debian:bookworm\n\
         FROM ${{BASE}} AS first\nARG GREETING=none\nRUN printf '%s' \"$GREETING\" > /greeting\n\
         FROM {BASE} AS wanted\nCOPY --from=first /greeting /greeting\nLABEL from.dockerfile=yes\n\
         USER 1000:1000\nENTRYPOINT [\"cat\", \"/greeting\"]\n\
         FROM wanted AS unwanted\nRUN exit 1\n"
    )
}

fn split(image: &str) -> (&str, &str) {
    image.rsplit_once(':').unwrap_or((image, "latest"))
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_good_build_ends_with_one_digest_everywhere_its_evidence_and_an_image_that_runs() {
    let tenant = TestTenant::create("good").await;
    let spec = json!({
        "source": inline(&multi_stage()),
        "target": "wanted",
        "buildArgs": [{"name": "GREETING", "value": GREETING}, {"name": "BASE", "value": BASE}],
        "labels": [{"name": "org.example.team", "value": "$(id) & co"}],
    });
    let build = tenant.succeeds("good", spec).await;
    says_what_product_md_says(&build);
    has_one_digest(&tenant, &build).await;
    has_its_evidence(&tenant, &build).await;
    runs(&tenant, &build).await;
    let waited = tenant.cluster.kubectl().run(&[
        "wait",
        "build/good",
        "-n",
        &tenant.namespace,
        "--for=condition=Succeeded",
        "--timeout=1s",
    ]);
    assert!(waited.ok, "{}", waited.stderr);
}

fn says_what_product_md_says(build: &Build) {
    assert_eq!(conditions_of(build), [("Ready", "True"), ("Succeeded", "True")]);
    let status = status_of(build);
    assert_eq!(Some(status.observed_generation), build.metadata.generation);
    assert_eq!(status.attempts, Some(1));
    assert!(status.failure.is_none() && status.completion_time >= status.start_time);
    let verdict = status.verdict.as_ref().expect("the verdict is there");
    assert_eq!((verdict.result.as_str(), verdict.publishable), ("Pass", true));
    let size = serde_json::to_string(&build.status).unwrap_or_default().len();
    assert!(size < 10_000, "what the operator writes stays under 10 kB: {size}");
}

async fn has_one_digest(tenant: &TestTenant, build: &Build) {
    let (status, output) = (status_of(build), output_of(build));
    let staged = status.staged.as_ref().expect("the image was staged");
    assert_eq!(staged.digest, output.digest);
    let (repository, tag) = tenant.default_output("good");
    assert_eq!(output.image, format!("{repository}:{tag}"));
    let registry = tenant.cluster.registry();
    let found = registry.manifest(&repository, &tag).await.expect("the tag was set");
    assert_eq!(found.digest, output.digest.0);
    let layers = found.json["layers"].as_array().cloned().unwrap_or_default();
    let blobs: i64 = layers
        .iter()
        .chain([&found.json["config"]])
        .filter_map(|blob| blob["size"].as_i64())
        .sum();
    assert!(
        output.size >= blobs && output.size < blobs + 10_000,
        "size {} of blobs {blobs}",
        output.size
    );

    let config = registry.config(&repository, &tag).await;
    assert_eq!(config.pointer("/config/Labels/from.dockerfile"), Some(&json!("yes")));
    assert_eq!(
        config.pointer("/config/Labels/org.example.team"),
        Some(&json!("$(id) & co"))
    );
    let bases = status
        .source
        .as_ref()
        .map(|source| source.bases.clone())
        .unwrap_or_default();
    let mirror = format!("{}/library/debian", tenant.cluster.environment.get("MIRROR"));
    let base = registry
        .manifest(&mirror, "bookworm-slim")
        .await
        .expect("the mirror has it");
    assert!(
        !bases.is_empty() && bases.iter().all(|found| found.digest.0 == base.digest),
        "{bases:?}"
    );
}

/// By the referrers' index tag, in the staging and in the output repository: as any client finds them.
async fn has_its_evidence(tenant: &TestTenant, build: &Build) {
    let (status, output) = (status_of(build), output_of(build));
    let scan = status.scan.as_ref().expect("the image was scanned");
    assert!(scan.packages > 50 && scan.vulnerabilities.low > 0, "{scan:?}");
    assert_eq!(
        (scan.vulnerabilities.critical, scan.vulnerabilities.high),
        (0, 0),
        "{scan:?}"
    );
    let registry = tenant.cluster.registry();
    let staged = &status.staged.as_ref().expect("the image was staged").repository;
    for repository in [split(&output.image).0, staged.as_str()] {
        let referrers = registry.referrers(repository, &output.digest).await;
        let evidence = scan.referrers.as_ref().expect("the image has its evidence");
        for (digest, content) in [(&evidence.sbom, "cyclonedx"), (&evidence.report, "report")] {
            let listed = referrers.iter().find(|listed| listed["digest"] == digest.as_str());
            let listed = listed.unwrap_or_else(|| panic!("{content} is not among the referrers: {referrers:?}"));
            let kind = listed["artifactType"].as_str().unwrap_or_default();
            assert!(kind.contains(content), "artifact type of {content}: {kind}");
            let manifest = registry
                .manifest(repository, digest)
                .await
                .expect("the referrer is there")
                .json;
            assert_eq!(manifest.pointer("/subject/digest"), Some(&json!(output.digest)));
            let layer = manifest
                .pointer("/layers/0/digest")
                .and_then(Value::as_str)
                .expect("it has one layer");
            has_content(content, &registry.blob(repository, layer).await);
        }
    }
}

fn has_content(kind: &str, blob: &Value) {
    match kind {
        "cyclonedx" => {
            assert_eq!(blob["bomFormat"], "CycloneDX");
            let components = blob["components"].as_array().map_or(0, Vec::len);
            assert!(components > 50, "{components} components");
        }
        _ => assert!(
            blob["Results"].as_array().is_some_and(|results| !results.is_empty()),
            "{blob}"
        ),
    }
}

/// Pulled by digest by the node's own container runtime, in a namespace that has nothing to do with the factory.
async fn runs(tenant: &TestTenant, build: &Build) {
    let cluster = &tenant.cluster;
    let name = unique("runs");
    let namespace = json!({"metadata": {"name": name}});
    let namespace = ClusterObject::create::<Namespace>(cluster, "namespace", namespace).await;
    let secrets = Api::<Secret>::namespaced(tenant.client(), &namespace.name);
    let environment = &cluster.environment;
    let auth = json!({"username": environment.get("REGISTRY_USER"), "password": environment.get("REGISTRY_PASSWORD")});
    let config = json!({"auths": {environment.get("REGISTRY"): auth}}).to_string();
    let secret = json!({"metadata": {"name": "pull"}, "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": config}});
    let post = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    secrets
        .create(&post, &serde_json::from_value(secret).expect("a Secret"))
        .await
        .expect("creating the Secret");
    let output = output_of(build);
    let image = format!("{}@{}", split(&output.image).0, output.digest);
    let pod = json!({"metadata": {"name": "it"}, "spec": {
        "restartPolicy": "Never",
        "imagePullSecrets": [{"name": "pull"}],
        "containers": [{"name": "it", "image": image}],
    }});
    let pods = Api::<Pod>::namespaced(tenant.client(), &namespace.name);
    // The namespace's service account may still be on its way.
    until("the pod is admitted", 30, async || {
        pods.create(&post, &serde_json::from_value(pod.clone()).expect("a Pod"))
            .await
            .ok()
    })
    .await;
    until("the pod has run", 90, async || {
        let phase = pods.get("it").await.ok()?.status?.phase?;
        assert_ne!(
            phase,
            "Failed",
            "{:?}",
            pods.logs("it", &kube::api::LogParams::default()).await
        );
        (phase == "Succeeded").then_some(())
    })
    .await;
    let log = pods
        .logs("it", &kube::api::LogParams::default())
        .await
        .expect("it has a log");
    assert_eq!(log, GREETING);
}
