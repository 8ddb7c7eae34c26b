//! What a Build's status says at each moment of a run (product.md, Status): one function a moment.

mod waiting;

use imagefactory_crds::build::{
    BuildStatus, Failure, FailureClass, Judgement, Phase, ReferrerDigests, ScanStatus, Verdict,
};
use imagefactory_crds::conditions::{self, ConditionStatus, READY, RECONCILING, STALLED, SUCCEEDED, Statement};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::build::outcome::by_policy;
use crate::build::validated::Refusal;
use crate::step::Evidence;

// What crds/src/build/status.rs admits.
const MAX_BASES: usize = 8;
const MAX_REFERENCE: usize = 256;
const MAX_CAUSES: usize = 4;
const MAX_CAUSE: usize = 200;
const MAX_SCANNER: usize = 128;
const MAX_REASON: usize = 128;
const MAX_FAILURE: usize = 512;
const MAX_NEXT: usize = 256;

/// A status being written: what stood there, for which generation, when.
#[derive(Clone, Debug)]
pub struct Draft {
    status: BuildStatus,
    generation: i64,
    now: Timestamp,
}

/// Cause of a state, for programs and for people.
#[derive(Clone, Debug)]
pub struct Cause<'a> {
    /// CamelCase or a code.
    pub reason: &'a str,
    /// For people.
    pub message: &'a str,
}

impl Draft {
    /// Begins with what stands there.
    #[must_use]
    pub fn on(status: Option<&BuildStatus>, generation: i64, now: Timestamp) -> Self {
        Self {
            status: status.cloned().unwrap_or_default(),
            generation,
            now,
        }
    }

    /// Facts, beside the state.
    #[must_use]
    pub fn with(mut self, facts: impl FnOnce(&mut BuildStatus)) -> Self {
        facts(&mut self.status);
        self
    }

    /// What refers to the image, or to each image of an index, and must come along when it is published.
    #[must_use]
    pub fn evidence(&self) -> Vec<Evidence> {
        let Some(scan) = &self.status.scan else {
            return Vec::new();
        };
        let staged = self.status.staged.as_ref().map(|staged| staged.digest.0.clone());
        let whole = scan
            .referrers
            .iter()
            .zip(staged)
            .map(|(referrers, digest)| (digest, referrers, None));
        let images = scan.platforms.iter().filter_map(|image| {
            let referrers = image.referrers.as_ref()?;
            Some((image.digest.0.clone(), referrers, Some(image.platform.clone())))
        });
        whole
            .chain(images)
            .flat_map(|(subject, ReferrerDigests { sbom, report }, platform)| {
                [sbom, report].map(|digest| Evidence {
                    subject: subject.clone(),
                    digest: digest.0.clone(),
                    platform: platform.clone(),
                })
            })
            .collect()
    }

    /// Waiting or in progress.
    #[must_use]
    pub fn going_on(self, phase: Phase, cause: &Cause<'_>) -> BuildStatus {
        self.state(
            phase,
            &[
                (SUCCEEDED, ConditionStatus::Unknown),
                (READY, ConditionStatus::Unknown),
                (RECONCILING, ConditionStatus::True),
            ],
            cause,
        )
    }

    /// Published.
    #[must_use]
    pub fn succeeded(self, cause: &Cause<'_>) -> BuildStatus {
        let done = self.completed();
        done.state(
            Phase::Succeeded,
            &[(SUCCEEDED, ConditionStatus::True), (READY, ConditionStatus::True)],
            cause,
        )
    }

    /// Ended badly, for good.
    #[must_use]
    pub fn ended(self, phase: Phase, cause: &Cause<'_>) -> BuildStatus {
        let done = self.completed();
        done.state(
            phase,
            &[
                (SUCCEEDED, ConditionStatus::False),
                (READY, ConditionStatus::False),
                (STALLED, ConditionStatus::True),
            ],
            cause,
        )
    }

    /// Ended by a failure, whose class is the reason.
    #[must_use]
    pub fn failed(self, failure: Failure) -> BuildStatus {
        let phase = if failure.class == FailureClass::Timeout {
            Phase::TimedOut
        } else {
            Phase::Failed
        };
        let message = with_next(&failure.message, &failure.next);
        let reason = match failure.class {
            FailureClass::Timeout => Phase::TimedOut.as_str(),
            class => class.as_str(),
        }
        .to_owned();
        self.with(|status| status.failure = Some(Box::new(failure))).ended(
            phase,
            &Cause {
                reason: &reason,
                message: &message,
            },
        )
    }

