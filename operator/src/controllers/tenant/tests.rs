//! What the tenant controller asks of the API server, in which order, and what it makes of the answers.

use imagefactory_core::tenant::objects::{
    ca_config_map, limit_range, namespace, network_policies, resource_quota, role_bindings, service_account,
    settings as settings_object,
};
use imagefactory_core::tenant::subjects::{Rules, admit};
use imagefactory_crds::Tenant;
use imagefactory_crds::common::{Subject, SubjectKind};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::mock::{Mock, Server, now, show};
use super::*;
use crate::runner::ErrorCategory;

const TENANT: &str = "/apis/imagefactory.dev/v1alpha1/tenants/acme";
const NAMESPACE: &str = "/api/v1/namespaces/tenant-acme";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/tenant-acme/rolebindings";
const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/tenant-acme/networkpolicies";
const SETTINGS: &str = "/apis/imagefactory.dev/v1alpha1/namespaces/tenant-acme/tenantsettings";

fn tenant() -> Tenant {
    let owner = Subject {
        kind: SubjectKind::User,
        name: "alice".into(),
        namespace: None,
    };
    let mut tenant = Tenant::new(
        "acme",
        imagefactory_crds::TenantSpec {
            owners: vec![owner],
            ..Default::default()
        },
    );
    tenant.metadata.uid = Some("tenant-uid".to_owned());
    tenant.metadata.generation = Some(1);
    tenant.metadata.finalizers = Some(vec!["imagefactory.dev/tenant".to_owned()]);
    tenant
}

fn namespace_of(tenant: &Tenant) -> Namespace {
    let mut namespace = namespace::namespace(tenant);
    namespace.metadata.uid = Some("namespace-uid".to_owned());
    namespace
}

/// A cluster where all is in place, with the operator's rights from `since`.
fn in_place(since: Timestamp) -> (Mock, Hubs) {
    let (tenant, hubs) = (tenant(), Hubs::default());
    let probe = Mock::default().start(&hubs);
    let settings = &probe.context.settings;
    let mut operator = role_bindings::operator("acme", settings);
    operator.metadata.creation_timestamp = Some(Time(since));
    show(&hubs.namespaces, namespace_of(&tenant));
    show(&hubs.role_bindings, operator);
    show(&hubs.role_bindings, role_bindings::credentials("acme", settings));
    let owners = admit(tenant.spec.owners.iter(), &Rules::of(&tenant)).allowed;
    show(
        &hubs.role_bindings,
        role_bindings::owner("acme", settings, owners).unwrap(),
    );
    show(&hubs.tenant_settings, settings_object::tenant_settings("acme"));
    let of = &settings.tenants;
    let quota = resource_quota::resource_quota("acme", None, &of.default_quota).unwrap();
    let mock = Mock::default()
        .holds(TENANT, &tenant)
        .holds(&format!("{NAMESPACE}/resourcequotas/imagefactory-quota"), &quota)
        .holds(
            &format!("{NAMESPACE}/limitranges/imagefactory-limits"),
            &limit_range::limit_range("acme", of).unwrap(),
        )
        .holds(
            &format!("{POLICIES}/imagefactory-deny-ingress"),
            &network_policies::deny_ingress("acme"),
        )
        .holds(
            &format!("{POLICIES}/imagefactory-egress"),
            &network_policies::egress("acme", &of.egress),
        )
        .holds(
            &format!("{NAMESPACE}/serviceaccounts/imagefactory-build"),
            &service_account::service_account("acme"),
        )
        .holds(
            &format!("{NAMESPACE}/configmaps/imagefactory-ca"),
            &ca_config_map::ca_config_map("acme", settings.ca_bundle.as_deref()).unwrap(),
        );
    (mock, hubs)
}

fn long_ago() -> Timestamp {
    now() - SignedDuration::from_hours(1)
}

async fn run_once(server: &Server) -> Result<Outcome, TenantError> {
    reconcile(Arc::new(tenant()), server.context.clone()).await
}

