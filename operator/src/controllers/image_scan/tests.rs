//! What the controller of ImageScans asks of the API server, and in which order.

use imagefactory_core::tenant::objects::namespace;
use imagefactory_crds::tenant::Capabilities;
use imagefactory_crds::{ImagePolicy, Project, ProjectSpec, Tenant, TenantSpec};
use serde_json::{Value, json};

use super::*;
use crate::controllers::tenant::mock::{Mock, Server, now, show};

const SCAN: &str = "/apis/imagefactory.dev/v1alpha1/namespaces/tenant-acme/imagescans/nightly";
const JOBS: &str = "/apis/batch/v1/namespaces/image-factory-work/jobs";

fn scan() -> ImageScan {
    serde_json::from_value(json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "ImageScan",
        "metadata": {"name": "nightly", "namespace": "tenant-acme", "uid": "u", "generation": 1, "resourceVersion": "1"},
        "spec": {"projectRef": {"name": "web"}, "image": "quay.io/acme/web:1", "policyRef": {"name": "strict"}},
    }))
    .unwrap()
}

/// A tenant in its place, which may scan or not, and its project.
fn cluster(may_scan: bool) -> Hubs {
    let hubs = Hubs::default();
    let spec = TenantSpec {
        capabilities: Some(Capabilities {
            on_demand_image_scanning: Some(may_scan),
            ..Capabilities::default()
        }),
        registries: vec!["quay.io/acme".into()],
        policy_ref: Some(imagefactory_crds::common::LocalRef::to("strict")),
        ..TenantSpec::default()
    };
    let mut tenant = Tenant::new("acme", spec);
    tenant.metadata.uid = Some("tenant-uid".to_owned());
    tenant.status = serde_json::from_value(json!({
        "observedGeneration": 1, "namespace": "tenant-acme", "conditions": [{
            "type": "Ready", "status": "True", "reason": "Ready", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }],
    }))
    .unwrap();
    show(&hubs.namespaces, namespace::namespace(&tenant));
    show(&hubs.tenants, tenant);
    let mut project = Project::new("web", ProjectSpec::default());
    project.metadata.namespace = Some("tenant-acme".to_owned());
    show(&hubs.projects, project);
    show(
        &hubs.policies,
        ImagePolicy::new("strict", imagefactory_crds::ImagePolicySpec::default()),
    );
    show(&hubs.image_scans, scan());
    hubs
}

fn start(hubs: &Hubs) -> Server {
    Mock::default().holds(SCAN, &scan()).start(hubs)
}

async fn looked(server: &Server, scan: &ImageScan) -> Outcome {
    let unseen = Arc::new(Unseen::default());
    reconcile(Arc::new(scan.clone()), server.context.clone(), unseen)
        .await
        .unwrap()
}

fn condition(status: &Value) -> (&str, &str) {
    let condition = &status["conditions"][0];
    (
        condition["status"].as_str().unwrap(),
        condition["reason"].as_str().unwrap(),
    )
}

