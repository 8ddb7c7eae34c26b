//! What the usage controller writes, and how often.

use std::sync::Mutex;

use imagefactory_core::tenant::objects::settings as settings_object;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::controllers::tenant::mock::{Mock, Server, now, show};

const TENANT: &str = "/apis/imagefactory.dev/v1alpha1/tenants/acme";
const SETTINGS: &str = "/apis/imagefactory.dev/v1alpha1/namespaces/tenant-acme/tenantsettings/settings";

/// The clock of these tests: it goes on when it is told to.
static CLOCK: Mutex<i64> = Mutex::new(0);

fn clock() -> Timestamp {
    now() + SignedDuration::from_secs(*CLOCK.lock().unwrap())
}

fn tenant(status: &Value) -> Tenant {
    serde_json::from_value(json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Tenant",
        "metadata": {"name": "acme", "uid": "tenant-uid", "resourceVersion": "7"},
        "spec": {"owners": [{"kind": "User", "name": "alice"}]}, "status": status,
    }))
    .unwrap()
}

fn build(name: &str, namespace: &str) -> Build {
    serde_json::from_value(json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build",
        "metadata": {"name": name, "namespace": namespace, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"projectRef": {"name": "web"}},
    }))
    .unwrap()
}

fn cluster() -> (Server, Hubs) {
    let hubs = Hubs::default();
    for (name, namespace) in [("a", "tenant-acme"), ("b", "tenant-acme"), ("c", "tenant-other")] {
        show(&hubs.builds, build(name, namespace));
    }
    let mut settings = settings_object::tenant_settings("acme");
    settings.status = Some(TenantSettingsStatus {
        observed_generation: 1,
        ..TenantSettingsStatus::default()
    });
    show(&hubs.tenant_settings, settings.clone());
    let seen = tenant(&json!({"observedGeneration": 1}));
    let mut server = Mock::default()
        .holds(TENANT, &seen)
        .holds(SETTINGS, &settings)
        .start(&hubs);
    let mut context = (*server.context).clone();
    context.clock = clock;
    server.context = Arc::new(context);
    (server, hubs)
}

#[tokio::test]
async fn both_statuses_tell_the_tenants_own_numbers_once_in_ten_seconds_and_only_when_they_differ() {
    let (server, hubs) = cluster();
    let ledger = Arc::new(Ledger::default());
    let seen = Arc::new(tenant(&json!({"observedGeneration": 1, "namespace": "tenant-acme"})));
    let look = async |tenant: &Arc<Tenant>| {
        reconcile(tenant.clone(), server.context.clone(), ledger.clone())
            .await
            .unwrap()
    };
    assert_eq!(
        look(&seen).await,
        Outcome::waiting().again_after(SOON),
        "the queue is not open"
    );
    server.context.dispatcher.open_empty();
    assert_eq!(look(&seen).await, Outcome::changed());
    assert_eq!(
        server.requests(),
        [format!("PATCH {TENANT}/status"), format!("PATCH {SETTINGS}/status")]
    );
    let told = &server.bodies()[0]["status"];
    assert_eq!(
        told["usage"]["builds"],
        json!({"total": 2, "queued": 2, "running": 0, "succeeded": 0, "failed": 0})
    );
    assert_eq!(
        (&told["namespace"], &told["usage"]["members"]),
        (&json!("tenant-acme"), &json!(1))
    );
    assert_eq!(server.bodies()[1]["status"]["usage"], told["usage"]);

    show(&hubs.builds, build("d", "tenant-acme"));
    *CLOCK.lock().unwrap() = 4;
    assert_eq!(
        look(&seen).await,
        Outcome::unchanged().again_after(Duration::from_secs(6))
    );
    assert_eq!(server.requests().len(), 2, "too early");
    *CLOCK.lock().unwrap() = 10;
    let before = Arc::new(tenant(told));
    assert_eq!(look(&before).await, Outcome::changed());
    let now = server.bodies()[2]["status"].clone();
    assert_eq!(now["usage"]["builds"]["total"], 3);

    *CLOCK.lock().unwrap() = 20;
    let mut settings = (*hubs.tenant_settings.store().state()[0]).clone();
    settings.status = serde_json::from_value(server.bodies()[3]["status"].clone()).unwrap();
    show(&hubs.tenant_settings, settings);
    assert_eq!(look(&Arc::new(tenant(&now))).await, Outcome::unchanged());
    assert_eq!(server.requests().len(), 4, "nothing has changed");
}

#[tokio::test]
async fn a_tenant_that_was_not_seen_yet_is_told_nothing_and_looked_at_again() {
    let (server, _hubs) = cluster();
    server.context.dispatcher.open_empty();
    let outcome = reconcile(Arc::new(tenant(&Value::Null)), server.context.clone(), Arc::default())
        .await
        .unwrap();
    assert_eq!(outcome, Outcome::changed().again_after(Duration::from_secs(10)));
    assert_eq!(server.requests(), [format!("PATCH {SETTINGS}/status")]);
}
