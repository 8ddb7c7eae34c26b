//! What is spooled, on its way: file by file, batch by batch, and what the intake refuses one by one.

use std::time::Duration;

use imagefactory_crds::audit::{AuditEvent, MAX_BATCH};
use imagefactory_serving::audit::IntakeError;
use tokio::time::Instant;
use tracing::{error, warn};

use super::{Deliverer, PATIENCE};
use crate::audit::log;
use crate::audit::spool::{Oldest, Spool};

/// Pause until what was refused is tried again: who refused it may have been replaced by a newer release.
const AGAIN: Duration = Duration::from_mins(10);

/// A file of the spool on its way. It goes batch by batch, so that nobody waits for the whole of it.
pub(super) struct Draining {
    oldest: Oldest,
    /// How many of its events are delivered or refused.
    at: usize,
    /// How many of the next go one by one, because the intake does not take them together.
    singly: usize,
    /// Those that it refused one by one.
    refused: Vec<AuditEvent>,
}

impl Draining {
    fn of(oldest: Oldest) -> Self {
        Self {
            oldest,
            at: 0,
            singly: 0,
            refused: Vec::new(),
        }
    }

    fn next(&self) -> &[AuditEvent] {
        let most = if self.singly > 0 { 1 } else { MAX_BATCH };
        let rest = self.oldest.events.get(self.at..).unwrap_or_default();
        rest.get(..most).unwrap_or(rest)
    }

    fn went(&mut self, count: usize) {
        self.at += count;
        self.singly = self.singly.saturating_sub(count);
    }
}

impl Deliverer {
    /// Delivers the next events of the oldest file of the spool.
    pub(super) async fn drain(&mut self) {
        let mut draining = match self.draining.take() {
            Some(draining) => draining,
            None => match self.on_disk(Spool::oldest).await {
                Ok(Some(oldest)) => Draining::of(oldest),
                Ok(None) => return,
                Err(error) => {
                    warn!(
                        error = crate::chain(&error),
                        "a file of the spool can't be read, it is tried again later"
                    );
                    return self.later();
                }
            },
        };
        if draining.next().is_empty() {
            return self.done(draining).await;
        }
        match self.intake.deliver(draining.next(), PATIENCE).await {
            Ok(()) => draining.went(draining.next().len()),
            Err(error) if error.is_final() => self.refused(&mut draining, &error),
            Err(error) => self.failed(&error),
        }
        self.draining = Some(draining);
    }

    /// One event that the intake does not take must not hold up the others: it is told to the log, and kept apart.
    fn refused(&self, draining: &mut Draining, error: &IntakeError) {
        match draining.next() {
            [event] => {
                let event = event.clone();
                if !draining.oldest.again {
                    error!(
                        error = crate::chain(error),
                        id = event.id,
                        "the intake refuses an event, which is kept on the spool and tried again"
                    );
                    log(&event);
                    self.metrics.events("refused", 1);
                }
                draining.refused.push(event);
                draining.went(1);
            }
            many => draining.singly = many.len(),
        }
    }

    /// The disk's errors are none of the intake's: they never have it left alone.
    async fn done(&mut self, draining: Draining) {
        let Draining { oldest, refused, .. } = draining;
        let delivered = oldest.events.len() - refused.len();
        if !refused.is_empty() {
            self.later();
        }
        // It has answered for every event, whatever the disk says now.
        self.breaker.well();
        match self.on_disk(move |spool| spool.delivered(&oldest, &refused)).await {
            Ok(lost) => {
                self.metrics.events("delivered_from_spool", delivered as u64);
                if lost > 0 {
                    error!(
                        lost,
                        "what the intake refused finds no room on the spool, the log alone has it"
                    );
                    self.metrics.events("lost", lost as u64);
                }
            }
            Err(error) => {
                warn!(
                    error = crate::chain(&error),
                    "what was delivered could not be taken from the spool"
                );
                self.later();
            }
        }
        self.show();
    }

    /// What is put aside now is tried again in time.
    fn later(&mut self) {
        self.again.get_or_insert_with(|| Instant::now() + AGAIN);
    }

    /// Has what the intake refused delivered again, and files with which the disk failed.
    pub(super) fn try_again(&mut self) {
        self.again = None;
        if let Some(spool) = &mut self.spool {
            spool.release();
        }
    }
}
