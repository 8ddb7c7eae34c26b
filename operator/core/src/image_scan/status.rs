//! What an ImageScan's status says at each moment of a run (product.md, Status): one function a moment.

use imagefactory_crds::ImageScanStatus;
use imagefactory_crds::build::{Failure, FailureClass, Judgement, Verdict};
use imagefactory_crds::conditions::{self, ConditionStatus, READY, RECONCILING, STALLED, SUCCEEDED, Statement};
use imagefactory_crds::image_scan::ScanPhase;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::build::Refusal;
use crate::build::outcome::by_policy;
use crate::build::retry::Retry;
use crate::build::status::{fit_judged, with_next};
use crate::dispatch::Standing;

use ConditionStatus::{False, True, Unknown};

/// `Succeeded`, `Ready`, and the condition that is present beside them.
type Moment = (ConditionStatus, ConditionStatus, Option<&'static str>);
const GOES_ON: Moment = (Unknown, Unknown, Some(RECONCILING));
const FAILED_FOR_NOW: Moment = (Unknown, False, Some(RECONCILING));
const DONE: Moment = (True, True, None);
const ENDED: Moment = (False, False, Some(STALLED));

/// A status being written: what stood there, for which generation, when.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    status: ImageScanStatus,
    generation: i64,
    now: Timestamp,
}

impl Draft {
    /// Begins with what stands there.
    pub(super) fn on(status: Option<&ImageScanStatus>, generation: i64, now: Timestamp) -> Self {
        Self {
            status: status.cloned().unwrap_or_default(),
            generation,
            now,
        }
    }

    /// Facts, beside the state.
    pub(super) fn with(mut self, facts: impl FnOnce(&mut ImageScanStatus)) -> Self {
        facts(&mut self.status);
        self
    }

    /// An attempt begins: what was said of waiting and of the attempt before is no longer so.
    pub(super) fn begun(self, attempt: u32) -> Self {
        let now = self.now;
        self.with(|status| {
            let is_retry = status.next_attempt_at.take().is_some();
            (status.queue, status.failure) = (None, None);
            status.attempts = Some(attempt);
            if status.start_time.is_none() {
                status.start_time = Some(Time(now));
            } else if is_retry {
                status.attempt_time = Some(Time(now));
            }
        })
    }

    /// Waiting or in progress.
    pub(super) fn going_on(self, phase: ScanPhase, reason: &str, message: &str) -> ImageScanStatus {
        self.state(phase, GOES_ON, reason, message)
    }

    /// Waits for a slot.
    pub(super) fn queued(self, standing: &Standing) -> ImageScanStatus {
        let now = self.now;
        let queued = self.with(|status| status.queue = Some(standing.snapshot(now)));
        queued.going_on(ScanPhase::Queued, standing.limit.as_str(), &standing.message())
    }

    /// Failed for now: the phase stays, and says when it is tried again.
    pub(super) fn failed_for_now(self, failure: Failure, retry: &Retry) -> ImageScanStatus {
        let message = format!("{} Tried again at {}.", failure.message, retry.at);
        let reason = failure.class.as_str();
        let phase = self.status.phase.unwrap_or_default();
        let failed = self.with(|status| {
            status.retries.clone_from(&retry.retries);
            status.next_attempt_at = Some(Time(retry.at));
            status.used_seconds = Some(retry.used_seconds);
            status.failure = Some(Box::new(failure));
        });
        failed.state(phase, FAILED_FOR_NOW, reason, &message)
    }

    /// Scanned, and nothing stands against the image.
    pub(super) fn succeeded(self, reason: &str, message: &str) -> ImageScanStatus {
        self.completed().state(ScanPhase::Succeeded, DONE, reason, message)
    }

    /// Ended badly, for good.
    pub(super) fn ended(self, phase: ScanPhase, reason: &str, message: &str) -> ImageScanStatus {
        self.completed().state(phase, ENDED, reason, message)
    }

    /// Ended by a failure; `reason` is its class or what follows from it.
    pub(super) fn failed(self, phase: ScanPhase, reason: &str, failure: Failure) -> ImageScanStatus {
        let message = with_next(&failure.message, &failure.next);
        self.with(|status| status.failure = Some(Box::new(failure)))
            .ended(phase, reason, &message)
    }

    /// Refused before anything ran, or stopped because of it.
    pub(super) fn refused(self, refusal: &Refusal) -> ImageScanStatus {
        let message = with_next(&refusal.message, &refusal.next);
        let reason = refusal.class.map_or(refusal.reason, FailureClass::as_str);
        self.with(|status| status.failure = refusal.as_failure())
            .ended(ScanPhase::Failed, reason, &message)
    }

    /// Judged, and refused.
    pub(super) fn judged_against(self, verdict: &Verdict) -> ImageScanStatus {
        let (reason, next) = match verdict.result {
            Judgement::Unknown => (
                "EvidenceUnknown",
                "Unknown is not a pass. See status.verdict; create a new ImageScan when the cause is gone.",
            ),
            Judgement::Pass | Judgement::Fail => (
                "PolicyFailed",
                "See status.verdict; mend the image, and have it scanned by a new ImageScan.",
            ),
        };
        self.failed(ScanPhase::Failed, reason, by_policy(verdict, reason, next))
    }

    fn completed(self) -> Self {
        let now = self.now;
        self.with(|status| {
            status.completion_time = Some(Time(now));
            (status.queue, status.next_attempt_at) = (None, None);
        })
    }

    fn state(mut self, phase: ScanPhase, moment: Moment, reason: &str, message: &str) -> ImageScanStatus {
        let (succeeded, ready, beside) = moment;
        let stated = [(SUCCEEDED, succeeded), (READY, ready)];
        let stated = stated.into_iter().chain(beside.map(|type_| (type_, True)));
        let statements: Vec<Statement> = stated
            .map(|(type_, status)| Statement {
                type_,
                status,
                reason: reason.to_owned(),
                message: message.to_owned(),
            })
            .collect();
        let status = &mut self.status;
        conditions::set(&mut status.conditions, &statements, self.generation, self.now);
        if status.phase != Some(phase) {
            status.phase = Some(phase);
            status.phase_time = Some(Time(self.now));
        }
        status.observed_generation = self.generation;
        fit_judged(&mut status.verdict, &mut status.scan, &mut status.failure);
        self.status
    }
}
