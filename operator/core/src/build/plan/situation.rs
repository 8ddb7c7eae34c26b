//! What every stretch asks of a situation, and the plans that each may come to.

use std::time::Duration;

use imagefactory_crds::admission::known_requester;
use imagefactory_crds::build::{Failure, FailureClass, Judgement, Phase, Verdict};
use imagefactory_crds::{Build, BuildStatus};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::{HEALING, LATER, Note, Plan, SOON, delete_job};
use crate::build::failure::blank;
use crate::build::names::{Identity, Stage};
use crate::build::observed::{Observed, PodView};
use crate::build::status::{Cause, Draft, with_next};
use crate::build::validated::{Refusal, Validated};
use crate::dispatch::Slot;
use crate::settings::Settings;

/// Everything that a decision about one build reads.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The Build.
    pub build: &'a Build,
    /// What came of checking it.
    pub validated: &'a Result<Validated, Refusal>,
    /// What exists for it.
    pub observed: &'a Observed,
    /// What the queue said, if it was asked: see [`wish`](super::wish).
    pub slot: Slot,
    /// The platform's settings.
    pub settings: &'a Settings,
    /// Now.
    pub now: Timestamp,
}

/// Why a build is ended from outside.
pub(super) enum Stop {
    Cancelled,
    TimedOut,
    Refused(Refusal),
}

