//! What the caches hold while the webhook is asked, and the same for the operator's own check.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use imagefactory_core::settings::Settings as OperatorSettings;
use imagefactory_crds::entitlement::OnboardingPolicy;
use imagefactory_crds::{Project, Tenant};
use imagefactory_webhook::audit::Recorder;
use imagefactory_webhook::caches::Caches;
use imagefactory_webhook::door::Door;
use imagefactory_webhook::metrics::Metrics;
use imagefactory_webhook::settings::Settings;
use serde_json::{Value, json};

/// A world.
pub struct World {
    /// The webhook's door in it.
    pub door: Door,
    /// Its settings.
    pub settings: Settings,
    /// Its tenant.
    pub tenant: Tenant,
    /// The tenant's only project.
    pub project: Project,
}

/// How many there are.
pub const COUNT: u8 = 8;

/// World of a number; each is made once.
pub fn world(number: u8) -> &'static World {
    static WORLDS: [OnceLock<World>; COUNT as usize] = [const { OnceLock::new() }; COUNT as usize];
    let number = number % COUNT;
    WORLDS[usize::from(number)].get_or_init(|| make(number, None))
}

/// The operator's settings, as the chart renders them with its defaults.
pub fn operator_settings() -> &'static OperatorSettings {
    static SETTINGS: OnceLock<OperatorSettings> = OnceLock::new();
    SETTINGS.get_or_init(|| {
        let text = include_str!("../../../operator/src/config/testdata/config.yaml");
        let mut settings: OperatorSettings = serde_yaml::from_str(text).unwrap();
        settings.onboarding = OnboardingPolicy { build: false };
        settings
    })
}

/// A world in which this object is what is known of its kind; none where it is none of its kind.
#[must_use]
pub fn with(number: u8, object: &Value) -> Option<World> {
    let fits = match object["kind"].as_str()? {
        "Tenant" => serde_json::from_value::<Tenant>(object.clone()).is_ok(),
        "Project" => serde_json::from_value::<Project>(object.clone()).is_ok(),
        _ => false,
    };
    fits.then(|| make(number % COUNT, Some(object)))
}

/// Bit 0: builds are off. Bit 1: suspended. Bit 2: the project is archived, and the namespace is leaving.
fn make(number: u8, known: Option<&Value>) -> World {
    let bit = |bit: u8| number >> bit & 1 == 1;
    let mut tenant = tenant(!bit(0), bit(1));
    let mut project = object("Project", "shop", json!({"archived": bit(2)}));
    match known.and_then(|known| Some((known["kind"].as_str()?, known))) {
        Some(("Tenant", known)) => tenant["spec"] = known["spec"].clone(),
        Some((_, known)) => project["spec"] = known["spec"].clone(),
        None => {}
    }
    let mut namespace = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "tenant-acme", "labels": {"imagefactory.dev/tenant": "acme"}}});
    if bit(2) {
        namespace["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    let caches = Caches::new(Duration::from_secs(1 << 30));
    caches
        .fill(
            &json!({"tenants": [tenant], "projects": [project], "namespaces": [namespace],
            "tenantsettings": [team()], "sorrecords": [record("APP-1", "acme"), record("APP-2", "other")]}),
        )
        .unwrap();
    let settings = settings();
    World {
        door: Door::new(caches, &settings, Recorder::Log, Arc::new(Metrics::default())),
        settings,
        tenant: serde_json::from_value(tenant).unwrap(),
        project: serde_json::from_value(project).unwrap(),
    }
}

fn settings() -> Settings {
    serde_json::from_value(json!({
        "onboarding": {"build": false},
        "persons": {"platformGroups": ["platform"], "securityGroups": ["security"],
            "gitopsAccounts": ["system:serviceaccount:flux-system:kustomize-controller"],
            "ownAccounts": ["system:serviceaccount:image-factory:operator"]},
    }))
    .unwrap()
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    let mut object = json!({"apiVersion": "imagefactory.dev/v1alpha1", "kind": kind, "metadata": {"name": name}});
    if ["Project", "TenantSettings"].contains(&kind) {
        object["metadata"]["namespace"] = json!("tenant-acme");
    }
    object["spec"] = spec;
    object
}

fn tenant(build: bool, suspended: bool) -> Value {
    let spec = json!({
        "owners": [{"kind": "User", "name": "olga"}], "suspended": suspended, "quota": {"projects": 3},
        "capabilities": {"build": build, "quarantineRequest": build, "changeReason": "onboarding"},
    });
    object("Tenant", "acme", spec)
}

fn team() -> Value {
    let user = |name: &str, role: &str| json!({"subject": {"kind": "User", "name": name}, "role": role});
    let spec = json!({
        "members": [user("adam", "Admin"), user("mia", "Member"), user("vic", "Viewer"), user("eve", "stopper"),
            {"subject": {"kind": "Group", "name": "ops"}, "role": "Admin", "projects": ["shop"]}],
        "roles": [{"name": "stopper", "permissions": ["ViewProjects", "CancelBuilds", "ManageTeam"]}],
    });
    object("TenantSettings", "settings", spec)
}

fn record(id: &str, tenant: &str) -> Value {
    let spec =
        json!({"recordId": id, "tenants": [tenant], "product": "Shop", "technology": "Java", "justification": "Ours."});
    object("SorRecord", &id.to_lowercase(), spec)
}
