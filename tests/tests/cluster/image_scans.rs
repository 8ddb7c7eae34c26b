//! Scans on demand: of an image that the tenant built, with verdict, findings and referrers; of none without the capability,
//! and of none that is another's; ended from outside, with the log kept.

use imagefactory_crds::image_scan::{EvidencePlace, ImageScanStatus};
use imagefactory_crds::{ImageScan, conditions};
use imagefactory_tests::building::{LONGEST, output_of};
use imagefactory_tests::dockerfile::{quick, with_packages};
use imagefactory_tests::tenant::PROJECT;
use imagefactory_tests::wait::until;
use imagefactory_tests::{TestTenant, kubectl};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

/// A tenant that may build and scan.
async fn scanning(purpose: &str) -> TestTenant {
    let capabilities = json!({"build": true, "onDemandImageScanning": true, "changeReason": "a test"});
    TestTenant::create_with(purpose, json!({"capabilities": capabilities})).await
}

async fn ask(tenant: &TestTenant, name: &str, image: &str) -> ImageScan {
    let spec = json!({"projectRef": {"name": PROJECT}, "image": image});
    tenant.make(json!({"metadata": {"name": name}, "spec": spec})).await
}

async fn try_ask(tenant: &TestTenant, name: &str, image: &str) -> Result<ImageScan, kube::Error> {
    let scan: ImageScan = serde_json::from_value(json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "ImageScan",
        "metadata": {"name": name, "namespace": tenant.namespace},
        "spec": {"projectRef": {"name": PROJECT}, "image": image},
    }))
    .unwrap();
    tenant.api::<ImageScan>().create(&PostParams::default(), &scan).await
}

async fn settled(tenant: &TestTenant, name: &str) -> ImageScanStatus {
    until(&format!("scan {name} has ended"), LONGEST, async || {
        let status = tenant.api::<ImageScan>().get(name).await.ok()?.status?;
        status.is_settled().then_some(status)
    })
    .await
}

/// Phase, reason and message.
fn said(status: &ImageScanStatus) -> (&str, String, String) {
    let succeeded = conditions::find(&status.conditions, "Succeeded").expect("it says how it went");
    let phase = status.phase.expect("it has a phase").as_str();
    (phase, succeeded.reason.clone(), succeeded.message.clone())
}

/// Jobs that were made for a scan, in the work namespace.
async fn jobs_of(tenant: &TestTenant, scan: &ImageScan) -> Vec<Job> {
    let work = tenant.cluster.installation.text("/workNamespace");
    let uid = scan.metadata.uid.clone().unwrap_or_default();
    let its = ListParams::default().labels(&format!("imagefactory.dev/build-uid={uid}"));
    let listed = Api::<Job>::namespaced(tenant.client(), work).list(&its).await;
    listed.expect("listing jobs").items
}

