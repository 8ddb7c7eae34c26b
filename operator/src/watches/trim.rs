//! What of a watched object is kept in memory: what somebody reads.

pub use super::trim_scan::image_scan;

use imagefactory_core::build::status::is_settled;
use imagefactory_crds::conditions::SUCCEEDED;
use imagefactory_crds::denial::Code;
use imagefactory_crds::{Build, BuildSpec, BuildStatus};
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

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
    let metadata = std::mem::take(&mut build.metadata);
    build.metadata = ObjectMeta {
        creation_timestamp: metadata.creation_timestamp,
        deletion_timestamp: metadata.deletion_timestamp,
        generate_name: metadata.generate_name,
        generation: metadata.generation,
        name: metadata.name,
        namespace: metadata.namespace,
        resource_version: metadata.resource_version,
        uid: metadata.uid,
        ..ObjectMeta::default()
    };
    build.spec = BuildSpec {
        project_ref: std::mem::take(&mut build.spec.project_ref),
        ..BuildSpec::default()
    };
    build.status = build.status.take().map(ended);
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
    conditions.shrink_to_fit();
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

/// Keeps of a pod's spec where it runs, how long it may, and the names of its containers.
pub fn pod(pod: &mut Pod) {
    object(pod);
    pod.spec = pod.spec.take().map(pod_spec);
}

/// Keeps of a job's spec its deadline and limits, and of its template what is kept of a pod.
pub fn job(job: &mut Job) {
    object(job);
    job.spec = job.spec.take().map(|spec| JobSpec {
        active_deadline_seconds: spec.active_deadline_seconds,
        backoff_limit: spec.backoff_limit,
        suspend: spec.suspend,
        ttl_seconds_after_finished: spec.ttl_seconds_after_finished,
        template: PodTemplateSpec {
            metadata: None,
            spec: spec.template.spec.map(pod_spec),
        },
        ..JobSpec::default()
    });
}

fn pod_spec(spec: PodSpec) -> PodSpec {
    PodSpec {
        active_deadline_seconds: spec.active_deadline_seconds,
        containers: spec.containers.into_iter().map(container).collect(),
        host_users: spec.host_users,
        init_containers: spec
            .init_containers
            .map(|list| list.into_iter().map(container).collect()),
        node_name: spec.node_name,
        restart_policy: spec.restart_policy,
        ..PodSpec::default()
    }
}

fn container(container: Container) -> Container {
    Container {
        name: container.name,
        image: container.image,
        ..Container::default()
    }
}
