//! A Tenant of a test's own.

use imagefactory_crds::{Project, Tenant, conditions, names};
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Pod, Secret};
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::api::{ListParams, LogParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cluster::{Cluster, unique};
use crate::dump;
use crate::kubectl::Answer;
use crate::wait::until;

/// Field manager of what tests apply.
pub const MANAGER: &str = "imagefactory-tests";
/// The Project that a [`TestTenant`] begins with.
pub const PROJECT: &str = "app";

/// A Tenant with a Project. It goes with the test; where the test fails, it first tells all that it knows.
pub struct TestTenant {
    /// The cluster it lies in.
    pub cluster: Cluster,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

impl TestTenant {
    /// A tenant that may build, Ready, with the Project [`PROJECT`].
    pub async fn create(purpose: &str) -> Self {
        Self::create_with(purpose, json!({})).await
    }

    /// The same, where `spec` adds to or replaces fields of the Tenant's spec.
    pub async fn create_with(purpose: &str, spec: Value) -> Self {
        let tenant = Self::announce(purpose, spec).await;
        tenant.until_ready().await;
        tenant.project(PROJECT, json!({})).await;
        tenant
    }

    /// The same, without waiting for it and without a Project.
    pub async fn announce(purpose: &str, spec: Value) -> Self {
        let cluster = Cluster::connect().await;
        let name = unique(purpose);
        let mut whole = json!({
            "owners": [{"kind": "User", "name": owner_of(&name)}],
            "capabilities": {"build": true, "changeReason": "a test"},
        });
        merge(&mut whole, spec);
        let tenant = Self {
            namespace: names::tenant_namespace(&name),
            name,
            cluster,
        };
        // Confirmed from the beginning: it goes with the test.
        let confirmed = json!({names::ANNOTATION_CONFIRM: tenant.name});
        let object = json!({"metadata": {"name": tenant.name, "annotations": confirmed}, "spec": whole});
        let api = Api::<Tenant>::all(tenant.client());
        let object: Tenant = typed(object);
        until("the door answers", 10, async || {
            match api.create(&PostParams::default(), &object).await {
                Ok(_) => Some(()),
                // A machine that is full may not answer within the three seconds that the door has; it stays shut then.
                Err(kube::Error::Api(status)) if status.code == 500 => None,
                Err(error) => panic!("creating the Tenant: {error}"),
            }
        })
        .await;
        tenant
    }

    /// Waits until the Tenant is Ready.
    pub async fn until_ready(&self) {
        until(&format!("Tenant {} is Ready", self.name), 60, async || {
            let status = self.read().await.status?;
            conditions::is_true(&status.conditions, conditions::READY).then_some(())
        })
        .await;
    }

    /// An administrator's client.
    #[must_use]
    pub fn client(&self) -> Client {
        self.cluster.client.clone()
    }

    /// A kind in the tenant's namespace.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client(), &self.namespace)
    }

    /// The Tenant as it stands.
    ///
    /// # Panics
    /// Where it is not there.
    pub async fn read(&self) -> Tenant {
        Api::<Tenant>::all(self.client())
            .get(&self.name)
            .await
            .expect("reading the Tenant")
    }

    /// The namespace as it stands.
    pub async fn read_namespace(&self) -> Option<Namespace> {
        Api::<Namespace>::all(self.client())
            .get_opt(&self.namespace)
            .await
            .expect("reading the namespace")
    }

    /// Changes the Tenant by a merge patch.
    ///
    /// # Panics
    /// Where it is refused.
    pub async fn patch(&self, change: Value) -> Tenant {
        let api = Api::<Tenant>::all(self.client());
        api.patch(&self.name, &PatchParams::default(), &Patch::Merge(&change))
            .await
            .expect("changing the Tenant")
    }

    /// Has kubectl change the TenantSettings by a merge patch. Who is taken out of the members by it is confirmed.
    #[must_use]
    pub fn patch_settings(&self, spec: &Value) -> Answer {
        let mut change = json!({"spec": spec});
        let gone = self.members_beside(spec);
        if !gone.is_empty() {
            // A name counts only in the update that adds it.
            let _ = self.change_settings(&json!({"metadata": {"annotations": {names::ANNOTATION_CONFIRM: null}}}));
            change["metadata"] = json!({"annotations": {names::ANNOTATION_CONFIRM: gone.join(",")}});
        }
        self.change_settings(&change)
    }

    fn change_settings(&self, change: &Value) -> Answer {
        let change = change.to_string();
        let name = [names::TENANT_SETTINGS, "-n", &self.namespace];
        let patch = [&["patch", "tset"], &name[..], &["--type=merge", "-p", &change]].concat();
        self.cluster.kubectl().run(&patch)
    }

    /// Members as they are whom a change of the spec does not name.
    fn members_beside(&self, spec: &Value) -> Vec<String> {
        let Some(after) = spec["members"].as_array() else {
            return Vec::new();
        };
        let get = [
            "get",
            "tset",
            names::TENANT_SETTINGS,
            "-n",
            &self.namespace,
            "-o",
            "json",
        ];
        let now: Value = serde_json::from_str(&self.cluster.kubectl().run(&get).stdout).unwrap_or_default();
        let before = now["spec"]["members"].as_array().into_iter().flatten();
        let gone = before.filter(|member| !after.iter().any(|other| other["subject"] == member["subject"]));
        let names = gone.filter_map(|member| member["subject"]["name"].as_str());
        names.map(str::to_owned).collect()
    }

    /// Makes a Project.
    ///
    /// # Panics
    /// Where it is refused.
    pub async fn project(&self, name: &str, spec: Value) -> Project {
        self.make(json!({"metadata": {"name": name}, "spec": spec})).await
    }

    /// Makes an object in the tenant's namespace.
    ///
    /// # Panics
    /// Where it is refused, or is not of that kind.
    pub async fn make<K>(&self, object: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Serialize
            + DeserializeOwned
            + Clone
            + std::fmt::Debug,
    {
        self.api::<K>()
            .create(&PostParams::default(), &typed(object))
            .await
            .expect("creating an object")
    }

    /// Makes a Secret of that type.
    pub async fn secret(&self, name: &str, type_: &str, data: Value) -> Secret {
        self.make(json!({"metadata": {"name": name}, "type": type_, "stringData": data}))
            .await
    }

    /// Makes a Secret to pull from or push to a registry with.
    pub async fn registry_secret(&self, name: &str, host: &str, user: &str, password: &str) -> Secret {
        let config = json!({"auths": {host: {"username": user, "password": password}}}).to_string();
        self.secret(
            name,
            "kubernetes.io/dockerconfigjson",
            json!({".dockerconfigjson": config}),
        )
        .await
    }

    /// Makes a ConfigMap.
    pub async fn config_map(&self, name: &str, data: Value) -> ConfigMap {
        self.make(json!({"metadata": {"name": name}, "data": data})).await
    }

    /// Pods in the tenant's namespace.
    pub async fn pods(&self) -> Vec<Pod> {
        self.api::<Pod>()
            .list(&ListParams::default())
            .await
            .expect("listing pods")
            .items
    }

    /// Events in the tenant's namespace that are about the object of that name.
    pub async fn events_about(&self, name: &str) -> Vec<Event> {
        let selector = ListParams::default().fields(&format!("involvedObject.name={name}"));
        self.api::<Event>().list(&selector).await.expect("listing events").items
    }

    /// The log of a container.
    pub async fn log(&self, pod: &str, container: &str) -> String {
        let which = LogParams {
            container: Some(container.to_owned()),
            ..LogParams::default()
        };
        self.api::<Pod>()
            .logs(pod, &which)
            .await
            .unwrap_or_else(|error| format!("no log: {error}"))
    }
}

impl Drop for TestTenant {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tell(&dump::of_tenant(&self.cluster, &self.name, &self.namespace));
        }
        take_away(&self.cluster, &self.name);
    }
}

