//! Puts the two webhook configurations back when somebody deletes or changes them, and not while the release goes.

mod plan;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use imagefactory_crds::names::FIELD_MANAGER_CERTIFICATES;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::PostParams;
use kube::core::ClusterResourceScope;
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::certs::cluster::Cluster;
use crate::metrics::Metrics;
use plan::{GRACE, Release, Repair, repair, written};

/// How often all is looked at, whether something is heard of or not.
const EVERY: Duration = Duration::from_secs(60);

/// A repair failed.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The API server.
    #[error("the API server does not do what is asked")]
    Api(#[from] kube::Error),
    /// What the release's ConfigMap holds.
    #[error("the release's ConfigMap holds no webhook configuration")]
    Json(#[from] serde_json::Error),
}

/// Repairs configurations for as long as the process lives: `news` is when one changed, `bundle` whom they trust.
pub async fn run(
    cluster: Cluster,
    mut news: watch::Receiver<u64>,
    bundle: watch::Receiver<String>,
    metrics: Arc<Metrics>,
) {
    let mut wrong_since = None;
    loop {
        let wrong_for = wrong_since.map_or(Duration::ZERO, |since: Instant| since.elapsed());
        let trusted = bundle.borrow().clone();
        let found = look(&cluster, wrong_for, &trusted).await;
        // What can't be looked at is not known to be right.
        metrics.configurations_wrong(!matches!(found, Ok(false)));
        let pause = match found {
            Ok(false) => {
                wrong_since = None;
                EVERY
            }
            Ok(true) => {
                wrong_since.get_or_insert_with(Instant::now);
                GRACE
            }
            Err(error) => {
                warn!(
                    error = crate::chain(&error),
                    "webhook configurations not looked after, will be tried again"
                );
                GRACE
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            _ = news.changed() => {}
        }
    }
}

/// Looks once at both. Says whether something is wrong that is not repaired yet.
async fn look(cluster: &Cluster, wrong_for: Duration, bundle: &str) -> Result<bool, RestoreError> {
    if bundle.is_empty() {
        return Ok(false);
    }
    let validating = mend::<ValidatingWebhookConfiguration>(cluster, "validating.json", wrong_for, bundle).await?;
    let mutating = mend::<MutatingWebhookConfiguration>(cluster, "mutating.json", wrong_for, bundle).await?;
    Ok(validating || mutating)
}

async fn mend<K>(cluster: &Cluster, key: &str, wrong_for: Duration, bundle: &str) -> Result<bool, RestoreError>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope> + DeserializeOwned + Serialize + Clone + Debug,
{
    let name = cluster.names.webhook();
    let api = cluster.api::<K>();
    let found = api.get_opt(&name).await?.map(serde_json::to_value).transpose()?;
    let release = release::<K>(cluster, key).await?;
    let due = repair(found.as_ref(), &release, wrong_for);
    if !matches!(due, Repair::Create | Repair::Change) {
        return Ok(due == Repair::Wait);
    }
    let Some(object) = written(found.as_ref(), &release, &STANDARD.encode(bundle)) else {
        return Ok(true);
    };
    let object: K = serde_json::from_value(object)?;
    let how = PostParams {
        field_manager: Some(FIELD_MANAGER_CERTIFICATES.to_owned()),
        ..PostParams::default()
    };
    let done = match due {
        Repair::Create => api.create(&how, &object).await,
        _ => api.replace(&name, &how, &object).await,
    };
    match done {
        Ok(_) => {
            info!(kind = &*K::kind(&()), "webhook configuration restored");
            Ok(false)
        }
        // Another replica was quicker, or it changed meanwhile: the next look says.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// What there is of the release, as far as it matters to a configuration of kind `K`.
async fn release<K: DeserializeOwned + Serialize>(cluster: &Cluster, key: &str) -> Result<Release, RestoreError> {
    let name = cluster.names.webhook();
    let (client, namespace) = (cluster.client(), &cluster.names.namespace);
    let deployment = Api::<Deployment>::namespaced(client.clone(), namespace)
        .get_opt(&name)
        .await?;
    let source = Api::<ConfigMap>::namespaced(client.clone(), namespace)
        .get_opt(&name)
        .await?;
    let role = cluster.api::<ClusterRole>().get_opt(&name).await?;
    let wanted = source
        .and_then(|map| map.data)
        .and_then(|mut data| data.remove(key))
        .map(|text| serde_json::from_str::<K>(&text).and_then(serde_json::to_value));
    Ok(Release {
        stays: deployment.is_some_and(|found| found.metadata.deletion_timestamp.is_none()),
        wanted: wanted.transpose()?,
        owner: role
            .filter(|role| role.metadata.deletion_timestamp.is_none())
            .and_then(|role| role.metadata.uid),
    })
}
