//! What of a watched object is kept in memory: what somebody reads.

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodTemplateSpec};
use kube::ResourceExt;

/// Annotation of `kubectl apply` with a copy of the whole object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Drops what nobody reads of any kind.
pub fn object<K: ResourceExt>(object: &mut K) {
    // None and not an empty list: applied to the API server, that would take every manager's fields away.
    object.meta_mut().managed_fields = None;
    object.annotations_mut().remove(LAST_APPLIED);
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
