//! What the controller of QuarantineRequests asks of the API server, and how often.

use imagefactory_core::tenant::objects::namespace;
use imagefactory_crds::common::LocalRef;
use imagefactory_crds::tenant::Capabilities;
use imagefactory_crds::{Project, ProjectSpec, QuarantineRequestSpec, SorRecord, SorRecordSpec, Tenant, TenantSpec};

use super::*;
use crate::controllers::tenant::mock::{Mock, Server, hide, show};

const REQUEST: &str = "/apis/imagefactory.dev/v1alpha1/namespaces/tenant-acme/quarantinerequests/postgres";
const EVENT: &str = "POST /apis/events.k8s.io/v1/namespaces/tenant-acme/events";

pub(super) fn request() -> QuarantineRequest {
    let mut request = QuarantineRequest::new(
        "postgres",
        QuarantineRequestSpec {
            sor_record_id: Some("APP-1".into()),
            project_ref: LocalRef::to("web"),
            ..QuarantineRequestSpec::default()
        },
    );
    request.metadata.namespace = Some("tenant-acme".to_owned());
    request
}

fn record() -> SorRecord {
    let spec = SorRecordSpec {
        record_id: "APP-1".into(),
        tenants: vec!["acme".into()],
        ..SorRecordSpec::default()
    };
    SorRecord::new("app-1", spec)
}

/// A tenant that may ask, its project, and no record.
pub(super) fn cluster() -> (Server, Hubs) {
    let hubs = Hubs::default();
    let capabilities = Capabilities {
        quarantine_request: Some(true),
        ..Capabilities::default()
    };
    let spec = TenantSpec {
        capabilities: Some(capabilities),
        ..TenantSpec::default()
    };
    let mut tenant = Tenant::new("acme", spec);
    tenant.metadata.uid = Some("tenant-uid".to_owned());
    show(&hubs.namespaces, namespace::namespace(&tenant));
    show(&hubs.tenants, tenant);
    let mut project = Project::new("web", ProjectSpec::default());
    project.metadata.namespace = Some("tenant-acme".to_owned());
    show(&hubs.projects, project);
    (Mock::default().holds(REQUEST, &request()).start(&hubs), hubs)
}

async fn judged(server: &Server, request: &QuarantineRequest) -> Outcome {
    reconcile(Arc::new(request.clone()), server.context.clone(), Arc::default())
        .await
        .unwrap()
}

fn with_status(server: &Server) -> QuarantineRequest {
    let mut known = request();
    known.status = serde_json::from_value(server.status()).unwrap();
    known
}

#[tokio::test]
async fn a_request_that_is_allowed_is_one_write_and_makes_nothing() {
    let (server, hubs) = cluster();
    show(&hubs.sor_records, record());
    assert_eq!(judged(&server, &request()).await, Outcome::changed());
    assert_eq!(server.status()["phase"], "PendingApproval");
    assert_eq!(judged(&server, &with_status(&server)).await, Outcome::unchanged());
    assert_eq!(server.requests(), [format!("PATCH {REQUEST}/status")]);
}

#[tokio::test]
async fn a_request_in_a_project_beyond_the_quota_fails_with_the_code_and_one_that_waits_goes_on_waiting() {
    let (server, hubs) = cluster();
    show(&hubs.sor_records, record());
    judged(&server, &request()).await;
    let pending = with_status(&server);
    let mut tenant = (*hubs.tenants.store().state()[0]).clone();
    tenant.spec.quota = Some(imagefactory_crds::tenant::Quota {
        projects: Some(0),
        ..imagefactory_crds::tenant::Quota::default()
    });
    show(&hubs.tenants, tenant);
    assert_eq!(judged(&server, &pending).await, Outcome::unchanged());
    judged(&server, &request()).await;
    assert_eq!(server.status()["conditions"][0]["reason"], "quota_exceeded");
}

#[tokio::test]
async fn a_request_whose_record_goes_fails_with_an_event_once() {
    let (server, hubs) = cluster();
    show(&hubs.sor_records, record());
    judged(&server, &request()).await;
    let pending = with_status(&server);
    hide(&hubs.sor_records, record());
    judged(&server, &pending).await;
    assert_eq!(server.status()["conditions"][0]["reason"], "sor_registration_required");
    assert_eq!(judged(&server, &with_status(&server)).await, Outcome::unchanged());
    let patch = format!("PATCH {REQUEST}/status");
    assert_eq!(server.writes(), [patch.clone(), patch, EVENT.to_owned()]);
}

#[tokio::test]
async fn where_the_operator_may_not_write_a_request_is_left_alone_without_an_error() {
    let patch = format!("PATCH {REQUEST}/status");
    let server = Mock::default()
        .holds(REQUEST, &request())
        .refuses(&patch, 403)
        .start(&Hubs::default());
    assert_eq!(judged(&server, &request()).await, Outcome::waiting());
}

#[tokio::test]
async fn a_request_that_was_overtaken_is_judged_again() {
    let hubs = cluster().1;
    let server = Mock::default()
        .refuses(&format!("PATCH {REQUEST}/status"), 409)
        .start(&hubs);
    assert_eq!(judged(&server, &request()).await, Outcome::waiting().again_after(SOON));
}
