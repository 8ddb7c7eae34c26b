//! A scanner that is gone, crashes, or writes what does not parse: Unknown, never published, also in mode DryRun.
//!
//! Runs alone: it takes the scanner away from everybody.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on ends and says why"
)]

use imagefactory_crds::ImagePolicy;
use imagefactory_crds::build::Judgement;
use imagefactory_tests::building::{output_of, status_of, told};
use imagefactory_tests::cluster::unique;
use imagefactory_tests::dockerfile::{BASE, files, quick};
use imagefactory_tests::tenant::ClusterObject;
use imagefactory_tests::{Cluster, TestTenant, phase_of, reason_of};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use tokio::sync::Mutex;

static ALONE: Mutex<()> = Mutex::const_new(());

/// A tenant whose policy publishes whatever can be judged.
async fn dry_run_tenant(cluster: &Cluster, purpose: &str) -> (ClusterObject, TestTenant) {
    let policy = json!({"metadata": {"name": unique("lax")}, "spec": {"mode": "DryRun", "sbom": "Optional"}});
    let policy = ClusterObject::create::<ImagePolicy>(cluster, "imagepolicy", policy).await;
    let tenant = TestTenant::create_with(purpose, json!({"policyRef": {"name": policy.name}})).await;
    (policy, tenant)
}

async fn is_unknown(tenant: &TestTenant, name: &str) {
    tenant.start(name, json!({"source": quick()})).await;
    let build = tenant.settled(name).await;
    assert_eq!(
        (phase_of(&build), reason_of(&build)),
        ("Failed", "EvidenceUnknown"),
        "{}",
        told(&build)
    );
    let verdict = status_of(&build)
        .verdict
        .as_ref()
        .expect("it says that nothing is known");
    assert_eq!((verdict.result, verdict.publishable), (Judgement::Unknown, false));
    tenant.is_not_published(name).await;
    let publishes = tenant
        .jobs_of(&build)
        .await
        .into_iter()
        .filter_map(|job| job.metadata.name);
    assert_eq!(publishes.filter(|name| name.starts_with("publish-")).count(), 0);
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn without_a_scanner_nothing_is_known_and_nothing_published() {
    let _alone = ALONE.lock().await;
    let cluster = Cluster::connect().await;
    let (_policy, dry_run) = dry_run_tenant(&cluster, "no-scanner").await;
    let enforce = TestTenant::create("no-scanner").await;
    let work = cluster.installation.work_namespace().to_owned();
    let server = format!("{}-trivy", cluster.installation.prefix());
    {
        let _gone = cluster.scale(&work, &server, 0).await;
        tokio::join!(is_unknown(&dry_run, "in-dry-run"), is_unknown(&enforce, "enforced"));
    }
    dry_run
        .succeeds("with-the-scanner-back", json!({"source": quick()}))
        .await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_scanner_that_crashes_or_writes_what_does_not_parse_makes_no_evidence() {
    let _alone = ALONE.lock().await;
    let cluster = Cluster::connect().await;
    let (_policy, tenant) = dry_run_tenant(&cluster, "broken").await;
    // The impostors are made by the factory itself.
    let scripts = [
        ("crashes", "exit 3"),
        ("nothing", "exit 0"),
        ("garbage", "write '{\"SchemaVersion\": 2, \"Results\": ['"),
        (
            "other-image",
            "write '{\"SchemaVersion\": 2, \"ArtifactName\": \"another\", \"Results\": []}'",
        ),
    ];
    let mut images = Vec::new();
    for (name, script) in scripts {
        let script = format!(
            "#!/bin/sh\nwrite() {{ for each in $arguments; do case $each in --output=*) echo \"$1\" > ${{each#*=}};; esac; done; }}\narguments=$*\n{script}\n"
        );
        let source = files(&[
            (
                "Dockerfile",
                &format!("FROM {BASE}\nCOPY scanner /scanner\nRUN chmod 755 /scanner\nENTRYPOINT [\"/scanner\"]\n"),
            ),
            ("scanner", &script),
        ]);
        tenant.start(name, json!({"source": source})).await;
    }
    for (name, _) in scripts {
        let build = tenant.has_succeeded(name).await;
        let output = output_of(&build);
        images.push((
            name,
            format!("{}@{}", output.image.rsplit_once(':').unwrap().0, output.digest),
        ));
    }
    let secret = pull_secret(&cluster).await;
    for (name, image) in images {
        let _changed = cluster.with_settings(|settings| {
            settings["images"]["trivy"] = json!(image);
            settings["images"]["pullPolicy"] = json!("IfNotPresent");
            settings["images"]["pullSecrets"] = json!([secret]);
        });
        is_unknown(&tenant, &format!("scanned-by-{name}")).await;
    }
    let delete = ["delete", "secret", &secret, "-n", cluster.installation.work_namespace()];
    let _ = cluster.kubectl().run(&delete).expect_ok();
}

/// A Secret in the work namespace that the impostors are pulled with.
async fn pull_secret(cluster: &Cluster) -> String {
    let environment = &cluster.environment;
    let auth = json!({"username": environment.get("REGISTRY_USER"), "password": environment.get("REGISTRY_PASSWORD")});
    let config = json!({"auths": {environment.get("REGISTRY"): auth}}).to_string();
    let name = unique("imagefactory-t");
    let secret = json!({"metadata": {"name": name}, "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": config}});
    let api = Api::<Secret>::namespaced(cluster.client.clone(), cluster.installation.work_namespace());
    api.create(
        &PostParams::default(),
        &serde_json::from_value(secret).expect("a Secret"),
    )
    .await
    .expect("creating it");
    name
}
