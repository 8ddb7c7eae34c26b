//! What exists for a build, taken out of Kubernetes' objects: only what a decision needs.

use imagefactory_crds::names::LABEL_BUILD_UID;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::JobCondition;
use k8s_openapi::api::core::v1::PodCondition;

use crate::partial::{ContainerStatus, Job, Pod, PodStatus};

/// What exists for a build.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The pod of this attempt, under its name, whoever it belongs to. None only if it is certain that there is none.
    pub pod: Option<PodView>,
    /// The scan job of this attempt.
    pub scan: Option<JobView>,
    /// The publish job of this attempt.
    pub publish: Option<JobView>,
    /// What the attempt before, of the stage that is tried again, left behind. Looked for only while the next waits.
    pub earlier: Option<Earlier>,
}

/// What an earlier attempt left behind.
#[derive(Clone, Debug, PartialEq)]
pub enum Earlier {
    /// The pod that built.
    Pod(PodView),
    /// The job that scanned or published.
    Job(JobView),
}

impl Earlier {
    /// Whether something of it may still run.
    #[must_use]
    pub fn is_live(&self) -> bool {
        match self {
            Self::Pod(pod) => !pod.has_ended(),
            Self::Job(job) => job.pod.as_ref().map_or(job.ended.is_none(), |pod| !pod.has_ended()),
        }
    }
}

/// The shortest deadline of a pod, in seconds from its start: the kubelet ends it at its next look.
pub const AT_ONCE: i64 = 1;

/// A pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodView {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// The version that this was read of.
    pub resource_version: Option<String>,
    /// Uid of the Build it was made for, from its label.
    pub build_uid: Option<String>,
    /// Whether the kubelet has it, and so will end it.
    pub has_node: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When the last of its containers ended that have.
    pub progressed: Option<Timestamp>,
    /// Its deadline, in seconds from its start.
    pub deadline_seconds: Option<i64>,
    /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    pub phase: String,
    /// The pod's own reason, as in `Evicted` or `DeadlineExceeded`.
    pub reason: Option<String>,
    /// The pod's own message.
    pub message: Option<String>,
    /// Why it has no node, if it has none.
    pub unschedulable: Option<String>,
    /// Why the cluster takes it off its node, if it does: it is drained, or wanted for another pod.
    pub disruption: Option<Disruption>,
    /// Init containers, then containers, in the order of the pod's status.
    pub containers: Vec<ContainerView>,
}

/// The condition `DisruptionTarget`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disruption {
    /// As in `EvictionByEvictionAPI`.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerView {
    /// Name.
    pub name: String,
    /// State.
    pub state: ContainerState,
}

/// State of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// Not started, and why.
    Waiting {
        /// As in `ImagePullBackOff`.
        reason: String,
        /// For people.
        message: String,
    },
    /// Runs.
    Running,
    /// Ended.
    Ended {
        /// Exit code.
        exit_code: i32,
        /// As in `OOMKilled`, `Error`, `Completed`.
        reason: String,
        /// Termination message, or the end of the log.
        message: String,
    },
}

/// A job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobView {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Uid of the Build it was made for, from its label.
    pub build_uid: Option<String>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// How it ended, if it did.
    pub ended: Option<JobEnd>,
    /// Its pod, the newest if there are several.
    pub pod: Option<PodView>,
}

/// How a run stands for whom a job was made, a Build or an ImageScan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// It has ended: a job of it that runs is to be ended.
    pub settled: bool,
    /// Its user has it ended.
    pub cancelled: bool,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// Complete.
    Complete,
    /// Failed, with the condition's reason and message.
    Failed {
        /// As in `DeadlineExceeded` or `BackoffLimitExceeded`.
        reason: String,
        /// For people.
        message: String,
    },
}

impl JobEnd {
    /// How a job with these conditions ended, if it did.
    #[must_use]
    pub fn of(conditions: Option<&[JobCondition]>) -> Option<Self> {
        let mut true_ones = conditions
            .unwrap_or_default()
            .iter()
            .filter(|condition| condition.status == "True");
        true_ones.find_map(|condition| match condition.type_.as_str() {
            "Complete" => Some(Self::Complete),
            "Failed" => Some(Self::Failed {
                reason: condition.reason.clone().unwrap_or_default(),
                message: condition.message.clone().unwrap_or_default(),
            }),
            _ => None,
        })
    }
}