fn patch(tenant: &TestTenant, name: &str, change: &Value) -> kubectl::Answer {
    let change = change.to_string();
    let arguments = [
        "patch",
        "iscan",
        name,
        "-n",
        &tenant.namespace,
        "--type=merge",
        "-p",
        &change,
    ];
    tenant.cluster.kubectl().run(&arguments)
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn an_image_that_the_tenant_built_is_scanned_by_its_digest_and_the_evidence_refers_to_it() {
    let tenant = scanning("scans").await;
    let build = tenant.succeeds("built", json!({"source": with_packages()})).await;
    let output = output_of(&build);
    let repository = output.image.rsplit_once(':').unwrap().0;
    let by_digest = format!("{repository}@{}", output.digest);
    // One after the other: without the referrers API the list of an image's evidence is one tag, which both would write.
    for (name, image) in [("by-tag", &output.image), ("by-digest", &by_digest)] {
        let _ = ask(&tenant, name, image).await;
        let status = settled(&tenant, name).await;
        let (phase, reason, message) = said(&status);
        assert_eq!((phase, reason.as_str()), ("Succeeded", "Scanned"), "{name}: {message}");
        assert_eq!(status.digest.as_ref(), Some(&output.digest), "{name}");
        assert_eq!(status.evidence, Some(EvidencePlace::Attached), "{name}");
        let verdict = status.verdict.as_ref().expect("it was judged");
        assert!(verdict.publishable && !verdict.policies.is_empty(), "{verdict:?}");
        let scan = status.scan.as_ref().expect("it was scanned");
        assert!(scan.packages > 0 && scan.database_time.is_some(), "{scan:?}");
        let referrers = scan.referrers.as_ref().expect("the evidence is attached");
        let listed = tenant.cluster.registry().referrers(repository, &output.digest.0).await;
        for digest in [&referrers.sbom, &referrers.report] {
            let is_there = listed.iter().any(|listed| listed["digest"] == digest.as_str());
            assert!(is_there, "{name}: {digest} is not among {listed:?}");
        }
    }
    let by_tag = tenant.api::<ImageScan>().get("by-tag").await.unwrap();
    assert!(jobs_of(&tenant, &by_tag).await.len() <= 1);
    let logs = until("its logs are kept", 60, async || {
        settled(&tenant, "by-tag")
            .await
            .logs
            .filter(|logs| logs.containers.len() >= 4)
    })
    .await;
    assert!(logs.containers.iter().any(|log| log.container == "resolve"), "{logs:?}");
    let changed = patch(
        &tenant,
        "by-tag",
        &json!({"spec": {"image": "registry.example.com/a:1"}}),
    );
    assert!(
        !changed.ok && changed.stderr.contains("field_immutable"),
        "{}",
        changed.stderr
    );
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn an_image_that_is_not_there_fails_with_what_to_do() {
    let tenant = scanning("scan-absent").await;
    let (repository, _) = tenant.default_output("none");
    let _ = ask(&tenant, "absent", &format!("{repository}:none")).await;
    let status = settled(&tenant, "absent").await;
    let (phase, reason, message) = said(&status);
    assert_eq!((phase, reason.as_str()), ("Failed", "Pull"), "{message}");
    assert!(message.contains("Unknown is not a pass"), "{message}");
}

/// What is tried while the capability is off is refused at the door, or fails with the same code and makes nothing.
#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn without_the_capability_nothing_is_scanned_and_the_code_says_so() {
    let tenant = TestTenant::create("scan-off").await;
    let (repository, tag) = tenant.default_output("any");
    let words =
        "On-demand image scanning is not enabled for this tenant. Contact your administrator to request access.";
    match try_ask(&tenant, "unentitled", &format!("{repository}:{tag}")).await {
        Err(kube::Error::Api(status)) => {
            assert_eq!(status.code, 403, "{status:?}");
            assert_eq!(status.reason, "tenant_capability_not_entitled");
            assert!(status.message.contains(words), "{}", status.message);
        }
        Err(error) => panic!("{error}"),
        Ok(scan) => {
            let status = settled(&tenant, "unentitled").await;
            let (phase, reason, message) = said(&status);
            assert_eq!((phase, reason.as_str()), ("Failed", "tenant_capability_not_entitled"));
            assert_eq!(message, words);
            assert!(jobs_of(&tenant, &scan).await.is_empty());
        }
    }
}

/// Asked for while the tenant was entitled, and not begun: the operator refuses what the door let in.
#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_scan_that_waits_fails_with_the_code_when_the_capability_is_withdrawn() {
    let tenant = scanning("scan-queued").await;
    // Nobody has a slot.
    let _ = tenant.patch(json!({"spec": {"quota": {"concurrentBuilds": 0}}})).await;
    let (repository, tag) = tenant.default_output("any");
    let scan = ask(&tenant, "waits", &format!("{repository}:{tag}")).await;
    until("it waits", 60, async || {
        let status = tenant.api::<ImageScan>().get("waits").await.ok()?.status?;
        let is_told = conditions::find(&status.conditions, "Succeeded").is_some();
        (is_told && said(&status).0 == "Queued").then_some(())
    })
    .await;
    withdraw(&tenant).await;
    let status = settled(&tenant, "waits").await;
    assert_eq!(said(&status).1, "tenant_capability_not_entitled");
    assert!(jobs_of(&tenant, &scan).await.is_empty());
}

