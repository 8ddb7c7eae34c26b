//! The checks, each a read.

use std::collections::BTreeSet;
use std::future::Future;

use http::Request;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use kube::{Api, Client};
use tokio::time::timeout;

use super::PATIENCE;

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    #[error("the request failed")]
    Asked(#[from] kube::Error),
    #[error("no answer within {} seconds", PATIENCE.as_secs())]
    Silent,
    #[error("could not make the request")]
    Request(#[from] http::Error),
    #[error("could not make the list of kinds")]
    Definitions(#[from] serde_json::Error),
    #[error("not served: {0}")]
    NotServed(String),
    #[error("{available} of {wanted} pods are available")]
    NotAvailable { available: i32, wanted: i32 },
}

/// A definition that was applied is served a moment later.
pub(super) async fn kinds(api: &Client) -> Result<(), CheckError> {
    let served: APIResourceList = within(api.list_api_group_resources("imagefactory.dev/v1alpha1")).await?;
    let served: BTreeSet<&str> = served.resources.iter().map(|resource| resource.name.as_str()).collect();
    let missing: Vec<String> = wanted()?
        .into_iter()
        .filter(|plural| !served.contains(plural.as_str()))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(CheckError::NotServed(missing.join(", ")))
    }
}

/// Plural names of our kinds.
fn wanted() -> Result<Vec<String>, CheckError> {
    let definitions = imagefactory_crds::crd::all()?;
    let plurals = definitions.iter().filter_map(|(_, definition)| {
        let plural = definition.pointer("/spec/names/plural")?;
        plural.as_str().map(str::to_owned)
    });
    Ok(plurals.collect())
}

/// What it waits for stands in the error, since that is the body of its answer.
pub(super) async fn operator(operator: &Client) -> Result<(), CheckError> {
    let request = Request::get("/readyz").body(Vec::new())?;
    within(operator.request_text(request)).await.map(drop)
}

pub(super) async fn available(api: &Client, namespace: &str, name: &str) -> Result<(), CheckError> {
    let deployments = Api::<Deployment>::namespaced(api.clone(), namespace);
    let deployment = within(deployments.get(name)).await?;
    let wanted = deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1);
    let available = deployment
        .status
        .and_then(|status| status.available_replicas)
        .unwrap_or(0);
    if available >= wanted && wanted > 0 {
        Ok(())
    } else {
        Err(CheckError::NotAvailable { available, wanted })
    }
}

async fn within<T>(asked: impl Future<Output = Result<T, kube::Error>>) -> Result<T, CheckError> {
    timeout(PATIENCE, asked)
        .await
        .map_err(|_| CheckError::Silent)?
        .map_err(CheckError::Asked)
}