/// Deletes a Tenant with its builds: it is refused while its status says that builds run, which may be ten seconds old.
pub fn take_away(cluster: &Cluster, tenant: &str) {
    let kubectl = cluster.kubectl();
    let namespace = names::tenant_namespace(tenant);
    let _ = kubectl.run(&["delete", "builds", "--all", "-n", &namespace, "--wait=false"]);
    let confirmed = format!("{}={tenant}", names::ANNOTATION_CONFIRM);
    let _ = kubectl.run(&["annotate", "--overwrite", "tenant", tenant, &confirmed]);
    for _ in 0..20 {
        let answer = kubectl.run(&["delete", "tenant", tenant, "--wait=false", "--ignore-not-found"]);
        if answer.ok || !answer.stderr.contains("builds run in this tenant") {
            return;
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

#[allow(
    clippy::print_stderr,
    reason = "what a failed test tells goes where the test's own failure goes"
)]
fn tell(text: &str) {
    eprintln!("{text}");
}

/// The owner that a [`TestTenant`] has.
#[must_use]
pub fn owner_of(tenant: &str) -> String {
    format!("owner-of-{tenant}")
}

/// A policy or another object without a namespace, gone with the test.
pub struct ClusterObject {
    cluster: Cluster,
    resource: &'static str,
    /// Its name.
    pub name: String,
}

impl ClusterObject {
    /// Makes the object; `resource` is its kind for kubectl.
    ///
    /// # Panics
    /// Where it is refused.
    pub async fn create<K>(cluster: &Cluster, resource: &'static str, object: Value) -> Self
    where
        K: Resource<Scope = ClusterResourceScope, DynamicType = ()>
            + Serialize
            + DeserializeOwned
            + Clone
            + std::fmt::Debug,
    {
        let object: K = typed(object);
        let api = Api::<K>::all(cluster.client.clone());
        let made = api
            .create(&PostParams::default(), &object)
            .await
            .expect("creating an object");
        Self {
            cluster: cluster.clone(),
            resource,
            name: made.meta().name.clone().unwrap_or_default(),
        }
    }
}

impl Drop for ClusterObject {
    fn drop(&mut self) {
        if self.resource == "tenant" {
            return take_away(&self.cluster, &self.name);
        }
        let arguments = [
            "delete",
            self.resource,
            &self.name,
            "--wait=false",
            "--ignore-not-found",
        ];
        let _ = self.cluster.kubectl().run(&arguments);
    }
}

/// An object of that kind from JSON.
///
/// # Panics
/// Where it is none.
#[must_use]
pub fn typed<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).expect("the object is of its kind")
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}
