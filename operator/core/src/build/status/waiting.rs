//! The moments of waiting: for a slot, for the next attempt, and the end of it.

use imagefactory_crds::build::{BuildStatus, Failure, Phase};
use imagefactory_crds::conditions::{ConditionStatus, READY, RECONCILING, SUCCEEDED};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Cause, Draft};
use crate::build::names::Stage;
use crate::build::retry::Retry;
use crate::dispatch::Standing;

impl Draft {
    /// An attempt of that stage begins: what was said of waiting and of the attempt before is no longer so.
    #[must_use]
    pub fn begun(self, stage: Stage, attempt: u32, at: Timestamp) -> Self {
        self.with(|status| {
            let is_retry = status.next_attempt_at.take().is_some();
            (status.queue, status.failure) = (None, None);
            match stage {
                Stage::Build => {
                    status.attempts = Some(attempt);
                    status.source = None;
                }
                Stage::Scan => status.stage_attempts.get_or_insert_default().scan = Some(attempt),
                Stage::Publish => status.stage_attempts.get_or_insert_default().publish = Some(attempt),
            }
            let is_first = status.start_time.is_none();
            if is_first {
                status.start_time = Some(Time(at));
            } else if is_retry {
                status.attempt_time = Some(Time(at));
            }
        })
    }

    /// Waits for a slot.
    #[must_use]
    pub fn queued(self, standing: &Standing, message: &str) -> BuildStatus {
        let now = self.now;
        let queued = self.with(|status| status.queue = Some(Box::new(standing.snapshot(now))));
        queued.going_on(
            Phase::Queued,
            &Cause {
                reason: standing.limit.as_str(),
                message,
            },
        )
    }

    /// Failed for now: the phase stays, and says when it is tried again.
    #[must_use]
    pub fn failed_for_now(self, failure: Failure, retry: &Retry) -> BuildStatus {
        let message = format!("{} Tried again at {}.", failure.message, retry.at);
        let reason = failure.class.as_str();
        let phase = self.status.phase.unwrap_or_default();
        let failed = self.with(|status| {
            status.retries.clone_from(&retry.retries);
            status.next_attempt_at = Some(Time(retry.at));
            status.used_seconds = Some(retry.used_seconds);
            status.failure = Some(Box::new(failure));
        });
        failed.state(
            phase,
            &[
                (SUCCEEDED, ConditionStatus::Unknown),
                (READY, ConditionStatus::False),
                (RECONCILING, ConditionStatus::True),
            ],
            &Cause {
                reason,
                message: &message,
            },
        )
    }
}