impl Situation<'_> {
    pub(super) fn generation(&self) -> i64 {
        self.build.metadata.generation.unwrap_or_default()
    }

    /// A draft on what stands there. A start that was not recorded, since its writer died, is made up for.
    pub(super) fn draft(&self) -> Draft {
        match self.our_pod() {
            Some(pod) if !self.is_recorded() => self.started_draft(&pod.name),
            _ => self.taken_on(),
        }
    }

    /// Who asked, as far as that is known.
    pub(super) fn requested_by(&self) -> Option<String> {
        let status = self.build.status.as_ref();
        let copied = status.and_then(|status| status.requested_by.as_deref());
        known_requester(self.build, copied, self.settings.stamps_requester)
    }

    /// A draft that holds who asked and what the build runs: with the first status that is written once that is known.
    fn taken_on(&self) -> Draft {
        let resolved = self.validated.as_ref().ok().map(|build| &build.resolved);
        Draft::on(self.build.status.as_ref(), self.generation(), self.now).with(|status| {
            status.requested_by = self.requested_by();
            status.resolved_spec = status.resolved_spec.take().or_else(|| resolved.cloned());
        })
    }

    /// A draft that records the start of a pod.
    pub(super) fn started_draft(&self, pod_name: &str) -> Draft {
        self.begins(Stage::Build)
            .with(|status| status.pod_name = Some(pod_name.to_owned()))
    }

    /// A draft that records the start of an attempt of that stage.
    pub(super) fn begins(&self, stage: Stage) -> Draft {
        let pod = self.our_pod().filter(|_| stage == Stage::Build);
        let start = pod.and_then(|pod| pod.created).unwrap_or(self.now);
        let attempt = Identity::of(self.build).map_or(1, |identity| identity.attempt_of(stage));
        self.taken_on().begun(stage, attempt, start)
    }

    /// Whether the status knows of the pod that is looked at: not of the next attempt's, whose maker died.
    fn is_recorded(&self) -> bool {
        let status = self.build.status.as_ref();
        status.is_some_and(|status| {
            status.start_time.is_some() && (status.next_attempt_at.is_none() || status.staged.is_some())
        })
    }

    /// Whether the build was dispatched and goes on: its status says so, or its pod is there.
    pub(super) fn has_started(&self) -> bool {
        let status = self.build.status.as_ref();
        let waits_again = status.is_some_and(|status| status.next_attempt_at.is_some());
        let is_staged = status.is_some_and(|status| status.staged.is_some());
        (self.is_recorded() && !waits_again) || (!is_staged && self.our_pod().is_some())
    }

    /// The pod of this attempt, if it was made for this very Build and not for an earlier one of its name.
    pub(super) fn our_pod(&self) -> Option<&PodView> {
        self.observed
            .pod
            .as_ref()
            .filter(|pod| self.is_ours(pod.build_uid.as_deref()))
    }

    pub(super) fn owner(&self) -> Option<OwnerReference> {
        kube_core::Resource::controller_owner_ref(self.build, &())
    }

    pub(super) fn is_ours(&self, build_uid: Option<&str>) -> bool {
        build_uid.is_some() && build_uid == self.build.metadata.uid.as_deref()
    }

    /// When the attempt began that goes on.
    pub(super) fn started(&self) -> Timestamp {
        let status = self.build.status.as_ref().filter(|_| self.is_recorded());
        let recorded = status
            .and_then(|status| status.attempt_time.as_ref().or(status.start_time.as_ref()))
            .map(|time| time.0);
        recorded
            .or_else(|| self.our_pod().and_then(|pod| pod.created))
            .unwrap_or(self.now)
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let timeout = self.validated.as_ref().ok()?.timeout;
        self.started().checked_add(timeout).ok()
    }

    /// Whether its user has it ended. One that is deleted and does not go, since somebody's finalizer holds it, is not to
    /// run on and keep its slot.
    pub(super) fn is_cancelled(&self) -> bool {
        self.build.spec.cancelled || self.build.metadata.deletion_timestamp.is_some()
    }

    /// Whether the build is to be ended, and why. What its user said comes first.
    pub(super) fn stop(&self) -> Option<Stop> {
        if self.is_cancelled() {
            return Some(Stop::Cancelled);
        }
        if let Err(refusal) = self.validated {
            return Some(Stop::Refused(refusal.clone()));
        }
        // At its own deadline: one that we lowered, for a refusal that was taken back since, is not the build's.
        let timed_out = |pod: &PodView| pod.was_ended_at_deadline() && !pod.was_told_to_end();
        let pod_timed_out = || self.our_pod().is_some_and(timed_out);
        (self.is_past_deadline() || pod_timed_out()).then_some(Stop::TimedOut)
    }

    pub(super) fn is_past_deadline(&self) -> bool {
        self.deadline().is_some_and(|deadline| self.now >= deadline)
    }

    pub(super) fn until_deadline(&self) -> Duration {
        let left = self
            .deadline()
            .map_or(SignedDuration::ZERO, |deadline| deadline.duration_since(self.now));
        Duration::try_from(left).unwrap_or_default().clamp(SOON, 2 * LATER)
    }

    pub(super) fn waits(&self, reason: &str, message: &str) -> Plan {
        let draft = self.draft().with(|status| status.queue = None);
        let status = draft.going_on(Phase::Queued, &Cause { reason, message });
        Plan {
            status: Some(status),
            again: Some(LATER),
            ..Plan::default()
        }
    }

    pub(super) fn refuses(&self, refusal: &Refusal) -> Plan {
        let age = self
            .build
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|created| self.now.duration_since(created.0));
        let is_new = age.is_some_and(|age| age < HEALING) && !self.has_started();
        if refusal.may_heal && is_new {
            let status = self.draft().going_on(
                Phase::Queued,
                &Cause {
                    reason: refusal.reason,
                    message: &refusal.message,
                },
            );
            return Plan {
                status: Some(status),
                again: Some(SOON),
                ..Plan::default()
            };
        }
        self.ends(self.draft().refused(refusal))
    }

    pub(super) fn fails(&self, failure: Failure) -> Plan {
        self.ends(self.draft().failed(failure))
    }

    /// The evidence is incomplete because the scan failed.
    pub(super) fn unknown(&self, failure: Failure) -> Plan {
        self.unknown_but(failure, |_| ())
    }

    /// The same, with what is known all the same.
    pub(super) fn unknown_but(&self, failure: Failure, facts: impl FnOnce(&mut BuildStatus)) -> Plan {
        let failure = Failure {
            class: FailureClass::Scan,
            ..failure
        };
        let message = with_next(
            &format!(
                "The image could not be scanned, and Unknown is not a pass: {}",
                failure.message
            ),
            &failure.next,
        );
        let draft = self.draft().with(facts).with(|status| {
            status.verdict = Some(Box::new(Verdict {
                result: Judgement::Unknown,
                publishable: false,
                policies: Vec::new(),
            }));
            status.failure = Some(Box::new(failure));
        });
        self.ends(draft.ended(
            Phase::Failed,
            &Cause {
                reason: "EvidenceUnknown",
                message: &message,
            },
        ))
    }

    /// A policy changed while the scan ran: what was judged is not what applies.
    pub(super) fn judge_again(&self) -> Plan {
        let job = self.observed.scan.as_ref().and_then(delete_job);
        Plan {
            actions: job.into_iter().collect(),
            again: Some(SOON),
            ..Plan::default()
        }
    }

    pub(super) fn stops_as(&self, stop: &Stop) -> Plan {
        match stop {
            Stop::Refused(refusal) => self.refuses(refusal),
            Stop::Cancelled => self.ends(self.draft().ended(
                Phase::Cancelled,
                &Cause {
                    reason: Phase::Cancelled.as_str(),
                    message: &format!("The build was cancelled. {}", self.published_nothing()),
                },
            )),
            Stop::TimedOut => self.ends(self.draft().failed(blank(
                FailureClass::Timeout,
                "TimedOut",
                format!("The build ran longer than its timeout. {}", self.published_nothing()),
                "Raise spec.timeout in a new Build, or make the build quicker.",
            ))),
        }
    }

    /// An attempt to publish that failed may have set the tag all the same: the answer may have been lost.
    pub(super) fn published_nothing(&self) -> &'static str {
        let was_tried = self.build.status.as_ref().is_some_and(|status| {
            let attempts = (status.stage_attempts.as_ref()).and_then(|attempts| attempts.publish);
            attempts.is_some_and(|attempt| attempt > 1 || status.next_attempt_at.is_some())
        });
        if was_tried {
            "It was being published: the registry says whether its tag was set."
        } else {
            "Nothing was published."
        }
    }

    /// The build is over, and not well: an event says so.
    pub(super) fn ends(&self, status: BuildStatus) -> Plan {
        let note = status.conditions.first().map(|condition| Note {
            reason: condition.reason.clone(),
            message: condition.message.clone(),
        });
        Plan {
            status: Some(status),
            note,
            ..Plan::default()
        }
    }
}
