//! What the controller of TenantSettings asks of the API server.

use imagefactory_core::tenant::objects::{namespace, role_bindings};
use imagefactory_crds::common::{Subject, SubjectKind};
use imagefactory_crds::tenant_settings::Member;
use imagefactory_crds::{Tenant, TenantSettingsSpec, TenantSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::*;
use crate::controllers::tenant::mock::{Mock, Server, hide, now, show};

const OBJECT: &str = "/apis/imagefactory.dev/v1alpha1/namespaces/tenant-acme/tenantsettings/settings";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/tenant-acme/rolebindings";

fn user(name: &str) -> Subject {
    Subject {
        kind: SubjectKind::User,
        name: name.into(),
        namespace: None,
    }
}

fn object() -> TenantSettings {
    let members = vec![Member {
        subject: user("bob"),
        role: "Admin".into(),
        projects: Vec::new(),
    }];
    let mut object = TenantSettings::new(
        "settings",
        TenantSettingsSpec {
            members,
            ..Default::default()
        },
    );
    object.metadata.namespace = Some("tenant-acme".to_owned());
    object
}

fn cluster(with_label: bool) -> (Server, Hubs) {
    let hubs = Hubs::default();
    let mut tenant = Tenant::new(
        "acme",
        TenantSpec {
            owners: vec![user("alice")],
            ..Default::default()
        },
    );
    tenant.metadata.uid = Some("tenant-uid".to_owned());
    let mut namespace = namespace::namespace(&tenant);
    if !with_label {
        namespace.metadata.labels = None;
    }
    show(&hubs.namespaces, namespace);
    show(&hubs.tenants, tenant);
    (Mock::default().holds(OBJECT, &object()).start(&hubs), hubs)
}

#[tokio::test]
async fn a_member_is_bound_and_a_binding_that_nobody_holds_is_deleted() {
    let (server, hubs) = cluster(true);
    let settings = &server.context.settings;
    let subjects = vec![k8s_openapi::api::rbac::v1::Subject::default()];
    let viewer = role_bindings::member("acme", settings, role_bindings::MemberRole::Viewer, subjects).unwrap();
    show(&hubs.role_bindings, viewer);
    show(&hubs.role_bindings, role_bindings::operator("acme", settings));
    reconcile(Arc::new(object()), server.context.clone()).await.unwrap();
    assert_eq!(
        server.writes(),
        [
            format!("PATCH {BINDINGS}/imagefactory-admin"),
            format!("DELETE {BINDINGS}/imagefactory-viewer"),
            format!("PATCH {OBJECT}/status"),
        ]
    );
    let status = server.status();
    assert_eq!(status["conditions"][0]["status"], "True");
    assert_eq!(status["membersByRole"][1], json!({"role": "Admin", "count": 1}));
    assert_eq!(status["capabilities"][0]["name"], "build");
}

#[tokio::test]
async fn in_a_strangers_namespace_nobody_is_bound() {
    let (server, _hubs) = cluster(false);
    reconcile(Arc::new(object()), server.context.clone()).await.unwrap();
    let expected = [
        format!("PATCH {OBJECT}/status"),
        "POST /apis/events.k8s.io/v1/namespaces/tenant-acme/events".to_owned(),
    ];
    assert_eq!(server.writes(), expected);
    assert_eq!(server.status()["conditions"][0]["reason"], "NotATenantNamespace");
}

/// Admission confines the operator to namespaces of tenants.
#[tokio::test]
async fn where_the_operator_may_not_write_settings_are_left_alone_without_an_error() {
    let hubs = Hubs::default();
    let server = Mock::default()
        .refuses(&format!("PATCH {OBJECT}/status"), 403)
        .start(&hubs);
    assert_eq!(
        reconcile(Arc::new(object()), server.context.clone()).await.unwrap(),
        Outcome::waiting()
    );
}

#[tokio::test]
async fn in_a_namespace_that_goes_away_nothing_is_bound_again() {
    let (server, hubs) = cluster(true);
    let mut namespace = (*hubs.namespaces.store().state()[0]).clone();
    namespace.metadata.deletion_timestamp = Some(Time(now()));
    show(&hubs.namespaces, namespace);
    reconcile(Arc::new(object()), server.context.clone()).await.unwrap();
    assert_eq!(server.requests(), [] as [&str; 0]);
}

/// A Tenant has no finalizer: it is gone before its namespace begins to go.
#[tokio::test]
async fn when_the_tenant_is_gone_its_settings_say_nothing_more() {
    let (server, hubs) = cluster(true);
    let tenant = (*hubs.tenants.store().state()[0]).clone();
    hide(&hubs.tenants, tenant);
    reconcile(Arc::new(object()), server.context.clone()).await.unwrap();
    assert_eq!(server.requests(), [] as [&str; 0]);
}

#[tokio::test]
async fn settings_that_were_overtaken_are_looked_at_again() {
    let hubs = Hubs::default();
    let server = Mock::default()
        .refuses(&format!("PATCH {OBJECT}/status"), 409)
        .start(&hubs);
    let outcome = reconcile(Arc::new(object()), server.context.clone()).await.unwrap();
    assert_eq!(
        outcome,
        Outcome::unchanged().again_after(std::time::Duration::from_secs(1))
    );
}
