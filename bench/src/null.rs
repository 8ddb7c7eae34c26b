//! The contender that decides nothing: on the same watch events it writes what the operator wrote for one recorded build.
//!
//! It looks nothing up, checks nothing, queues nothing, keeps no store and does not recover. No controller that reaches
//! the same end by the same objects can write less, so the operator's figures are told as fractions of its.

use std::collections::HashSet;
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use imagefactory_crds::Build;
use imagefactory_crds::names::{LABEL_BUILD, LABEL_BUILD_UID, LABEL_STAGE, LABEL_TENANT, tenant_namespace};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource, ResourceExt};

use crate::double::SLOW;
use crate::error::{Result, Trying};
use crate::load::write_status;
use crate::recorded::Recorded;
use crate::rig::client_of;

/// Runs until it is killed. With one pod it neither scans nor publishes: a build is over when its first pod is.
///
/// # Errors
/// When the API server can't be reached.
pub async fn run(kubeconfig: &Path, recorded: &Path, one_pod: bool) -> Result<()> {
    let null = Arc::new(Null {
        client: client_of(kubeconfig).await?,
        recorded: Recorded::read(recorded)?,
        one_pod,
        seen: Mutex::default(),
    });
    let ours = watcher::Config::default().labels(LABEL_BUILD_UID);
    let mut builds = pin!(watcher(
        Api::<PartialObjectMeta<Build>>::all(null.client.clone()),
        watcher::Config::default()
    ));
    let mut pods = pin!(watcher(Api::<Pod>::all(null.client.clone()), ours.clone()));
    let mut jobs = pin!(watcher(Api::<Job>::all(null.client.clone()), ours));
    loop {
        tokio::select! {
            Some(Ok(event)) = builds.next() => match event {
                Event::Apply(build) | Event::InitApply(build)
                    if !build.name_any().starts_with(SLOW) && null.is_news("begin", build.uid()) => {
                    let (namespace, name) = (build.namespace(), build.name_any());
                    null.spawn("begin", namespace.unwrap_or_default(), name, build.uid().unwrap_or_default());
                }
                _ => {}
            },
            Some(Ok(Event::Apply(pod) | Event::InitApply(pod))) = pods.next() => null.told(&pod, "build", ended(&pod)),
            Some(Ok(Event::Apply(job) | Event::InitApply(job))) = jobs.next() => {
                let stage = job.labels().get(LABEL_STAGE).cloned().unwrap_or_default();
                let stage = if stage == "scan" { "scan" } else { "publish" };
                null.told(&job, stage, complete(&job));
            }
            else => return Ok(()),
        }
    }
}

fn ended(pod: &Pod) -> bool {
    let builds = pod.labels().get(LABEL_STAGE).map(String::as_str) == Some("build");
    builds && pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Succeeded")
}

fn complete(job: &Job) -> bool {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Complete" && condition.status == "True")
}

struct Null {
    client: Client,
    recorded: Recorded,
    one_pod: bool,
    seen: Mutex<HashSet<(&'static str, String)>>,
}

impl Null {
    fn is_news(&self, step: &'static str, uid: Option<String>) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert((step, uid.unwrap_or_default()))
    }

    fn told<K: Resource>(self: &Arc<Self>, object: &K, step: &'static str, ended: bool) {
        let label = |key: &str| object.labels().get(key).cloned().unwrap_or_default();
        let uid = label(LABEL_BUILD_UID);
        // The recorded build was the operator's, and is over.
        let ended = ended && !label(LABEL_BUILD).starts_with(SLOW);
        if ended && self.is_news(step, Some(uid.clone())) {
            self.spawn(step, tenant_namespace(&label(LABEL_TENANT)), label(LABEL_BUILD), uid);
        }
    }

    fn spawn(self: &Arc<Self>, step: &'static str, namespace: String, name: String, uid: String) {
        let null = self.clone();
        tokio::spawn(async move {
            if let Err(error) = null.write(step, &namespace, &name, &uid).await {
                // The harness, which waits for each end, finds that one is missing; the log says why.
                let _ = writeln!(std::io::stderr(), "{step} of {name}: {error}: {:?}", error.source());
            }
        });
    }

    /// What the operator writes after a step, in its order.
    async fn write(&self, step: &str, namespace: &str, name: &str, uid: &str) -> Result<()> {
        let builds: Api<Build> = Api::namespaced(self.client.clone(), namespace);
        let status = |phase| self.recorded.status(phase, name, uid);
        match step {
            "begin" => {
                self.create::<Pod>("build", name, uid).await?;
                write_status(&builds, name, &status("Preparing")?).await
            }
            "build" if !self.one_pod => {
                write_status(&builds, name, &status("Scanning")?).await?;
                self.create::<Job>("scan", name, uid).await
            }
            "scan" => {
                write_status(&builds, name, &status("Publishing")?).await?;
                self.create::<Job>("publish", name, uid).await
            }
            _ => write_status(&builds, name, &status("Succeeded")?).await,
        }
    }

    async fn create<K>(&self, stage: &str, name: &str, uid: &str) -> Result<()>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + serde::de::DeserializeOwned,
    {
        let object: K = self.recorded.object(stage, name, uid)?;
        let api: Api<K> = Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default());
        loop {
            match api.create(&PostParams::default(), &object).await {
                // Pods of one namespace that are made at the same time are counted one after the other.
                Err(kube::Error::Api(refusal)) if refusal.code == 409 && refusal.message.contains("resourcequotas") => {
                }
                result => {
                    let _ = result.trying(format!("could not create the {stage} of {name}"))?;
                    return Ok(());
                }
            }
        }
    }
}
