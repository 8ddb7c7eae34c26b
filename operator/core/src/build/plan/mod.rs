//! What is done next for a build: the state machine.
//!
//! How far a build came is read from facts (start, attempt, `staged` and `verdict` in its own status, and what exists), never
//! from its phase. Each function here is one stretch of the way; all of them only return a [`Plan`].

mod begin;
mod building;
mod judging;
mod situation;
mod waiting;

pub use situation::Situation;

use std::time::Duration;

use imagefactory_crds::BuildStatus;
use imagefactory_crds::build::{Failure, FailureClass};
use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;

use crate::build::failure::blank;
use crate::build::observed::{JobView, PodView};
use crate::build::status::is_settled;
use crate::build::validated::{Leaving, Validated};
use crate::dispatch::Slot;

/// How long a missing object may still turn up: things that were applied together arrive one by one.
const HEALING: SignedDuration = SignedDuration::from_secs(10);
/// How soon to look again at something that no watch will tell.
const SOON: Duration = Duration::from_secs(2);
/// How soon to look again at a build that waits for a person or for room.
const LATER: Duration = Duration::from_secs(15);
/// How soon to look again at a build in the queue, which wakes it: a net below that.
const QUEUED: Duration = Duration::from_mins(5);
/// How soon to try again what the API server had no room for: its count of what has ended comes late.
const REFUSED: Duration = Duration::from_secs(5);

/// What to do for a build, or for another run whose status is `S`, in this order: actions, status, then what rests on
/// the status.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan<S = BuildStatus> {
    /// Requests to the API server, in this order; each is safe to repeat.
    pub actions: Vec<Action>,
    /// Status to write, if it differs from what stands there.
    pub status: Option<S>,
    /// Requests that wait until the status stands: a scan is never begun for a digest that is not recorded, nor a
    /// publish for a verdict that is not, so no crash can pair a verdict with another image.
    pub then: Vec<Action>,
    /// Event to publish once the status is written.
    pub note: Option<Note>,
    /// When to look again, if no watch tells sooner.
    pub again: Option<Duration>,
}

impl<S> Default for Plan<S> {
    fn default() -> Self {
        Self {
            actions: Vec::new(),
            status: None,
            then: Vec::new(),
            note: None,
            again: None,
        }
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make the pod that builds. There already: nothing to do.
    CreatePod(Box<Pod>),
    /// Make a scan or publish job. There already: nothing to do.
    CreateJob(Box<Job>),
    /// Have the kubelet end the pod, so that its logs stay.
    EndPod {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// Uid: a new pod of the same name is not meant.
        uid: String,
    },
    /// Delete a pod that has no node, and so no logs, or one that an earlier Build of the name left behind.
    DeletePod {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// Uid: a new pod of the same name is not meant.
        uid: String,
        /// The version that was read. One that changed since, and so may have begun or ended, is not meant either: its logs
        /// would go with it.
        resource_version: Option<String>,
    },
    /// Delete a job with its pod.
    DeleteJob {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// Uid: a new job of the same name is not meant.
        uid: String,
    },
}

impl Action {
    /// Deletes the pod as it was read.
    fn delete_pod(pod: &PodView) -> Self {
        Self::DeletePod {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            resource_version: pod.resource_version.clone(),
        }
    }
}

/// An event on the Build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// CamelCase.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// What to do next for a build.
#[must_use]
pub fn plan(situation: Situation<'_>) -> Plan {
    let status = situation.build.status.as_ref();
    if is_settled(status) {
        return settled(situation);
    }
    // Its pod is being killed, nothing can be made beside it, and the Build is about to go.
    let is_leaving = |build: &Validated| build.leaving == Some(Leaving::Namespace);
    if situation.validated.as_ref().is_ok_and(is_leaving) {
        return Plan {
            again: Some(LATER),
            ..Plan::default()
        };
    }
    let staged = status.and_then(|status| status.staged.as_ref());
    let verdict = status.and_then(|status| status.verdict.as_ref());
    match (situation.has_started(), staged, verdict) {
        (false, _, _) => begin::begin(situation),
        (true, None, _) => building::build(situation),
        (true, Some(staged), None) => judging::scan(situation, staged),
        (true, Some(staged), Some(verdict)) => judging::publish(situation, staged, verdict),
    }
}

/// What a build wants of the queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wish<'a> {
    /// A slot: nothing else keeps it from starting.
    Slot(&'a Validated),
    /// Nothing now: something else keeps it.
    Nothing,
    /// It runs, or has ended: what becomes of its slot, events tell.
    Runs,
}

/// What a build wants of the queue. Asked before [`plan`], which reads the answer as [`Situation::slot`].
#[must_use]
pub fn wish<'a>(situation: &Situation<'a>) -> Wish<'a> {
    let status = situation.build.status.as_ref();
    if is_settled(status) || situation.has_started() {
        return Wish::Runs;
    }
    begin::gate(situation).map_or(Wish::Nothing, Wish::Slot)
}

