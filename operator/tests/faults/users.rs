//! Those who write what a scenario asks for, by a client that no fault touches.

use std::time::Duration;

use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::Value;
use tokio::time::timeout;

use crate::scenario::{Do, Scenario};
use crate::world::{KINDS, Seen, resource};

/// How often it is looked whether it is time.
pub const LOOK: Duration = Duration::from_millis(10);
/// Longest that taking away may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Does what is done beforehand.
pub async fn prepare(client: &Client, tenant: &str, seen: &Seen, scenario: &Scenario) {
    for what in &scenario.before {
        act(client, tenant, seen, what).await;
    }
}

/// Does what happens meanwhile, each as soon as it is time.
pub async fn run(client: &Client, tenant: &str, seen: &Seen, scenario: &Scenario) {
    for (when, what) in &scenario.steps {
        while !when.holds(seen, tenant) {
            tokio::time::sleep(LOOK).await;
        }
        act(client, tenant, seen, what).await;
    }
}

/// Does it, and waits until it is seen: whoever looks from now on does not see what was before.
async fn act(client: &Client, tenant: &str, seen: &Seen, what: &Do) {
    let at = |object: &Value| {
        object["metadata"]["resourceVersion"]
            .as_str()
            .and_then(|text| text.parse::<u64>().ok())
    };
    match what {
        Do::Create(kind, object) => {
            let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
            let name = object.metadata.name.clone().unwrap();
            let made = api(client, tenant, kind).create(&PostParams::default(), &object).await;
            let made = serde_json::to_value(made.unwrap_or_else(|error| panic!("{name}: {error}"))).unwrap();
            until(|| seen.get(kind, &name).is_some_and(|found| at(&found) >= at(&made))).await;
        }
        Do::Merge(kind, name, patch) => {
            let name = name.replace("TENANT", tenant);
            let patch = Patch::Merge(patch);
            let made = api(client, tenant, kind)
                .patch(&name, &PatchParams::default(), &patch)
                .await;
            let made = serde_json::to_value(made.unwrap_or_else(|error| panic!("{name}: {error}"))).unwrap();
            until(|| seen.get(kind, &name).is_none_or(|found| at(&found) >= at(&made))).await;
        }
        Do::Delete(kind, name) => {
            let name = name.replace("TENANT", tenant);
            let uid = seen.get(kind, &name).map(|object| object["metadata"]["uid"].clone());
            let deleted = api(client, tenant, kind).delete(&name, &DeleteParams::default()).await;
            deleted.unwrap_or_else(|error| panic!("{kind} {name}: {error}"));
            until(|| {
                let found = seen.get(kind, &name);
                found.is_none_or(|found| {
                    Some(&found["metadata"]["uid"]) != uid.as_ref() || !found["metadata"]["deletionTimestamp"].is_null()
                })
            })
            .await;
        }
    }
}

/// Takes away what a scenario made in a tenant that others use after it. Says whether all is gone.
pub async fn clean(client: &Client, seen: &Seen) -> bool {
    // In the background: jobs would leave a finalizer for a collector that does not run.
    let at_once = DeleteParams::background().grace_period(0);
    for kind in ["builds", "projects", "jobs", "pods"] {
        for object in seen.all(kind) {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let (version, kind_name, plural, _) = KINDS.into_iter().find(|(_, _, plural, _)| *plural == kind).unwrap();
            let api =
                Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource(version, kind_name, plural));
            // It may be gone already.
            let _ = api.delete(name, &at_once).await;
        }
        if timeout(PATIENCE, until(|| seen.all(kind).is_empty())).await.is_err() {
            return false;
        }
    }
    true
}

fn api(client: &Client, tenant: &str, kind: &str) -> Api<DynamicObject> {
    let (version, name, plural, in_namespace) = KINDS.into_iter().find(|(_, _, plural, _)| *plural == kind).unwrap();
    let resource = resource(version, name, plural);
    if in_namespace {
        let namespace = imagefactory_crds::names::tenant_namespace(tenant);
        Api::namespaced_with(client.clone(), &namespace, &resource)
    } else {
        Api::all_with(client.clone(), &resource)
    }
}

async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(LOOK).await;
    }
}
