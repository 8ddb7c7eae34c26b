//! A scanner that is gone, crashes, or writes what does not parse: Unknown, never published, also in mode DryRun.
//!
//! Runs alone: it takes the scanner away from everybody.

use futures::future::join_all;
use imagefactory_crds::build::Judgement;
use imagefactory_crds::{ImagePolicy, ImageScan, conditions};
use imagefactory_tests::building::{LONGEST, message_of, output_of, status_of, told};
use imagefactory_tests::cluster::unique;
use imagefactory_tests::dockerfile::{BASE, files, quick};
use imagefactory_tests::image::crane;
use imagefactory_tests::tenant::{ClusterObject, PROJECT};
use imagefactory_tests::wait::until;
use imagefactory_tests::{Cluster, TestTenant, phase_of, reason_of};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

/// What a scanner that is none does where it is asked about an image of that name, and what is then said of it.
const IMPOSTOR: [(&str, &str, &str); 4] = [
    ("crashes", "exit 3", "the scanner failed for "),
    ("nothing", "exit 0", "there is no report of the scanner"),
    (
        "other-image",
        "write '{\"SchemaVersion\": 2, \"ArtifactName\": \"another\", \"Results\": []}'",
        "the report does not speak of this image's digest",
    ),
    ("endless", "write_blanks 300000000", "the document is too long"),
];

/// What it does with any other image, and where it is to write an SBOM.
const OTHERWISE: (&str, &str) = (
    "write '{\"SchemaVersion\": 2, \"Results\": ['",
    "the scanner's report: it is empty or cut off",
);

/// The source of an image whose scanner is a script that does, where its arguments hold one of these digests, what stands beside
/// it; with `write` for what goes to its output, and `write_blanks` for so many bytes of nothing.
fn impostor(does: &[(String, &str)]) -> Value {
    let cases: Vec<String> = does
        .iter()
        .map(|(digest, what)| format!("*{digest}*) {what} ;;"))
        .collect();
    let script = format!(
        "#!/bin/sh\narguments=$*\n\
         write() {{ for each in $arguments; do case $each in --output=*) echo \"$1\" > ${{each#*=}};; esac; done; }}\n\
         write_blanks() {{ for each in $arguments; do case $each in --output=*) head -c $1 /dev/zero | \
         tr '\\0' ' ' > ${{each#*=}};; esac; done; }}\n\
         case $arguments in\n{}\n*) {} ;;\nesac\n",
        cases.join("\n"),
        OTHERWISE.0
    );
    let dockerfile = format!("FROM {BASE}\nCOPY scanner /usr/local/bin/trivy\nRUN chmod 755 /usr/local/bin/trivy\n");
    files(&[("Dockerfile", &dockerfile), ("scanner", &script)])
}

/// That image under another digest, beside it.
fn variant(cluster: &Cluster, image: &str, name: &str) -> String {
    let repository = image.rsplit_once(':').expect("it has a tag").0;
    let (tag, label) = (format!("{repository}:{name}"), format!("of={name}"));
    crane(
        &cluster.environment,
        &["mutate", image, "--label", &label, "--tag", &tag],
    );
    crane(&cluster.environment, &["digest", &tag]).trim().to_owned()
}

/// A tenant whose policy publishes whatever can be judged.
async fn dry_run_tenant(cluster: &Cluster, purpose: &str) -> (ClusterObject, TestTenant) {
    let policy = json!({"metadata": {"name": unique("lax")}, "spec": {"mode": "DryRun", "sbom": "Optional"}});
    let policy = ClusterObject::create::<ImagePolicy>(cluster, "imagepolicy", policy).await;
    let capabilities = json!({"build": true, "onDemandImageScanning": true, "changeReason": "a test"});
    let spec = json!({"policyRef": {"name": policy.name}, "capabilities": capabilities});
    let tenant = TestTenant::create_with(purpose, spec).await;
    (policy, tenant)
}

