//! One build of the operator's, taken down as it was written: what the contender that decides nothing writes again.

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use imagefactory_core::build::status::is_settled;
use imagefactory_crds::Build;
use imagefactory_crds::names::{LABEL_BUILD_UID, LABEL_STAGE};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Client, ResourceExt};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use tokio::time::timeout;

use crate::double::SLOW;
use crate::error::{BenchError, Result, Trying};
use crate::load;

const NAME: &str = "__BUILD__";
const UID: &str = "__UID__";
const PATIENCE: Duration = Duration::from_secs(120);

/// What a good build writes, with name and uid left open.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recorded {
    /// The pod, the scan job and the publish job, by stage.
    objects: BTreeMap<String, String>,
    /// Each status, by phase.
    statuses: BTreeMap<String, String>,
}

impl Recorded {
    /// Has the operator run one build, and takes it down.
    ///
    /// # Errors
    /// When the build does not end.
    pub async fn take(client: &Client, namespace: &str) -> Result<Self> {
        let name = format!("{SLOW}sample");
        let statuses = timeout(PATIENCE, statuses(client, namespace, &name)).await;
        let (uid, statuses) = statuses.map_err(|_| BenchError::TooLong {
            what: "the first build".to_owned(),
            seconds: PATIENCE.as_secs(),
        })??;
        if !statuses.contains_key("Succeeded") {
            let ends: Vec<_> = statuses.keys().collect();
            return Err(BenchError::Wrong(format!(
                "the first build did not succeed: {ends:?} {statuses:?}"
            )));
        }
        let opened = |text: String| text.replace(&uid, UID).replace(&name, NAME);
        Ok(Self {
            objects: objects(client, &uid)
                .await?
                .into_iter()
                .map(|(stage, text)| (stage, opened(text)))
                .collect(),
            statuses: statuses
                .into_iter()
                .map(|(phase, text)| (phase, opened(text)))
                .collect(),
        })
    }

    /// Reads it from a file.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).trying("could not read what was recorded")?;
        serde_json::from_str(&text).trying("what was recorded")
    }

    /// Writes it to a file.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(self).trying("what was recorded")?;
        std::fs::write(path, text).trying("could not write what was recorded")
    }

    /// The object of a stage, for that build.
    ///
    /// # Errors
    /// When none was recorded.
    pub fn object<K: serde::de::DeserializeOwned>(&self, stage: &str, name: &str, uid: &str) -> Result<K> {
        let text = self.objects.get(stage).ok_or_else(|| missing(stage))?;
        serde_json::from_str(&text.replace(UID, uid).replace(NAME, name)).trying("a recorded object")
    }

    /// The status of a phase, for that build.
    ///
    /// # Errors
    /// When none was recorded.
    pub fn status(&self, phase: &str, name: &str, uid: &str) -> Result<Value> {
        let text = self.statuses.get(phase).ok_or_else(|| missing(phase))?;
        serde_json::from_str(&text.replace(UID, uid).replace(NAME, name)).trying("a recorded status")
    }
}

fn missing(what: &str) -> BenchError {
    BenchError::Wrong(format!("nothing was recorded of {what}"))
}

/// Starts the build and takes down the last status of each phase.
async fn statuses(client: &Client, namespace: &str, name: &str) -> Result<(String, BTreeMap<String, String>)> {
    let builds: Api<Build> = Api::namespaced(client.clone(), namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut seen = pin!(watcher(builds, config).default_backoff().applied_objects());
    load::create(client, namespace, name).await?;
    let mut statuses = BTreeMap::new();
    while let Some(build) = seen.next().await {
        let Ok(build) = build else { continue };
        let Some(status) = &build.status else { continue };
        if let Some(phase) = status.phase {
            let text = serde_json::to_string(status).trying("a status")?;
            statuses.insert(phase.as_str().to_owned(), text);
        }
        if is_settled(Some(status)) {
            return Ok((build.uid().unwrap_or_default(), statuses));
        }
    }
    Err(BenchError::Wrong("the watch ended".to_owned()))
}

async fn objects(client: &Client, uid: &str) -> Result<BTreeMap<String, String>> {
    let ours = ListParams::default().labels(&format!("{LABEL_BUILD_UID}={uid}"));
    let pods: Api<Pod> = Api::all(client.clone());
    let jobs: Api<Job> = Api::all(client.clone());
    let builds = ListParams::default().labels(&format!("{LABEL_BUILD_UID}={uid},{LABEL_STAGE}=build"));
    let mut objects = BTreeMap::new();
    for pod in pods.list(&builds).await.trying("could not list pods")? {
        objects.insert("build".to_owned(), bare(serde_json::to_value(&pod).trying("a pod")?));
    }
    for job in jobs.list(&ours).await.trying("could not list jobs")? {
        let stage = job.labels().get(LABEL_STAGE).cloned().unwrap_or_default();
        objects.insert(stage, bare(serde_json::to_value(&job).trying("a job")?));
    }
    Ok(objects)
}

/// Without what the API server and the job controller add.
fn bare(mut object: Value) -> String {
    let without = |map: Option<&mut Map<String, Value>>, keys: &[&str]| {
        if let Some(map) = map {
            keys.iter().for_each(|key| {
                map.remove(*key);
            });
        }
    };
    without(object.as_object_mut(), &["status"]);
    without(
        object["metadata"].as_object_mut(),
        &[
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "managedFields",
            "generation",
        ],
    );
    if object["kind"] == "Job" || object["spec"].get("template").is_some() {
        without(object["spec"].as_object_mut(), &["selector"]);
        let added = [
            "controller-uid",
            "job-name",
            "batch.kubernetes.io/controller-uid",
            "batch.kubernetes.io/job-name",
        ];
        without(object["spec"]["template"]["metadata"]["labels"].as_object_mut(), &added);
    }
    object.to_string()
}

/// All builds of a list of names, seeded as finished: made, and their last status written.
///
/// # Errors
/// When the API server refuses one.
pub async fn seed(client: &Client, namespace: &str, recorded: &Recorded, names: Vec<String>) -> Result<()> {
    let builds: Api<Build> = Api::namespaced(client.clone(), namespace);
    futures::stream::iter(names.into_iter().map(Ok))
        .try_for_each_concurrent(24, async |name| {
            let made = load::create(client, namespace, &name).await?;
            let status = recorded.status("Succeeded", &name, &made.uid().unwrap_or_default())?;
            load::write_status(&builds, &name, &status).await
        })
        .await
}
