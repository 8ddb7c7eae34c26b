//! Logs that outlive their pods: which there are, where each is kept, what status says, and when a pod may go.

use imagefactory_crds::build::{KeptLog, KeptLogs, MAX_KEPT_LOGS};
use imagefactory_crds::names::{
    LABEL_ATTEMPT, LABEL_BUILD_UID, LABEL_PROJECT, LABEL_STAGE, LABEL_TENANT, tenant_namespace,
};
use jiff::{SignedDuration, Timestamp};

use crate::build::sweep::Known;
use crate::partial::{ContainerStatus, Pod};
use crate::work::{self, Work};

/// How long after a container's end it is tried to read a log that can't be had. A node that is away this long is
/// taken for lost, and what only it knows with it.
const LOST_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// How long after a container's end its kubelet may say that it knows none such. One that has just begun anew, or whose runtime
/// has, says so of each.
const UNKNOWN_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// The build or scan and the stage that a pod was made for, as its labels say. Nobody but the factory writes them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Tenant.
    pub tenant: String,
    /// Project.
    pub project: String,
    /// Whether it is a Build or an ImageScan.
    pub work: Work,
    /// Name of the Build, or of the ImageScan.
    pub build: String,
    /// Its uid.
    pub build_uid: String,
    /// Number of the attempt.
    pub attempt: u32,
    /// Stage, as in `build`.
    pub stage: String,
}

/// A container that has ended and may have written a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedContainer {
    /// What its pod was made for.
    pub origin: Origin,
    /// Its name.
    pub container: String,
    /// Namespace of its pod.
    pub namespace: String,
    /// Name of its pod.
    pub pod: String,
    /// Uid of its pod.
    pub pod_uid: String,
    /// When it ended.
    pub finished: Option<Timestamp>,
}

impl Origin {
    /// What a pod was made for; none if it is not a build's, or its labels can't be names in a path.
    #[must_use]
    pub fn of(pod: &Pod) -> Option<Self> {
        let labels = pod.metadata.labels.as_ref()?;
        let label = |key: &str| labels.get(key).filter(|value| is_segment(value)).cloned();
        let (work, name) = work::made_for(labels)?;
        Some(Self {
            tenant: label(LABEL_TENANT)?,
            project: label(LABEL_PROJECT)?,
            work,
            build: Some(name).filter(|name| is_segment(name))?.clone(),
            build_uid: label(LABEL_BUILD_UID)?,
            attempt: label(LABEL_ATTEMPT)?.parse().ok()?,
            stage: label(LABEL_STAGE)?,
        })
    }

    /// Namespace of the Build or ImageScan.
    #[must_use]
    pub fn build_namespace(&self) -> String {
        tenant_namespace(&self.tenant)
    }

    /// Path of everything that is kept of the build.
    #[must_use]
    pub fn directory(&self) -> String {
        directory(&self.tenant, &self.project, &self.build_uid)
    }
}

/// Path of everything that is kept of a build, beneath the logs.
#[must_use]
pub fn directory(tenant: &str, project: &str, build_uid: &str) -> String {
    format!("{tenant}/{project}/{build_uid}")
}

impl EndedContainer {
    /// Path of the log, beneath the logs.
    #[must_use]
    pub fn path(&self) -> String {
        let Origin { attempt, stage, .. } = &self.origin;
        format!("{}/{attempt}/{stage}-{}.log", self.origin.directory(), self.container)
    }

    /// Whether status says that this log is kept.
    #[must_use]
    pub fn is_in(&self, recorded: Option<&KeptLogs>) -> bool {
        recorded.is_some_and(|logs| logs.containers.iter().any(|log| self.is(log)))
    }

    fn is(&self, log: &KeptLog) -> bool {
        log.attempt == self.origin.attempt && log.stage == self.origin.stage && log.container == self.container
    }

    /// Whether its log, which can't be read, is not worth another try.
    #[must_use]
    pub fn is_lost(&self, now: Timestamp) -> bool {
        self.ended_before(now, LOST_AFTER)
    }

    /// The same, where it is answered that there is no such container. Whatever is lost is that too.
    #[must_use]
    pub fn is_unknown(&self, now: Timestamp) -> bool {
        self.ended_before(now, UNKNOWN_AFTER)
    }

    fn ended_before(&self, now: Timestamp, time: SignedDuration) -> bool {
        self.finished
            .is_none_or(|finished| now.duration_since(finished) >= time)
    }
}

/// Containers of a build's pod that ran and have ended. One that never ran has no log.
#[must_use]
pub fn ended_containers(pod: &Pod) -> Vec<EndedContainer> {
    let (Some(origin), Some(status)) = (Origin::of(pod), &pod.status) else {
        return Vec::new();
    };
    let metadata = &pod.metadata;
    let ended = |container: &ContainerStatus| {
        let ended = container.state.as_ref()?.terminated.as_ref()?;
        ended.container_id.as_ref().filter(|id| !id.is_empty())?;
        is_segment(&container.name).then(|| EndedContainer {
            origin: origin.clone(),
            container: container.name.clone(),
            namespace: metadata.namespace.clone().unwrap_or_default(),
            pod: metadata.name.clone().unwrap_or_default(),
            pod_uid: metadata.uid.clone().unwrap_or_default(),
            finished: ended.finished_at.as_ref().map(|time| time.0),
        })
    };
    let statuses = [&status.init_container_statuses, &status.container_statuses];
    statuses.into_iter().flatten().flatten().filter_map(ended).collect()
}

/// What status says once these logs are kept too: ordered, each once, and never more than it admits.
#[must_use]
pub fn merged(recorded: Option<&KeptLogs>, kept: &[KeptLog], location: &str) -> Option<KeptLogs> {
    let mut logs = recorded.cloned().unwrap_or_else(|| KeptLogs {
        location: location.to_owned(),
        containers: Vec::new(),
    });
    for log in kept {
        let same = |other: &&mut KeptLog| {
            (other.attempt, &other.stage, &other.container) == (log.attempt, &log.stage, &log.container)
        };
        match logs.containers.iter_mut().find(same) {
            Some(recorded) => recorded.clone_from(log),
            None => logs.containers.push(log.clone()),
        }
    }
    // Stable: containers of one pod stay in the order in which they ended.
    logs.containers.sort_by_key(|log| (log.attempt, rank(&log.stage)));
    let surplus = logs.containers.len().saturating_sub(MAX_KEPT_LOGS);
    logs.containers.drain(..surplus);
    (!logs.containers.is_empty()).then_some(logs)
}

fn rank(stage: &str) -> u8 {
    match stage {
        "build" => 0,
        "scan" => 1,
        "publish" => 2,
        _ => 3,
    }
}

/// Whether a build's pod has stayed long enough after its build has settled. That its logs are safe is another
/// condition. Pods of jobs go with their jobs, and a pod whose Build is gone goes with it.
#[must_use]
pub fn has_stayed(pod: &Pod, build: Option<Known<'_>>, now: Timestamp, keep: SignedDuration) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let ended = matches!(phase, Some("Succeeded" | "Failed")) && pod.metadata.deletion_timestamp.is_none();
    let completed = Origin::of(pod)
        .filter(|origin| origin.stage == "build")
        .and_then(|origin| build.filter(|build| build.uid == origin.build_uid)?.completed);
    ended && completed.is_some_and(|completed| now.duration_since(completed) >= keep)
}

/// Whether a text can be one name in a path: what Kubernetes admits as a label's value or an object's name, and no
/// step upwards.
#[must_use]
pub fn is_segment(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= 253 && !text.starts_with('.') && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests;