    /// Refused before anything ran, or stopped because of it.
    #[must_use]
    pub fn refused(self, refusal: &Refusal) -> BuildStatus {
        let message = with_next(&refusal.message, &refusal.next);
        let reason = match (refusal.reason, refusal.class) {
            // What policy refuses has one reason, whenever it is known.
            (reason @ ("PolicyFailed" | "EvidenceUnknown"), _) | (reason, None) => reason,
            (_, Some(class)) => class.as_str(),
        };
        self.with(|status| status.failure = refusal.as_failure()).ended(
            Phase::Failed,
            &Cause {
                reason,
                message: &message,
            },
        )
    }

    /// Judged, and not to be published.
    #[must_use]
    pub fn not_publishable(self, verdict: &Verdict) -> BuildStatus {
        let (reason, next) = match verdict.result {
            Judgement::Unknown => (
                "EvidenceUnknown",
                "Unknown is not a pass: nothing was published. See status.verdict; create a new Build when the cause is gone.",
            ),
            Judgement::Pass | Judgement::Fail => (
                "PolicyFailed",
                "Nothing was published. See status.verdict; mend the image and create a new Build.",
            ),
        };
        let failure = by_policy(verdict, reason, next);
        let message = with_next(&failure.message, next);
        self.with(|status| status.failure = Some(Box::new(failure))).ended(
            Phase::Failed,
            &Cause {
                reason,
                message: &message,
            },
        )
    }

    fn completed(self) -> Self {
        let now = self.now;
        self.with(|status| {
            status.completion_time = Some(Time(now));
            (status.queue, status.next_attempt_at) = (None, None);
        })
    }

    fn state(mut self, phase: Phase, stated: &[(&'static str, ConditionStatus)], cause: &Cause<'_>) -> BuildStatus {
        let statements: Vec<Statement> = stated
            .iter()
            .map(|(type_, status)| Statement {
                type_,
                status: *status,
                reason: cause.reason.to_owned(),
                message: cause.message.to_owned(),
            })
            .collect();
        conditions::set(&mut self.status.conditions, &statements, self.generation, self.now);
        if self.status.phase != Some(phase) {
            self.status.phase = Some(phase);
            self.status.phase_time = Some(Time(self.now));
        }
        self.status.observed_generation = self.generation;
        fit(&mut self.status);
        self.status
    }
}

/// Cuts what others worded to what the schema admits: a status that is refused would never be written, and the build
/// would hang. Lengths never change what was decided.
fn fit(status: &mut BuildStatus) {
    if let Some(source) = &mut status.source {
        let beyond = u32::try_from(source.bases.len().saturating_sub(MAX_BASES)).unwrap_or(u32::MAX);
        if beyond > 0 {
            source.more_bases = Some(source.more_bases.unwrap_or_default().saturating_add(beyond));
        }
        source.bases.truncate(MAX_BASES);
        source
            .bases
            .iter_mut()
            .for_each(|base| cut(&mut base.reference, MAX_REFERENCE));
    }
    fit_judged(&mut status.verdict, &mut status.scan, &mut status.failure);
}

/// The same of what every status has whose image is judged.
pub(crate) fn fit_judged(
    verdict: &mut Option<Box<Verdict>>,
    scan: &mut Option<Box<ScanStatus>>,
    failure: &mut Option<Box<Failure>>,
) {
    for policy in verdict.iter_mut().flat_map(|verdict| &mut verdict.policies) {
        policy.causes.truncate(MAX_CAUSES);
        policy.causes.iter_mut().for_each(|cause| cut(cause, MAX_CAUSE));
    }
    if let Some(scan) = scan {
        cut(&mut scan.scanner, MAX_SCANNER);
    }
    if let Some(failure) = failure {
        cut(&mut failure.reason, MAX_REASON);
        cut(&mut failure.message, MAX_FAILURE);
        cut(&mut failure.next, MAX_NEXT);
    }
}

/// What happened and what to do about it, as a condition's message: where both are too long for one, the first is cut.
pub(crate) fn with_next(what: &str, next: &str) -> String {
    let room = conditions::MAX_MESSAGE.saturating_sub(next.chars().count() + 1);
    match what.char_indices().nth(room) {
        None => format!("{what} {next}"),
        Some(_) => {
            let kept: String = what.chars().take(room.saturating_sub(1)).collect();
            format!("{kept}… {next}")
        }
    }
}

fn cut(text: &mut String, most: usize) {
    text.truncate(text.floor_char_boundary(most));
}

/// Whether the build has ended, well or badly.
#[must_use]
pub fn is_settled(status: Option<&BuildStatus>) -> bool {
    status
        .and_then(|status| conditions::find(&status.conditions, SUCCEEDED))
        .is_some_and(|succeeded| succeeded.status != ConditionStatus::Unknown.as_str())
}