async fn withdraw(tenant: &TestTenant) {
    let off = json!({"onDemandImageScanning": false, "changeReason": "withdrawn by a test"});
    let _ = tenant.patch(json!({"spec": {"capabilities": off}})).await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn an_image_of_another_s_is_refused_before_anybody_is_asked_for_it() {
    let tenant = scanning("scan-foreign").await;
    let output = tenant.cluster.installation.text("/output/prefix");
    let staging = tenant.cluster.installation.text("/staging/prefix");
    let foreign = [
        format!("{output}/somebody-else/app:1"),
        format!("{staging}/somebody-else/app:1"),
        "quay.io/example/app:1".to_owned(),
    ];
    for (number, image) in foreign.iter().enumerate() {
        let name = format!("foreign-{number}");
        match try_ask(&tenant, &name, image).await {
            Err(kube::Error::Api(status)) => {
                assert_eq!(
                    (status.code, status.reason.as_str()),
                    (422, "invalid_object"),
                    "{status:?}"
                );
                assert!(
                    status.message.contains(&format!("{output}/{}", tenant.name)),
                    "{}",
                    status.message
                );
            }
            Err(error) => panic!("{error}"),
            Ok(scan) => {
                let status = settled(&tenant, &name).await;
                assert_eq!(said(&status).1, "invalid_object", "{image}");
                assert!(jobs_of(&tenant, &scan).await.is_empty(), "{image}");
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_scan_that_runs_is_stopped_and_its_log_kept_when_the_capability_is_withdrawn_or_it_is_cancelled() {
    let tenant = scanning("scan-stops").await;
    let build = tenant.succeeds("built", json!({"source": quick()})).await;
    let image = &output_of(&build).image;
    let cancelled = ask(&tenant, "cancelled", image).await;
    begins(&tenant, &cancelled).await;
    let _ = patch(&tenant, "cancelled", &json!({"spec": {"cancelled": true}})).expect_ok();
    let withdrawn = ask(&tenant, "withdrawn", image).await;
    begins(&tenant, &withdrawn).await;
    withdraw(&tenant).await;
    // Whoever is quicker: a scan that ended before it was stopped has ended well.
    for (scan, stopped) in [
        (&cancelled, "Cancelled"),
        (&withdrawn, "tenant_capability_not_entitled"),
    ] {
        let name = scan.metadata.name.clone().unwrap();
        let status = settled(&tenant, &name).await;
        let (_, reason, message) = said(&status);
        assert!(
            [stopped, "Scanned"].contains(&reason.as_str()),
            "{name}: {reason}: {message}"
        );
        until("nothing of it runs any more", 90, async || {
            let work = tenant.cluster.installation.text("/workNamespace");
            let its = format!("imagefactory.dev/build-uid={}", scan.metadata.uid.clone()?);
            let listed = Api::<Pod>::namespaced(tenant.client(), work)
                .list(&ListParams::default().labels(&its))
                .await;
            let ended = |pod: &Pod| {
                let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
                matches!(phase, Some("Succeeded" | "Failed"))
            };
            listed.ok()?.items.iter().all(ended).then_some(())
        })
        .await;
    }
}

/// Waits until a job was made for the scan, or it has ended already.
async fn begins(tenant: &TestTenant, scan: &ImageScan) {
    let name = scan.metadata.name.clone().unwrap();
    until(&format!("scan {name} has begun"), LONGEST, async || {
        let status = tenant.api::<ImageScan>().get(&name).await.ok()?.status?;
        (status.start_time.is_some() || status.is_settled()).then_some(())
    })
    .await;
}
