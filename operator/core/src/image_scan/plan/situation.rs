//! What a decision about a scan reads, and the plans that each stretch may come to.

use std::time::Duration;

use imagefactory_crds::admission::known_requester;
use imagefactory_crds::build::{Failure, FailureClass, Judgement, Verdict};
use imagefactory_crds::image_scan::ScanPhase;
use imagefactory_crds::{ImageScan, ImageScanStatus};
use jiff::{SignedDuration, Timestamp};

use super::super::status::Draft;
use super::super::{Plan, Validated};
use super::{HEALING, LATER, SOON};
use crate::build::failure::blank;
use crate::build::retry::{self, Attempt};
use crate::build::status::with_next;
use crate::build::{JobView, Note, Refusal};
use crate::dispatch::Slot;
use crate::settings::Settings;

/// Everything that a decision about one scan reads.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The ImageScan.
    pub scan: &'a ImageScan,
    /// What came of checking it.
    pub validated: &'a Result<Validated, Refusal>,
    /// The job of this attempt, if it exists.
    pub job: Option<&'a JobView>,
    /// The job of the attempt before, while the next one waits.
    pub earlier: Option<&'a JobView>,
    /// What the queue said, if it was asked: see [`wish`](super::wish).
    pub slot: Slot,
    /// The platform's settings.
    pub settings: &'a Settings,
    /// Now.
    pub now: Timestamp,
}

/// Why a scan is ended from outside.
pub(super) enum Stop {
    Cancelled,
    TimedOut,
    Refused(Refusal),
}

