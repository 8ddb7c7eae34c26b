//! What lies on the API server before anything is measured: kinds, namespaces, a policy, tenants with a project each.

use std::path::Path;
use std::time::Duration;

use imagefactory_core::settings::Settings;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use imagefactory_crds::names::tenant_namespace;
use imagefactory_crds::{ImagePolicy, Project, Tenant};

use crate::error::{BenchError, Result, Trying};

/// The project of every tenant.
pub const PROJECT: &str = "web";
const PATIENCE: Duration = Duration::from_secs(120);

/// A tenant that takes part.
#[derive(Clone, Copy, Debug)]
pub struct Team {
    /// Its name.
    pub name: &'static str,
    /// Builds that may run at a time.
    pub concurrent: u32,
}

/// Kinds, the factory's namespaces, and a policy that everything passes.
///
/// # Errors
/// When the API server refuses something.
pub async fn platform(client: &Client, crds: &Path, settings: &Settings) -> Result<()> {
    kinds(client, crds).await?;
    for name in [&settings.release_namespace, &settings.work_namespace] {
        create(
            &Api::<Namespace>::all(client.clone()),
            &named(json!({"metadata": {"name": name}}))?,
        )
        .await?;
    }
    let policy: ImagePolicy = named(json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "ImagePolicy",
        "metadata": {"name": settings.default_policy.as_deref().unwrap_or("default")}, "spec": {},
    }))?;
    create(&Api::all(client.clone()), &policy).await?;
    service_account(client, &settings.work_namespace, "default").await
}

/// The kinds that lie in a folder, each in a file of its own; served when this returns. Who would convert objects from one
/// version into another is not asked: third parties' programs for that don't run here, and all is written in the stored version.
///
/// # Errors
/// When a file can't be read, or the API server refuses something.
pub async fn kinds(client: &Client, crds: &Path) -> Result<()> {
    let entries = std::fs::read_dir(crds).trying(format!("could not read {}", crds.display()))?;
    for entry in entries {
        let path = entry.trying("could not read a directory")?.path();
        let text = std::fs::read_to_string(&path).trying(format!("could not read {}", path.display()))?;
        let mut crd: CustomResourceDefinition =
            serde_yaml::from_str(&text).map_err(|source| BenchError::Yaml { path, source })?;
        crd.spec.conversion = None;
        create(&Api::all(client.clone()), &crd).await?;
        established(client, &crd.name_any()).await?;
    }
    Ok(())
}

/// Tenants, and once the operator has made their namespaces, a project in each.
///
/// # Errors
/// When the API server refuses something, or the operator does not make a namespace.
pub async fn teams(client: &Client, teams: &[Team]) -> Result<()> {
    for team in teams {
        let tenant: Tenant = named(json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Tenant",
            "metadata": {"name": team.name},
            "spec": {
                "owners": [{"kind": "User", "name": "olga@example.com"}],
                "capabilities": {"build": true, "changeReason": "Measurement of the factory"},
                "quota": {
                    "cpu": "1000000", "memory": "10000Ti", "ephemeralStorage": "100000Ti",
                    "pods": 10_000, "concurrentBuilds": team.concurrent,
                },
            },
        }))?;
        create(&Api::all(client.clone()), &tenant).await?;
    }
    for team in teams {
        let namespace = tenant_namespace(team.name);
        service_account(client, &namespace, "imagefactory-build").await?;
        let project: Project = named(json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Project",
            "metadata": {"name": PROJECT, "namespace": namespace}, "spec": {},
        }))?;
        create(&Api::namespaced(client.clone(), &namespace), &project).await?;
    }
    Ok(())
}

fn named<K: DeserializeOwned>(value: Value) -> Result<K> {
    serde_json::from_value(value).trying("an object of the measurement")
}

async fn create<K>(api: &Api<K>, object: &K) -> Result<()>
where
    K: kube::Resource + Clone + DeserializeOwned + serde::Serialize + std::fmt::Debug,
{
    let name = object.name_any();
    match api.create(&PostParams::default(), object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(source) => Err(source).trying(format!("could not create {name}")),
    }
}

/// Waits until a kind is served, whoever makes it.
///
/// # Errors
/// When it is not, for long.
pub async fn established(client: &Client, name: &str) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    until(&format!("the kind {name}"), async || {
        let crd = api.get_opt(name).await.trying(format!("could not read {name}"))?;
        let conditions = crd.and_then(|crd| crd.status?.conditions).unwrap_or_default();
        Ok(conditions
            .iter()
            .any(|condition| condition.type_ == "Established" && condition.status == "True"))
    })
    .await
}

async fn service_account(client: &Client, namespace: &str, name: &str) -> Result<()> {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    until(&format!("service account {namespace}/{name}"), async || {
        Ok(api
            .get_opt(name)
            .await
            .trying("could not read a service account")?
            .is_some())
    })
    .await
}

/// Waits until `holds`.
///
/// # Errors
/// When it takes too long, or can't be found out.
pub async fn until(what: &str, holds: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if holds().await? {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    Err(BenchError::TooLong {
        what: what.to_owned(),
        seconds: PATIENCE.as_secs(),
    })
}
