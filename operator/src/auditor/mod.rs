//! Tells the audit how runs stand and what was seen of objects that configure (docs/decisions/0025). Only the leader does.
//!
//! What is told is read off objects, under ids that follow from them: who tells it again tells the same event, which is
//! stored once. So nothing is written down here of what was told. A leader that begins asks the audit which of its objects'
//! events are stored, and tells the others; it does the same when more came than it could hold, and once an hour. Builds
//! never wait for the audit.

mod backlog;
mod sights;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use imagefactory_core::audit::{Audited, Teller};
use imagefactory_crds::audit::{AuditEvent, MAX_QUESTION};
use imagefactory_serving::audit::{Breaker, Intake, IntakeError};
use imagefactory_serving::chain;
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::metrics::Telling;
use crate::watches::Hubs;
use backlog::Backlog;
use sights::Sight;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long events are gathered, to be told together.
const GATHER: Duration = Duration::from_millis(250);
/// How often it is asked whether all that is there was told.
const REVIEW: Duration = Duration::from_secs(3600);
/// How long what waits may be told when the process is asked to end. What is not, the next leader tells.
const LAST: Duration = Duration::from_secs(5);

/// Tells the audit.
pub struct Auditor {
    intake: Intake,
    user: String,
    shown: Telling,
    clock: fn() -> Timestamp,
    backlog: Backlog,
    breaker: Breaker,
    /// When what waits is told, at the earliest.
    due: Option<Instant>,
    /// Objects of which it is still to be asked whether they were told.
    review: Vec<Arc<dyn Audited>>,
    /// When all objects are looked at next.
    next_review: Instant,
}

impl Auditor {
    /// Tells that intake, as `user`, and shows how that goes.
    #[must_use]
    pub fn new(intake: Intake, user: String, shown: Telling, clock: fn() -> Timestamp) -> Self {
        Self {
            intake,
            user,
            shown,
            clock,
            backlog: Backlog::default(),
            breaker: Breaker::default(),
            due: None,
            review: Vec::new(),
            next_review: Instant::now(),
        }
    }

    /// Runs until `stop`, and then for a moment.
    pub async fn run(mut self, hubs: Hubs, stop: CancellationToken) {
        // Before the first review: what changes from then on is heard of.
        let mut sights = sights::changes(&hubs);
        info!("the audit is told");
        loop {
            let at = self.next_step();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(sight) = sights.next() => self.see(&sight),
                () = sleep_until(at) => self.step(&hubs).await,
            }
        }
        let left = timeout(LAST, self.finish()).await;
        if left.is_err() || self.backlog.len() > 0 {
            info!(left = self.backlog.len(), "the next leader tells the audit the rest");
        }
        self.show();
    }

    /// When something is to be done, at the earliest.
    fn next_step(&self) -> Instant {
        let work = match self.due {
            Some(due) if self.backlog.len() > 0 => due,
            _ if !self.review.is_empty() => Instant::now(),
            _ => self.next_review,
        };
        self.breaker.until().map_or(work, |until| until.max(work))
    }

    async fn step(&mut self, hubs: &Hubs) {
        if self.backlog.len() > 0 {
            self.deliver().await;
        } else if !self.review.is_empty() {
            self.ask().await;
        } else {
            self.review = sights::all(hubs);
            self.review.reverse();
            self.next_review = Instant::now() + REVIEW;
        }
        self.show();
    }

    async fn finish(&mut self) {
        while self.backlog.len() > 0 && self.breaker.is_closed() {
            self.deliver().await;
        }
    }

    fn see(&mut self, sight: &Sight) {
        let object = &*sight.object;
        let Some(uid) = object.uid() else { return };
        // Also of one that is gone by now: this is how it stood before.
        self.look(object);
        if sight.is_gone {
            let event = object.gone(self.teller());
            if !self.backlog.goes(uid, event) {
                // It can't be read off anything any more.
                self.shown.told("lost", 1);
            }
        }
        self.due.get_or_insert_with(|| Instant::now() + GATHER);
        self.show();
    }

    fn look(&mut self, object: &dyn Audited) {
        let (Some(uid), Some(id)) = (object.uid(), object.event_id()) else {
            return;
        };
        if self.backlog.has_told(uid, &id) {
            return;
        }
        let Some(event) = object.event(self.teller()) else {
            return;
        };
        if !self.backlog.stands(uid, event) {
            // A phase that passes meanwhile is lost; how the object stands then is told by the review.
            self.shown.told("deferred", 1);
            self.next_review = Instant::now();
        }
    }

    fn teller(&self) -> Teller<'_> {
        Teller {
            user: &self.user,
            now: (self.clock)(),
        }
    }

    async fn deliver(&mut self) {
        let batch = self.backlog.batch();
        match self.intake.deliver(&batch, PATIENCE).await {
            Ok(()) => {
                self.backlog.done(batch.len());
                self.went_well();
                self.shown.told("told", batch.len());
            }
            Err(error) if error.is_final() => self.refused(&batch, &error),
            Err(error) => self.failed(&error),
        }
        self.due = (self.backlog.len() > 0).then(Instant::now);
    }

    /// One event that the intake never takes must not hold up the others.
    fn refused(&mut self, batch: &[AuditEvent], error: &IntakeError) {
        match batch {
            [event] => {
                error!(
                    error = chain(error),
                    id = event.id,
                    "the audit refuses an event for good"
                );
                self.shown.told("refused", 1);
                self.backlog.done(1);
            }
            many => self.backlog.go_singly(many.len()),
        }
    }

    /// Asks which of the next objects' events are stored, and takes the others for untold.
    async fn ask(&mut self) {
        let from = self.review.len().saturating_sub(MAX_QUESTION);
        let next = self.review.split_off(from);
        let ids = next.iter().filter_map(|object| object.event_id()).collect();
        let known = match self.intake.known(ids, PATIENCE).await {
            Ok(known) => known,
            Err(error) => {
                self.review.extend(next);
                return self.failed(&error);
            }
        };
        self.went_well();
        for object in next.iter().rev() {
            let (Some(uid), Some(id)) = (object.uid(), object.event_id()) else {
                continue;
            };
            if known.contains(&id) {
                self.backlog.is_told(uid, &id);
                continue;
            }
            let Some(event) = object.event(self.teller()) else {
                continue;
            };
            // No more is asked before what waits was told: a full question has room.
            let _ = self.backlog.stands(uid, event);
        }
        self.due = (self.backlog.len() > 0).then(Instant::now);
    }

    fn went_well(&mut self) {
        if !self.breaker.is_closed() {
            info!("the audit takes events again");
        }
        self.breaker.well();
        self.shown.reached();
    }

    fn failed(&mut self, error: &IntakeError) {
        if self.breaker.is_closed() {
            warn!(
                error = chain(error),
                "the audit takes no events; they wait, and builds go on"
            );
        }
        self.breaker.failed(Instant::now());
        self.shown.failed();
    }

    fn show(&self) {
        self.shown.waiting(self.backlog.len() + self.review.len());
    }
}
