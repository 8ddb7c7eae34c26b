//! What really is on the API server, seen by watches that no fault touches: the kubelet's double, the users of a
//! scenario and the judges look here. Every change of a pod is judged at once, so nothing that was so for a moment is
//! missed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use futures::{StreamExt, pin_mut};
use imagefactory_crds::names::{LABEL_BUILD_UID, LABEL_STAGE, LABEL_TENANT, tenant_of_namespace};
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::Value;
use tokio::sync::watch;

/// Every kind that the operator writes, but events: API version, kind, plural, whether in namespaces.
pub const KINDS: [(&str, &str, &str, bool); 14] = [
    ("imagefactory.dev/v1alpha1", "Tenant", "tenants", false),
    ("imagefactory.dev/v1alpha1", "TenantSettings", "tenantsettings", true),
    ("imagefactory.dev/v1alpha1", "Project", "projects", true),
    ("imagefactory.dev/v1alpha1", "Build", "builds", true),
    ("v1", "Namespace", "namespaces", false),
    ("v1", "Pod", "pods", true),
    ("v1", "ConfigMap", "configmaps", true),
    ("v1", "ServiceAccount", "serviceaccounts", true),
    ("v1", "ResourceQuota", "resourcequotas", true),
    ("v1", "LimitRange", "limitranges", true),
    ("batch/v1", "Job", "jobs", true),
    ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", true),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", true),
    ("rbac.authorization.k8s.io/v1", "Role", "roles", true),
];

/// Plural and `<namespace>/<name>`.
pub type Key = (&'static str, String);

/// What there is of one tenant.
#[derive(Default)]
pub struct Seen {
    objects: Mutex<BTreeMap<Key, Arc<Value>>>,
    broken: Mutex<Vec<String>>,
    changed: watch::Sender<u64>,
}

impl Seen {
    /// All objects as they are now.
    pub fn objects(&self) -> BTreeMap<Key, Arc<Value>> {
        lock(&self.objects).clone()
    }

    /// All of a kind.
    pub fn all(&self, plural: &str) -> Vec<Arc<Value>> {
        let objects = lock(&self.objects);
        let of_kind = objects.iter().filter(|((kind, _), _)| *kind == plural);
        of_kind.map(|(_, object)| object.clone()).collect()
    }

    /// One of a kind by its name; a tenant has one namespace, so the name is enough.
    pub fn get(&self, plural: &str, name: &str) -> Option<Arc<Value>> {
        let mut all = self.all(plural).into_iter();
        all.find(|object| object["metadata"]["name"] == name)
    }

    /// Told at every change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// What was seen that must never be, and forgets it.
    pub fn broken(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.broken))
    }

    fn put(&self, key: Key, object: Option<Value>) {
        let mut objects = lock(&self.objects);
        let is_pod = key.0 == "pods";
        match object {
            Some(object) => objects.insert(key, Arc::new(object)),
            None => objects.remove(&key),
        };
        if is_pod {
            lock(&self.broken).extend(judge(&objects));
        }
        drop(objects);
        self.changed.send_modify(|version| *version += 1);
    }
}

/// All tenants.
#[derive(Clone, Default)]
pub struct World(Arc<Mutex<HashMap<String, Arc<Seen>>>>);

impl World {
    /// Watches everything from now on.
    pub fn watch(client: &Client) -> Self {
        let world = Self::default();
        for (version, kind, plural, _) in KINDS {
            let api = Api::<DynamicObject>::all_with(client.clone(), &resource(version, kind, plural));
            tokio::spawn(follow(world.clone(), api, plural));
        }
        world
    }

    /// What there is of a tenant.
    pub fn of(&self, tenant: &str) -> Arc<Seen> {
        lock(&self.0).entry(tenant.to_owned()).or_default().clone()
    }
}