#[tokio::test]
async fn nothing_is_made_before_the_queue_is_open() {
    let server = start(&cluster(true));
    looked(&server, &scan()).await;
    assert_eq!(server.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn the_start_is_written_before_the_job_is_made() {
    let server = start(&cluster(true));
    server.context.dispatcher.open_empty();
    assert!(looked(&server, &scan()).await == Outcome::changed().again_after(Duration::from_secs(15)));
    assert_eq!(
        server.writes(),
        [format!("PATCH {SCAN}/status"), format!("POST {JOBS}")]
    );
    assert_eq!(server.status()["attempts"], 1);
    assert_eq!(server.context.dispatcher.slots_of("acme"), Some(1));
}

#[tokio::test]
async fn a_scan_whose_status_was_overtaken_makes_no_job() {
    let hubs = cluster(true);
    let server = Mock::default()
        .refuses(&format!("PATCH {SCAN}/status"), 409)
        .start(&hubs);
    server.context.dispatcher.open_empty();
    looked(&server, &scan()).await;
    assert_eq!(server.writes(), [format!("PATCH {SCAN}/status")]);
}

#[tokio::test]
async fn a_scan_whose_job_is_refused_ends_and_says_so() {
    let hubs = cluster(true);
    let mut begun = scan();
    begun.status = serde_json::from_value(json!({
        "phase": "Preparing", "attempts": 1, "startTime": now(), "attemptTime": now(), "conditions": [],
    }))
    .unwrap();
    let server = Mock::default()
        .holds(SCAN, &begun)
        .refuses(&format!("POST {JOBS}"), 403)
        .start(&hubs);
    server.context.dispatcher.open_empty();
    assert!(looked(&server, &begun).await == Outcome::waiting());
    let status = server.status();
    assert_eq!(condition(&status), ("False", "EvidenceUnknown"));
    assert_eq!(status["failure"]["reason"], "JobRejected", "{status}");
    assert_eq!(status["verdict"]["publishable"], false);
}

#[tokio::test]
async fn without_the_capability_it_fails_with_the_code_and_is_counted() {
    let server = start(&cluster(false));
    server.context.dispatcher.open_empty();
    looked(&server, &scan()).await;
    assert_eq!(condition(&server.status()), ("False", "tenant_capability_not_entitled"));
    assert!(
        server.writes().iter().all(|line| !line.contains("/jobs")),
        "{:?}",
        server.writes()
    );
    let text = server.context.metrics.encode().unwrap();
    let counted = "imagefactory_image_scans_total{tenant=\"acme\",result=\"Failed\"} 1";
    assert!(text.contains(counted), "{text}");
    assert_eq!(server.context.dispatcher.slots_of("acme"), Some(0));
}

#[tokio::test]
async fn nothing_begins_in_a_project_beyond_the_quota_and_what_was_begun_goes_on() {
    let hubs = cluster(true);
    let mut tenant = (*hubs.tenants.store().state()[0]).clone();
    tenant.spec.quota = Some(imagefactory_crds::tenant::Quota {
        projects: Some(0),
        ..imagefactory_crds::tenant::Quota::default()
    });
    show(&hubs.tenants, tenant);
    let server = start(&hubs);
    server.context.dispatcher.open_empty();
    looked(&server, &scan()).await;
    assert_eq!(condition(&server.status()), ("False", "quota_exceeded"));
    assert!(
        server.writes().iter().all(|line| !line.contains("/jobs")),
        "{:?}",
        server.writes()
    );
    let mut begun = scan();
    begun.status = serde_json::from_value(json!({
        "observedGeneration": 1, "attempts": 1, "startTime": "2026-01-01T00:00:00Z",
    }))
    .unwrap();
    let server = start(&hubs);
    server.context.dispatcher.open_empty();
    looked(&server, &begun).await;
    let made = format!("POST {JOBS}");
    assert!(server.writes().contains(&made), "{:?}", server.writes());
}

#[tokio::test]
async fn where_the_operator_may_not_write_a_scan_is_left_alone_without_an_error() {
    let server = Mock::default()
        .refuses(&format!("PATCH {SCAN}/status"), 403)
        .start(&Hubs::default());
    let mut old = scan();
    old.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
        jiff::Timestamp::UNIX_EPOCH,
    ));
    assert_eq!(looked(&server, &old).await, Outcome::waiting());
}

#[tokio::test]
async fn a_cancelled_scan_whose_pod_the_store_does_not_show_ends_it_by_its_pod() {
    let hubs = cluster(true);
    let labels =
        json!({"imagefactory.dev/build-uid": "u", "imagefactory.dev/stage": "scan", "job-name": "image-scan-u-1"});
    let job = json!({"metadata": {"name": "image-scan-u-1", "namespace": "image-factory-work", "labels": labels}});
    show(
        &hubs.jobs,
        serde_json::from_value::<imagefactory_core::partial::Job>(job).unwrap(),
    );
    let (client, mut server) = crate::testing::server();
    let context = crate::testing::context(client, &hubs);
    let mut cancelled = scan();
    cancelled.spec.cancelled = true;
    cancelled.status = serde_json::from_value(json!({
        "observedGeneration": 1, "attempts": 1, "startTime": "2026-01-01T00:00:00Z",
    }))
    .unwrap();
    let observing = tokio::spawn(async move { observe::observe(&cancelled, &context).await });
    let asked = server.expect("GET /api/v1/namespaces/image-factory-work/pods").await;
    assert!(asked.query.contains("job-name%3Dimage-scan-u-1"), "{}", asked.query);
    let bound = json!({
        "metadata": {"name": "image-scan-u-1-x", "namespace": "image-factory-work", "labels": labels},
        "spec": {"nodeName": "n", "containers": []}, "status": {"phase": "Pending"},
    });
    asked.answer(200, &json!({"metadata": {}, "items": [bound]}));
    let Ok(observed) = observing.await.unwrap() else {
        panic!("the API server has answered");
    };
    assert!(observed.job.unwrap().pod.unwrap().has_node);
}

#[tokio::test]
async fn an_ended_scan_is_looked_at_without_what_it_would_scan_and_loses_nothing_of_its_status() {
    let mut whole = scan();
    whole.metadata.generation = Some(2);
    whole.spec.cancelled = true;
    whole.status = serde_json::from_value(json!({
        "observedGeneration": 1, "phase": "Failed", "attempts": 1,
        "conditions": [{
            "type": "Succeeded", "status": "False", "reason": "Pull", "message": "It is not there.",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }],
        "failure": {"class": "Pull", "reason": "NotFound", "message": "It is not there.", "next": "Look."},
    }))
    .unwrap();
    let mut kept = whole.clone();
    crate::watches::trim::image_scan(&mut kept);
    let server = Mock::default().holds(SCAN, &whole).start(&cluster(true));
    server.context.dispatcher.open_empty();
    looked(&server, &kept).await;
    assert_eq!(
        server.requests(),
        [format!("GET {SCAN}"), format!("PATCH {SCAN}/status")]
    );
    let status = server.status();
    assert_eq!(
        (&status["observedGeneration"], &status["failure"]["class"]),
        (&json!(2), &json!("Pull"))
    );
}
