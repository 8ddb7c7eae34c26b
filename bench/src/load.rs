//! Units of work, made at once or at a pace: Builds, and what others have in their place.

use std::time::Duration;

use futures::TryStreamExt;
use imagefactory_crds::Build;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::error::{BenchError, Result, Trying};
use crate::rig::PROJECT;

/// Creates that are in flight at a time where all are made at once.
const AT_A_TIME: usize = 16;

/// What a contender brings to its end.
#[derive(Clone)]
pub enum Units {
    /// Builds, in that namespace.
    Builds(String),
    /// Objects of a kind that this program has no type for.
    Others {
        /// The kind.
        resource: ApiResource,
        /// One of them that lacks nothing but a name.
        like: Box<DynamicObject>,
    },
}

impl Units {
    /// Makes one.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn create(&self, client: &Client, name: &str) -> Result<()> {
        match self {
            Self::Builds(namespace) => create(client, namespace, name).await.map(drop),
            Self::Others { resource, like } => {
                let mut object = DynamicObject::clone(like);
                object.metadata.name = Some(name.to_owned());
                let namespace = object.metadata.namespace.clone().unwrap_or_default();
                Api::<DynamicObject>::namespaced_with(client.clone(), &namespace, resource)
                    .create(&PostParams::default(), &object)
                    .await
                    .trying(format!("could not create {} {name}", resource.kind))?;
                Ok(())
            }
        }
    }
}

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

/// Makes units as fast as the API server takes them.
///
/// # Errors
/// When the API server refuses one.
pub async fn at_once(client: &Client, units: &Units, prefix: &str, count: usize) -> Result<()> {
    futures::stream::iter(names(prefix, count).into_iter().map(Ok))
        .try_for_each_concurrent(AT_A_TIME, async |name: String| units.create(client, &name).await)
        .await
}

/// Makes so many units in a second, whether the ones before were made or not.
///
/// # Errors
/// When the API server refuses one.
pub async fn at_pace(client: &Client, units: &Units, prefix: &str, count: usize, per_second: u32) -> Result<()> {
    let mut ticks = interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut made = JoinSet::new();
    for name in names(prefix, count) {
        ticks.tick().await;
        let (client, units) = (client.clone(), units.clone());
        made.spawn(async move { units.create(&client, &name).await });
    }
    while let Some(created) = made.join_next().await {
        created.map_err(|error| BenchError::Wrong(error.to_string()))??;
    }
    Ok(())
}