/// The dynamic client's name of a kind.
pub fn resource(version: &str, kind: &str, plural: &str) -> ApiResource {
    let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

async fn follow(world: World, api: Api<DynamicObject>, plural: &'static str) {
    let events = watcher(api, watcher::Config::default()).default_backoff();
    pin_mut!(events);
    while let Some(event) = events.next().await {
        let (mut object, is_there) = match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => (object, true),
            Ok(watcher::Event::Delete(object)) => (object, false),
            Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => continue,
        };
        object.managed_fields_mut().clear();
        let Some(tenant) = tenant_of(&object, plural) else {
            continue;
        };
        let key = (
            plural,
            format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any()),
        );
        let value = is_there.then(|| serde_json::to_value(&object).unwrap());
        world.of(&tenant).put(key, value);
    }
}

fn tenant_of(object: &DynamicObject, plural: &str) -> Option<String> {
    if plural == "tenants" {
        return Some(object.name_any());
    }
    if let Some(tenant) = object.labels().get(LABEL_TENANT) {
        return Some(tenant.clone());
    }
    let namespace = if plural == "namespaces" {
        object.name_any()
    } else {
        object.namespace().unwrap_or_default()
    };
    tenant_of_namespace(&namespace).map(str::to_owned)
}

/// A pod that runs, or may come to.
pub fn is_live(pod: &Value) -> bool {
    !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// What must hold at every moment: one live pod for a stage of a build, and no more builds than the tenant may run.
fn judge(objects: &BTreeMap<Key, Arc<Value>>) -> Vec<String> {
    let mut live = BTreeMap::<(String, String), Vec<String>>::new();
    let mut building = 0;
    for (_, pod) in objects
        .iter()
        .filter(|((kind, _), pod)| *kind == "pods" && is_live(pod))
    {
        let label = |key: &str| pod["metadata"]["labels"][key].as_str().unwrap_or_default().to_owned();
        let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        building += usize::from(label(LABEL_STAGE) == "build");
        live.entry((label(LABEL_BUILD_UID), label(LABEL_STAGE)))
            .or_default()
            .push(name);
    }
    let several = live.into_values().filter(|pods| pods.len() > 1);
    let mut broken: Vec<String> = several
        .map(|pods| format!("live at a time: {}", pods.join(", ")))
        .collect();
    let tenant = objects.iter().find(|((kind, _), _)| *kind == "tenants");
    let cap = tenant.and_then(|(_, tenant)| tenant["spec"]["quota"]["concurrentBuilds"].as_u64());
    if cap.is_some_and(|cap| building as u64 > cap) {
        broken.push(format!("{building} build pods live, more than the tenant may run"));
    }
    broken
}

/// A lock that outlives a panic in another test.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, uid: &str, phase: &str) -> Value {
        let labels = json!({"imagefactory.dev/build-uid": uid, "imagefactory.dev/stage": "build"});
        json!({"metadata": {"name": name, "labels": labels}, "status": {"phase": phase}})
    }

    fn broken(pods: &[Value], cap: u32) -> usize {
        let seen = Seen::default();
        let tenant = json!({"spec": {"quota": {"concurrentBuilds": cap}}});
        seen.put(("tenants", "/t".to_owned()), Some(tenant));
        for (index, pod) in pods.iter().enumerate() {
            seen.put(("pods", format!("n/{index}")), Some(pod.clone()));
        }
        seen.broken().len()
    }

    #[test]
    fn two_live_pods_of_a_build_and_a_cap_that_is_exceeded_are_seen() {
        assert_eq!(broken(&[pod("a-1", "a", "Running"), pod("b-1", "b", "Pending")], 2), 0);
        assert_eq!(broken(&[pod("a-1", "a", "Failed"), pod("a-2", "a", "Pending")], 1), 0);
        assert_eq!(broken(&[pod("a-1", "a", "Running"), pod("a-2", "a", "Pending")], 2), 1);
        assert_eq!(broken(&[pod("a-1", "a", "Running"), pod("b-1", "b", "Pending")], 1), 1);
    }
}