fn ready(server: &Server) -> (String, String) {
    let status = server.status();
    let condition = &status["conditions"][0];
    (
        condition["status"].as_str().unwrap().to_owned(),
        condition["reason"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test]
async fn a_new_tenant_gets_its_namespace_and_the_operators_rights_first() {
    let server = Mock::default().holds(TENANT, &tenant()).start(&Hubs::default());
    let outcome = run_once(&server).await.unwrap();
    assert_eq!(
        server.requests(),
        [
            format!("GET {NAMESPACE}"),
            "POST /api/v1/namespaces".to_owned(),
            format!("PATCH {BINDINGS}/imagefactory-operator"),
            format!("POST {SETTINGS}"),
            format!("PATCH {TENANT}/status"),
        ]
    );
    assert_eq!(
        outcome,
        Outcome::changed().again_after(std::time::Duration::from_millis(300))
    );
    assert_eq!(ready(&server), ("Unknown".to_owned(), "Preparing".to_owned()));
}

#[tokio::test]
async fn a_strangers_namespace_is_not_touched_and_the_tenant_says_so() {
    let mut stranger = namespace_of(&tenant());
    stranger.metadata.labels = None;
    let server = Mock::default()
        .holds(TENANT, &tenant())
        .holds(NAMESPACE, &stranger)
        .start(&Hubs::default());
    run_once(&server).await.unwrap();
    assert_eq!(
        server.writes(),
        [
            format!("PATCH {TENANT}/status"),
            "POST /apis/events.k8s.io/v1/namespaces/default/events".to_owned()
        ]
    );
    assert_eq!(ready(&server), ("False".to_owned(), "NamespaceNotOurs".to_owned()));
}

#[tokio::test]
async fn a_namespace_that_appears_meanwhile_ends_the_pass() {
    let server = Mock::default()
        .refuses("POST /api/v1/namespaces", 409)
        .start(&Hubs::default());
    let outcome = run_once(&server).await.unwrap();
    assert_eq!(server.writes(), ["POST /api/v1/namespaces"]);
    assert_eq!(
        outcome,
        Outcome::waiting().again_after(std::time::Duration::from_secs(1))
    );
}

#[tokio::test]
async fn rights_that_the_api_server_does_not_know_yet_are_waited_for() {
    let request = format!("GET {NAMESPACE}/configmaps/imagefactory-ca");
    let (fresh, hubs) = in_place(now());
    let server = fresh.refuses(&request, 403).start(&hubs);
    let outcome = run_once(&server).await.unwrap();
    assert_eq!(
        outcome,
        Outcome::waiting().again_after(std::time::Duration::from_millis(300))
    );
    assert_eq!(server.writes(), [] as [&str; 0]);

    let (old, hubs) = in_place(long_ago());
    let server = old.refuses(&request, 403).start(&hubs);
    assert_eq!(run_once(&server).await.unwrap_err().category(), "ObserveFailed");
}

#[tokio::test]
async fn where_all_is_in_place_there_are_six_reads_and_only_the_first_status() {
    let (mock, hubs) = in_place(long_ago());
    let server = mock.start(&hubs);
    run_once(&server).await.unwrap();
    assert_eq!(server.requests().len(), 7);
    assert_eq!(server.writes(), [format!("PATCH {TENANT}/status")]);
    assert_eq!(ready(&server), ("True".to_owned(), "Active".to_owned()));

    let mut settled = tenant();
    settled.status = serde_json::from_value(server.status()).unwrap();
    reconcile(Arc::new(settled), server.context.clone()).await.unwrap();
    assert_eq!(server.requests().len(), 13, "six more reads");
    assert_eq!(server.writes().len(), 1, "and no write");
}

#[tokio::test]
async fn what_is_gone_is_made_again() {
    let (mock, hubs) = in_place(long_ago());
    let path = format!("{POLICIES}/imagefactory-egress");
    let server = mock.refuses(&format!("GET {path}"), 404).start(&hubs);
    run_once(&server).await.unwrap();
    assert_eq!(
        server.writes(),
        [format!("PATCH {path}"), format!("PATCH {TENANT}/status")]
    );
}

#[tokio::test]
async fn a_failure_to_act_stands_in_the_status_and_is_tried_again() {
    let (mock, hubs) = in_place(long_ago());
    let path = format!("{POLICIES}/imagefactory-egress");
    let server = mock
        .refuses(&format!("GET {path}"), 404)
        .refuses(&format!("PATCH {path}"), 403)
        .start(&hubs);
    assert_eq!(run_once(&server).await.unwrap_err().category(), "Forbidden");
    assert_eq!(ready(&server), ("False".to_owned(), "Forbidden".to_owned()));
    assert_eq!(server.writes().len(), 2, "no event: the runner writes it");
}

#[tokio::test]
async fn a_binding_of_another_role_that_no_watch_showed_gives_way() {
    let hubs = Hubs::default();
    show(&hubs.namespaces, namespace_of(&tenant()));
    let path = format!("{BINDINGS}/imagefactory-operator");
    let probe = Mock::default().start(&hubs);
    let mut other = role_bindings::operator("acme", &probe.context.settings);
    other.metadata.labels = None;
    other.role_ref.name = "cluster-admin".to_owned();
    let mock = Mock::default().holds(TENANT, &tenant()).holds(&path, &other);
    let server = mock.refuses(&format!("PATCH {path}"), 422).start(&hubs);
    run_once(&server).await.unwrap();
    assert_eq!(
        server.writes(),
        [
            format!("PATCH {path}"),
            format!("DELETE {path}"),
            format!("PATCH {path}"),
            format!("POST {SETTINGS}"),
            format!("PATCH {TENANT}/status"),
        ]
    );
}

#[tokio::test]
async fn our_finalizer_comes_first_and_alone() {
    let server = Mock::default().holds(TENANT, &tenant()).start(&Hubs::default());
    let mut new = tenant();
    new.metadata.finalizers = None;
    let outcome = reconcile(Arc::new(new), server.context.clone()).await.unwrap();
    assert_eq!(server.requests(), [format!("PATCH {TENANT}")]);
    assert_eq!(
        outcome,
        Outcome::changed().again_after(std::time::Duration::from_secs(5))
    );
    let body = server.bodies().remove(0);
    let metadata = serde_json::json!({"name": "acme", "uid": "tenant-uid", "finalizers": ["imagefactory.dev/tenant"]});
    assert_eq!(body["metadata"], metadata);
    assert!(body.get("spec").is_none() && body.get("status").is_none(), "{body}");
}

#[tokio::test]
async fn a_tenant_that_is_being_deleted_and_that_we_do_not_hold_costs_nothing() {
    let server = Mock::default().start(&Hubs::default());
    let mut tenant = tenant();
    tenant.metadata.finalizers = None;
    tenant.metadata.deletion_timestamp = Some(Time(now()));
    assert_eq!(
        reconcile(Arc::new(tenant), server.context.clone()).await.unwrap(),
        Outcome::unchanged()
    );
    assert_eq!(server.requests(), [] as [&str; 0]);
}
