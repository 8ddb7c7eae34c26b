//! The plans of a build that waits: for a slot, and for the next attempt.

use std::time::Duration;

use imagefactory_crds::BuildStatus;
use imagefactory_crds::build::Failure;

use super::{LATER, Note, Plan, Situation};
use crate::build::retry::{self, Attempt};
use crate::dispatch::{Standing, is_news};

impl Situation<'_> {
    /// How long the next attempt must still wait, if it must.
    pub(super) fn until_retry(&self) -> Option<Duration> {
        let at = self.build.status.as_ref()?.next_attempt_at.as_ref()?.0;
        let left = Duration::try_from(at.duration_since(self.now)).ok()?;
        (!left.is_zero()).then_some(left)
    }

    /// Waits for a slot, or for room in the quota. Said again only when it is news.
    pub(super) fn queues(&self, standing: &Standing, message: &str, again: Duration) -> Plan {
        let written = self.build.status.as_ref().and_then(|status| status.queue.as_deref());
        let status = is_news(written, standing).then(|| self.draft().queued(standing, message));
        Plan {
            status,
            again: Some(again),
            ..Plan::default()
        }
    }

    /// An attempt has failed: there is another, or it was the last.
    pub(super) fn tries_again(
        &self,
        failure: Failure,
        facts: impl FnOnce(&mut BuildStatus),
        last: impl FnOnce(&Self, Failure) -> Plan,
    ) -> Plan {
        let retry = self.validated.as_ref().ok().and_then(|build| {
            let status = self.build.status.as_ref();
            let attempt = Attempt {
                retries: status.map(|status| status.retries.as_slice()).unwrap_or_default(),
                used_seconds: status.and_then(|status| status.used_seconds),
                most: build.retries,
                began: self.started(),
                left: build.timeout,
                now: self.now,
            };
            retry::next(&failure, &attempt, &self.settings.builds.retries)
        });
        let Some(retry) = retry else {
            return last(self, failure);
        };
        let pause = Duration::try_from(retry.at.duration_since(self.now)).unwrap_or(LATER);
        let note = Note {
            reason: failure.class.as_str().to_owned(),
            message: format!("{} The build is tried again at {}.", failure.message, retry.at),
        };
        Plan {
            status: Some(self.draft().with(facts).failed_for_now(failure, &retry)),
            note: Some(note),
            again: Some(pause),
            ..Plan::default()
        }
    }
}