/// What to do when the API server would not have an object that the plan makes. For want of room, the slot was given
/// back before, and `situation` says how the build stands now.
#[must_use]
pub fn after_rejection(situation: Situation<'_>, rejection: &Rejection) -> Plan {
    match rejection {
        Rejection::NoRoom(message) => match situation.slot {
            Slot::Waits(standing) => situation.queues(&standing, message, REFUSED),
            Slot::Granted | Slot::NotYet => Plan {
                again: Some(REFUSED),
                ..Plan::default()
            },
        },
        Rejection::Pod(message) => situation.fails(blank(
            FailureClass::Infrastructure,
            "PodRejected",
            format!("The API server refuses the build's pod: {message}"),
            "If it speaks of resources, mend spec.resources in a new Build; else tell a platform administrator.",
        )),
        Rejection::Job(message) => situation.fails(job_rejected(message)),
    }
}

/// Why the API server would not have an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The namespace's ResourceQuota leaves no room for the pod now.
    NoRoom(String),
    /// The pod is refused as it is.
    Pod(String),
    /// The job is refused as it is.
    Job(String),
}

/// What is told of a build or scan whose job the API server would not have. Nothing of a job is its user's word.
pub(crate) fn job_rejected(message: &str) -> Failure {
    blank(
        FailureClass::Infrastructure,
        "JobRejected",
        format!("The API server refuses a job of the factory: {message}"),
        "Tell a platform administrator: a policy of the cluster refuses what the factory makes.",
    )
}

/// A settled build says that it has seen what changed, and what still runs for it is ended: a process that died
/// between writing the end and acting on it may have left something.
fn settled(situation: Situation<'_>) -> Plan {
    let observed = situation.observed;
    let pod = situation
        .our_pod()
        .filter(|pod| !pod.has_ended())
        .and_then(building::end_pod);
    let jobs = [observed.scan.as_ref(), observed.publish.as_ref()]
        .into_iter()
        .flatten();
    let unfinished = jobs.filter(|job| job.ended.is_none() && situation.is_ours(job.build_uid.as_deref()));
    let status = situation
        .build
        .status
        .as_ref()
        .filter(|status| status.observed_generation != situation.generation())
        // A deletion is a generation too, and about to be seen by nobody.
        .filter(|_| situation.build.metadata.deletion_timestamp.is_none());
    Plan {
        actions: pod.into_iter().chain(unfinished.filter_map(end_job)).collect(),
        status: status.map(|status| BuildStatus {
            observed_generation: situation.generation(),
            ..status.clone()
        }),
        ..Plan::default()
    }
}

/// Ends a job by ending its pod, whose log stays; without a pod there is nothing to keep.
pub(crate) fn end_job(job: &JobView) -> Option<Action> {
    match &job.pod {
        Some(pod) if pod.has_ended() => None,
        Some(pod) if pod.has_node => building::end_pod(pod),
        Some(_) | None => delete_job(job),
    }
}

pub(crate) fn delete_job(job: &JobView) -> Option<Action> {
    (!job.deleting).then(|| Action::DeleteJob {
        namespace: job.namespace.clone(),
        name: job.name.clone(),
        uid: job.uid.clone(),
    })
}
