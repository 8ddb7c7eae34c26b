//! What of a watched object is kept in memory: what somebody reads.
//!
//! What is kept for long is copied at last: as parsed, it lies between what is dropped, and nothing else has room in the
//! holes. Copies lie close together, in the holes of those that were copied before (docs/benchmarks.md, Memory).

mod image_scan;

use std::collections::BTreeMap;

pub use image_scan::image_scan;

use imagefactory_core::build::status::is_settled;
use imagefactory_core::partial::{Job, Pod};
use imagefactory_crds::conditions::SUCCEEDED;
use imagefactory_crds::denial::Code;
use imagefactory_crds::{Build, BuildSpec, BuildStatus, GROUP};
use k8s_openapi::api::core::v1::PodCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::LABEL_JOB;

/// Annotation of `kubectl apply` with a copy of the whole object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Drops what nobody reads of any kind.
pub fn object<K: ResourceExt>(object: &mut K) {
    // None and not an empty list: applied to the API server, that would take every manager's fields away.
    object.meta_mut().managed_fields = None;
    object.annotations_mut().remove(LAST_APPLIED);
}

/// Keeps a Build whole until it has ended, and then what is still decided by: whose it is, how and when it ended, its
/// staged image, its logs. There may be many thousands of these. Who needs more of one asks the API server, and nothing
/// is written from what is kept here.
pub fn build(build: &mut Build) {
    object(build);
    if !is_settled(build.status.as_ref()) {
        return;
    }
    bare(&mut build.metadata);
    build.spec = BuildSpec {
        project_ref: std::mem::take(&mut build.spec.project_ref),
        ..BuildSpec::default()
    };
    build.status = build.status.take().map(ended);
    *build = build.clone();
}

fn ended(status: BuildStatus) -> BuildStatus {
    let mut conditions = status.conditions;
    conditions.retain(|condition| condition.type_ == SUCCEEDED);
    for condition in &mut conditions {
        // Of a build that is not allowed, the audit is told the words.
        if Code::parse(&condition.reason).is_none() {
            condition.message = String::new();
        }
    }
    BuildStatus {
        observed_generation: status.observed_generation,
        phase: status.phase,
        conditions,
        attempts: status.attempts,
        stage_attempts: status.stage_attempts,
        start_time: status.start_time,
        completion_time: status.completion_time,
        staged: status.staged,
        logs: status.logs,
        ..BuildStatus::default()
    }
}

/// Keeps of a pod what it was made for, where it runs, how long it may, and how it and its containers fare.
pub fn pod(pod: &mut Pod) {
    made_for(&mut pod.metadata);
    if let Some(status) = &mut pod.status {
        status.conditions = status.conditions.take().map(only_read).filter(|kept| !kept.is_empty());
    }
    *pod = pod.clone();
}

/// Keeps of a job what it was made for, and whether and how it has ended.
pub fn job(job: &mut Job) {
    made_for(&mut job.metadata);
    *job = job.clone();
}

/// Keeps what tells an object from others, and whose it is.
fn made_for(metadata: &mut ObjectMeta) {
    let labels = metadata.labels.take();
    bare(metadata);
    metadata.labels = labels.map(only_ours);
}

/// Keeps what tells an object from others, and how old it is.
fn bare(metadata: &mut ObjectMeta) {
    let whole = std::mem::take(metadata);
    *metadata = ObjectMeta {
        creation_timestamp: whole.creation_timestamp,
        deletion_timestamp: whole.deletion_timestamp,
        generate_name: whole.generate_name,
        generation: whole.generation,
        name: whole.name,
        namespace: whole.namespace,
        resource_version: whole.resource_version,
        uid: whole.uid,
        ..ObjectMeta::default()
    };
}

/// Labels of ours, and the label by which a job's pods are found.
fn only_ours(mut all: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_ours = |key: &str| key.strip_prefix(GROUP).is_some_and(|rest| rest.starts_with('/'));
    all.retain(|key, _| is_ours(key) || key == LABEL_JOB);
    all
}

fn only_read(mut conditions: Vec<PodCondition>) -> Vec<PodCondition> {
    conditions.retain(|condition| ["PodScheduled", "DisruptionTarget"].contains(&condition.type_.as_str()));
    conditions
}