impl<'a> Situation<'a> {
    pub(super) fn status(&self) -> Option<&'a ImageScanStatus> {
        self.scan.status.as_ref()
    }

    pub(super) fn generation(&self) -> i64 {
        self.scan.metadata.generation.unwrap_or_default()
    }

    /// A draft on what stands there, with who asked.
    pub(super) fn draft(&self) -> Draft {
        Draft::on(self.status(), self.generation(), self.now).with(|status| status.requested_by = self.requested_by())
    }

    /// Who asked, as far as that is known.
    pub(super) fn requested_by(&self) -> Option<String> {
        let copied = self.status().and_then(|status| status.requested_by.as_deref());
        known_requester(self.scan, copied, self.settings.stamps_requester)
    }

    /// Whether an attempt was begun and goes on: the status says so before its job exists.
    pub(super) fn has_started(&self) -> bool {
        self.status()
            .is_some_and(|status| status.start_time.is_some() && status.next_attempt_at.is_none())
    }

    /// When the attempt began that goes on.
    fn started(&self) -> Timestamp {
        let recorded = self
            .status()
            .and_then(|status| status.attempt_time.as_ref().or(status.start_time.as_ref()));
        recorded.map_or(self.now, |time| time.0)
    }

    fn deadline(&self) -> Option<Timestamp> {
        let timeout = self.validated.as_ref().ok()?.timeout;
        self.started().checked_add(timeout).ok()
    }

    /// Whether its user has it ended. One that is deleted and does not go, since somebody's finalizer holds it, is not to
    /// run on and keep its slot.
    pub(super) fn is_cancelled(&self) -> bool {
        self.scan.spec.cancelled || self.scan.metadata.deletion_timestamp.is_some()
    }

    /// Whether the scan is to be ended, and why. What its user said comes first.
    pub(super) fn stop(&self) -> Option<Stop> {
        if self.is_cancelled() {
            return Some(Stop::Cancelled);
        }
        if let Err(refusal) = self.validated {
            return Some(Stop::Refused(refusal.clone()));
        }
        let is_over = self.deadline().is_some_and(|deadline| self.now >= deadline);
        is_over.then_some(Stop::TimedOut)
    }

    pub(super) fn until_deadline(&self) -> Duration {
        let deadline = self.deadline();
        let left = deadline.map_or(SignedDuration::ZERO, |deadline| deadline.duration_since(self.now));
        Duration::try_from(left).unwrap_or_default().clamp(SOON, 2 * LATER)
    }

    /// How long the next attempt must still wait, if it must.
    pub(super) fn until_retry(&self) -> Option<Duration> {
        let at = self.status()?.next_attempt_at.as_ref()?.0;
        let left = Duration::try_from(at.duration_since(self.now)).ok()?;
        (!left.is_zero()).then_some(left)
    }

    pub(super) fn waits(&self, reason: &str, message: &str) -> Plan {
        let draft = self.draft().with(|status| status.queue = None);
        Plan {
            status: Some(draft.going_on(ScanPhase::Queued, reason, message)),
            again: Some(LATER),
            ..Plan::default()
        }
    }

    pub(super) fn refuses(&self, refusal: &Refusal) -> Plan {
        let created = self.scan.metadata.creation_timestamp.as_ref();
        let age = created.map(|created| self.now.duration_since(created.0));
        let is_new = age.is_some_and(|age| age < HEALING) && !self.has_started();
        if refusal.may_heal && is_new {
            return Plan {
                status: Some(
                    self.draft()
                        .going_on(ScanPhase::Queued, refusal.reason, &refusal.message),
                ),
                again: Some(SOON),
                ..Plan::default()
            };
        }
        self.ends(self.draft().refused(refusal))
    }

    pub(super) fn stops_as(&self, stop: &Stop) -> Plan {
        match stop {
            Stop::Refused(refusal) => self.refuses(refusal),
            Stop::Cancelled => {
                let phase = ScanPhase::Cancelled;
                self.ends(self.draft().ended(phase, phase.as_str(), "The scan was cancelled."))
            }
            Stop::TimedOut => {
                let failure = blank(
                    FailureClass::Timeout,
                    "TimedOut",
                    "The scan ran longer than its timeout.".to_owned(),
                    "Raise spec.timeout in a new ImageScan.",
                );
                let phase = ScanPhase::TimedOut;
                self.ends(self.draft().failed(phase, phase.as_str(), failure))
            }
        }
    }

    /// An attempt has failed: there is another, or it was the last.
    pub(super) fn tries_again(&self, failure: Failure, facts: impl FnOnce(&mut ImageScanStatus)) -> Plan {
        let status = self.status();
        let retry = self.validated.as_ref().ok().and_then(|scan| {
            let attempt = Attempt {
                retries: status.map(|status| status.retries.as_slice()).unwrap_or_default(),
                used_seconds: status.and_then(|status| status.used_seconds),
                most: None,
                began: self.started(),
                left: scan.timeout,
                now: self.now,
            };
            retry::next(&failure, &attempt, &self.settings.builds.retries)
        });
        let Some(retry) = retry else {
            return self.unknown(failure, facts);
        };
        let pause = Duration::try_from(retry.at.duration_since(self.now)).unwrap_or(LATER);
        let note = Note {
            reason: failure.class.as_str().to_owned(),
            message: format!("{} The scan is tried again at {}.", failure.message, retry.at),
        };
        Plan {
            status: Some(self.draft().with(facts).failed_for_now(failure, &retry)),
            note: Some(note),
            again: Some(pause),
            ..Plan::default()
        }
    }

    /// The scan failed, so that nothing is known of the image. That it can't be had is its user's to mend and has a reason
    /// of its own.
    pub(super) fn unknown(&self, failure: Failure, facts: impl FnOnce(&mut ImageScanStatus)) -> Plan {
        let reason = match failure.class {
            FailureClass::Pull => FailureClass::Pull.as_str(),
            _ => "EvidenceUnknown",
        };
        let message = with_next(
            &format!(
                "The image could not be scanned, and Unknown is not a pass: {}",
                failure.message
            ),
            &failure.next,
        );
        let draft = self.draft().with(facts).with(|status| {
            (status.scan, status.evidence) = (None, None);
            status.verdict = Some(Box::new(Verdict {
                result: Judgement::Unknown,
                publishable: false,
                policies: Vec::new(),
            }));
            status.failure = Some(Box::new(failure));
        });
        self.ends(draft.ended(ScanPhase::Failed, reason, &message))
    }

    /// The scan is over, and not well: an event says so.
    pub(super) fn ends(&self, status: ImageScanStatus) -> Plan {
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
