//! Pods and jobs as they are read: the fields that somebody here reads, by the names that Kubernetes gives them.
//!
//! Kubernetes' own types hold every field there is, 2.2 KiB for a pod, 2.6 for a job and 0.7 for each container's status,
//! and a build in its course has three pods and two jobs that are watched (docs/decisions/0031). What is not named here is
//! not even parsed. One that was watched and one that was just asked for are of the same type, so that decisions are given
//! either. Neither can be written: what was left out would be taken away.

use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1 as batch;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_core::Resource;
use serde::Deserialize;

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Pod {
    /// Who it is, and what it was made for.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Where it runs, and how long it may.
    pub spec: Option<PodSpec>,
    /// How it fares.
    pub status: Option<PodStatus>,
}

/// Of a pod's spec.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    /// Seconds from its start after which its kubelet ends it.
    pub active_deadline_seconds: Option<i64>,
    /// The node that it is bound to.
    pub node_name: Option<String>,
}

/// Of a pod's status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// As in `PodScheduled`.
    pub conditions: Option<Vec<core::PodCondition>>,
    /// Its containers.
    pub container_statuses: Option<Vec<ContainerStatus>>,
    /// Those that run before them, one after another.
    pub init_container_statuses: Option<Vec<ContainerStatus>>,
    /// Why it is as it is, for people.
    pub message: Option<String>,
    /// As in `Succeeded`.
    pub phase: Option<String>,
    /// As in `Evicted`.
    pub reason: Option<String>,
}

/// Of a container's status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// Whether it waits, runs or has ended.
    pub state: Option<core::ContainerState>,
}

/// A job.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Job {
    /// Who it is, and what it was made for.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// How it fares.
    pub status: Option<JobStatus>,
}

/// Of a job's status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct JobStatus {
    /// As in `Complete`.
    pub conditions: Option<Vec<batch::JobCondition>>,
}

/// Says that `$partial` is read from where `$whole` is.
macro_rules! stands_for {
    ($partial:ty, $whole:ty) => {
        impl Resource for $partial {
            type DynamicType = ();
            type Scope = NamespaceResourceScope;

            fn kind((): &()) -> Cow<'_, str> {
                <$whole as Resource>::kind(&())
            }

            fn group((): &()) -> Cow<'_, str> {
                <$whole as Resource>::group(&())
            }

            fn version((): &()) -> Cow<'_, str> {
                <$whole as Resource>::version(&())
            }

            fn plural((): &()) -> Cow<'_, str> {
                <$whole as Resource>::plural(&())
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

stands_for!(Pod, core::Pod);
stands_for!(Job, batch::Job);