impl PodView {
    /// Takes out of a pod what decisions need.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let (status, spec) = (pod.status.as_ref(), pod.spec.as_ref());
        let of_status = |field: fn(&PodStatus) -> &Option<String>| status.and_then(|status| field(status).clone());
        let init = status.and_then(|status| status.init_container_statuses.as_ref());
        let main = status.and_then(|status| status.container_statuses.as_ref());
        let conditions = status
            .and_then(|status| status.conditions.as_deref())
            .unwrap_or_default();
        let condition = |of_type: &str, status: &str| {
            let is_it = |found: &&PodCondition| found.type_ == of_type && found.status == status;
            conditions.iter().find(is_it)
        };
        Self {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            resource_version: pod.metadata.resource_version.clone(),
            build_uid: label(pod.metadata.labels.as_ref()),
            has_node: spec.is_some_and(|spec| spec.node_name.is_some()),
            deleting: pod.metadata.deletion_timestamp.is_some(),
            created: pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
            progressed: init.into_iter().chain(main).flatten().filter_map(ended_at).max(),
            deadline_seconds: spec.and_then(|spec| spec.active_deadline_seconds),
            phase: of_status(|status| &status.phase).unwrap_or_default(),
            reason: of_status(|status| &status.reason),
            message: of_status(|status| &status.message),
            unschedulable: condition("PodScheduled", "False").map(|found| found.message.clone().unwrap_or_default()),
            disruption: condition("DisruptionTarget", "True").map(|found| Disruption {
                reason: found.reason.clone().unwrap_or_default(),
                message: found.message.clone().unwrap_or_default(),
            }),
            containers: init.into_iter().chain(main).flatten().map(ContainerView::of).collect(),
        }
    }

    /// Since when it waits for what comes next: a container before it may have run for long.
    #[must_use]
    pub fn waits_since(&self) -> Option<Timestamp> {
        self.created.max(self.progressed)
    }

    /// Whether nothing of it runs any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }

    /// Whether the kubelet ended it at its deadline: its own, or one that was lowered to have it ended.
    #[must_use]
    pub fn was_ended_at_deadline(&self) -> bool {
        self.reason.as_deref() == Some("DeadlineExceeded")
    }

    /// Whether it was ended because we said so, by a deadline that has always passed. Why is not said here.
    #[must_use]
    pub fn was_told_to_end(&self) -> bool {
        self.was_ended_at_deadline() && self.deadline_seconds == Some(AT_ONCE)
    }

    /// The container of that name.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&ContainerView> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// The termination message of a container that ended.
    #[must_use]
    pub fn termination_message(&self, name: &str) -> Option<&str> {
        match &self.container(name)?.state {
            ContainerState::Ended { message, .. } => Some(message),
            ContainerState::Waiting { .. } | ContainerState::Running => None,
        }
    }
}

fn ended_at(status: &ContainerStatus) -> Option<Timestamp> {
    let ended = status.state.as_ref()?.terminated.as_ref()?;
    ended.finished_at.as_ref().map(|time| time.0)
}

impl ContainerView {
    fn of(status: &ContainerStatus) -> Self {
        let text = |text: Option<&String>| text.cloned().unwrap_or_default();
        let state = status.state.as_ref();
        let waiting = state.and_then(|state| state.waiting.as_ref());
        let state = match state.map(|state| (&state.terminated, &state.running)) {
            Some((Some(ended), _)) => ContainerState::Ended {
                exit_code: ended.exit_code,
                reason: text(ended.reason.as_ref()),
                message: text(ended.message.as_ref()),
            },
            Some((None, Some(_))) => ContainerState::Running,
            Some((None, None)) | None => ContainerState::Waiting {
                reason: text(waiting.and_then(|waiting| waiting.reason.as_ref())),
                message: text(waiting.and_then(|waiting| waiting.message.as_ref())),
            },
        };
        Self {
            name: status.name.clone(),
            state,
        }
    }
}

impl JobView {
    /// Whether nothing of it runs any more, whether or not the job says so yet.
    #[must_use]
    pub fn has_run(&self) -> bool {
        self.ended.is_some() || self.pod.as_ref().is_some_and(PodView::has_ended)
    }

    /// Takes out of a job and its pods what decisions need.
    #[must_use]
    pub fn of<'a>(job: &Job, pods: impl Iterator<Item = &'a Pod>) -> Self {
        let newest = pods.max_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
        let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref());
        Self {
            namespace: job.metadata.namespace.clone().unwrap_or_default(),
            name: job.metadata.name.clone().unwrap_or_default(),
            uid: job.metadata.uid.clone().unwrap_or_default(),
            build_uid: label(job.metadata.labels.as_ref()),
            deleting: job.metadata.deletion_timestamp.is_some(),
            created: job.metadata.creation_timestamp.as_ref().map(|time| time.0),
            ended: JobEnd::of(conditions),
            pod: newest.map(PodView::of),
        }
    }

    /// Whether the API server is to be asked for the job's pod. Jobs and pods come by two watches: of a job that has
    /// failed and whose pod the store does not show, only the pod says why, and so whether it is tried again. Of a job
    /// that is to be ended, one whose pod began meanwhile is ended by its pod, which keeps the log.
    #[must_use]
    pub fn asks_for_pod(&self, of: Course) -> bool {
        match &self.ended {
            Some(JobEnd::Failed { .. }) => self.pod.is_none() && !of.settled,
            Some(JobEnd::Complete) => false,
            None => {
                let has_begun = |pod: &PodView| pod.has_node || pod.has_ended();
                (of.settled || of.cancelled) && !self.deleting && !self.pod.as_ref().is_some_and(has_begun)
            }
        }
    }
}

fn label(labels: Option<&std::collections::BTreeMap<String, String>>) -> Option<String> {
    labels.and_then(|labels| labels.get(LABEL_BUILD_UID)).cloned()
}