/// Builds, and expects that nothing is known of the image for that cause, and so nothing published.
async fn is_unknown(tenant: &TestTenant, name: &str, why: &str) {
    // A scan that broke off is tried again (`retries.rs`), and these would break off again.
    tenant.start(name, json!({"source": quick(), "retries": 0})).await;
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
    assert!(message_of(&build).contains(why), "{why}: {}", told(&build));
    tenant.is_not_published(name).await;
    let publishes = tenant
        .jobs_of(&build)
        .await
        .into_iter()
        .filter_map(|job| job.metadata.name);
    assert_eq!(publishes.filter(|name| name.starts_with("publish-")).count(), 0);
}

/// Has that image scanned, and expects that nothing is known of it for that cause.
async fn a_scan_is_unknown(tenant: &TestTenant, name: &str, image: &str, why: &str) {
    let spec = json!({"projectRef": {"name": PROJECT}, "image": image});
    let _: ImageScan = tenant.make(json!({"metadata": {"name": name}, "spec": spec})).await;
    let status = until(&format!("scan {name} has ended"), LONGEST, async || {
        let status = tenant.api::<ImageScan>().get(name).await.ok()?.status?;
        status.is_settled().then_some(status)
    })
    .await;
    let said = conditions::find(&status.conditions, "Succeeded").expect("it says how it went");
    assert_eq!(
        (said.status.as_str(), said.reason.as_str()),
        ("False", "EvidenceUnknown"),
        "{}",
        said.message
    );
    let verdict = status.verdict.as_ref().expect("it says that nothing is known");
    assert_eq!((verdict.result, verdict.publishable), (Judgement::Unknown, false));
    assert!(said.message.contains(why), "{why}: {}", said.message);
    assert!(status.evidence.is_none(), "{:?}", status.evidence);
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn without_a_scanner_nothing_is_known_and_nothing_published() {
    let _alone = crate::ALONE.lock().await;
    let cluster = Cluster::connect().await;
    let (_policy, dry_run) = dry_run_tenant(&cluster, "no-scanner").await;
    let enforce = TestTenant::create("no-scanner").await;
    let work = cluster.installation.work_namespace().to_owned();
    let server = format!("{}-trivy", cluster.installation.prefix());
    {
        let _gone = cluster.scale(&work, &server, 0).await;
        let why = "the scanner failed for ";
        tokio::join!(
            is_unknown(&dry_run, "in-dry-run", why),
            is_unknown(&enforce, "enforced", why)
        );
    }
    dry_run
        .succeeds("with-the-scanner-back", json!({"source": quick()}))
        .await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_scanner_that_crashes_or_writes_what_does_not_parse_makes_no_evidence() {
    let _alone = crate::ALONE.lock().await;
    let cluster = Cluster::connect().await;
    let (_policy, tenant) = dry_run_tenant(&cluster, "broken").await;
    let scanned = output_of(&tenant.succeeds("scanned", json!({"source": quick()})).await)
        .image
        .clone();
    let repository = scanned.rsplit_once(':').expect("it has a tag").0;
    let digests = IMPOSTOR.map(|(name, _, _)| variant(&cluster, &scanned, name));
    // The impostor is made by the factory itself.
    let does: Vec<_> = digests.iter().cloned().zip(IMPOSTOR.map(|(_, does, _)| does)).collect();
    let made = tenant.succeeds("impostor", json!({"source": impostor(&does)})).await;
    let secret = pull_secret(&cluster).await;
    let _as_before = cluster.with_settings(|settings| {
        settings["images"]["trivy"] = json!(format!("{repository}@{}", output_of(&made).digest));
        settings["images"]["pullPolicy"] = json!("IfNotPresent");
        settings["images"]["pullSecrets"] = json!([secret]);
        // An ImageScan can't say so itself.
        settings["builds"]["retries"]["scan"] = json!(0);
    });
    // Builds and ImageScans are judged by the same steps, and a scan alone is sooner done.
    let scans = IMPOSTOR.iter().zip(&digests).map(|((name, _, why), digest)| {
        let image = format!("{repository}@{digest}");
        let (tenant, name) = (&tenant, format!("scanned-by-{name}"));
        async move { a_scan_is_unknown(tenant, &name, &image, why).await }
    });
    tokio::join!(is_unknown(&tenant, "garbage", OTHERWISE.1), join_all(scans));
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
