//! Builds, made at once or at a pace.

use std::time::Duration;

use futures::TryStreamExt;
use imagefactory_crds::Build;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::error::{BenchError, Result, Trying};
use crate::rig::PROJECT;

/// Creates that are in flight at a time where all are made at once.
const AT_A_TIME: usize = 16;

/// Makes one build.
///
/// # Errors
/// When the API server refuses it.
pub async fn create(client: &Client, namespace: &str, name: &str) -> Result<Build> {
    let build: Build = serde_json::from_value(json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "projectRef": {"name": PROJECT},
            "source": {"inline": {"files": [
                {"path": "Dockerfile", "content": "FROM docker.io/library/debian:bookworm-slim\nCOPY hello /hello\n"},
                {"path": "hello", "content": "Hello\n"},
            ]}},
        },
    }))
    .trying("a build")?;
    let builds: Api<Build> = Api::namespaced(client.clone(), namespace);
    builds
        .create(&PostParams::default(), &build)
        .await
        .trying(format!("could not create build {name}"))
}

/// Writes a status as cheaply as can be.
///
/// # Errors
/// When the API server refuses it.
pub async fn write_status(builds: &Api<Build>, name: &str, status: &Value) -> Result<()> {
    let patch = Patch::Merge(json!({"status": status}));
    builds
        .patch_status(name, &PatchParams::default(), &patch)
        .await
        .trying(format!("could not write the status of {name}"))?;
    Ok(())
}

/// `<prefix><number>`.
#[must_use]
pub fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number:05}")).collect()
}

/// Makes builds as fast as the API server takes them.
///
/// # Errors
/// When the API server refuses one.
pub async fn at_once(client: &Client, namespace: &str, prefix: &str, count: usize) -> Result<()> {
    futures::stream::iter(names(prefix, count).into_iter().map(Ok))
        .try_for_each_concurrent(AT_A_TIME, async |name| create(client, namespace, &name).await.map(drop))
        .await
}

/// Makes so many builds in a second, whether the ones before were made or not.
///
/// # Errors
/// When the API server refuses one.
pub async fn at_pace(client: &Client, namespace: &str, prefix: &str, count: usize, per_second: u32) -> Result<()> {
    let mut ticks = interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut made = JoinSet::new();
    for name in names(prefix, count) {
        ticks.tick().await;
        let (client, namespace) = (client.clone(), namespace.to_owned());
        made.spawn(async move { create(&client, &namespace, &name).await.map(drop) });
    }
    while let Some(created) = made.join_next().await {
        created.map_err(|error| BenchError::Wrong(error.to_string()))??;
    }
    Ok(())
}
