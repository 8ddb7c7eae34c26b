//! One task owns the spool and speaks to the intake. Events of concurrent requests wait for it together: they are one post,
//! or one wait for the disk.

mod blocked;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use imagefactory_crds::audit::{AuditEvent, MAX_BATCH};
use imagefactory_serving::audit::{Breaker, Intake, IntakeError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::spool::{Oldest, Spool, SpoolError};
use super::{Unrecorded, log};
use crate::metrics::Metrics;
use blocked::Disk;

/// How long an answer may wait for the intake.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most events that wait.
const QUEUE: usize = 4096;

struct Waiting {
    event: AuditEvent,
    done: oneshot::Sender<Result<(), Unrecorded>>,
}

/// A way to the task. Cloning gives another one.
#[derive(Clone, Debug)]
pub struct Delivery {
    queue: mpsc::Sender<Waiting>,
    full: Arc<AtomicBool>,
}

impl Delivery {
    /// Has an event made durable.
    ///
    /// # Errors
    /// When it is durable nowhere.
    pub async fn record(&self, event: AuditEvent) -> Result<(), Unrecorded> {
        let (done, answer) = oneshot::channel();
        self.queue.send(Waiting { event, done }).await.map_err(|_| Unrecorded)?;
        answer.await.map_err(|_| Unrecorded)?
    }

    /// What says whether the spool has no room. It holds no way to the task, which ends when nobody has one.
    pub fn clone_full(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let full = self.full.clone();
        move || full.load(Ordering::Relaxed)
    }
}

/// The task's state.
pub struct Deliverer {
    queue: mpsc::Receiver<Waiting>,
    full: Arc<AtomicBool>,
    intake: Intake,
    /// None only while a thread that may block has it, or after such a thread was lost.
    spool: Option<Spool>,
    draining: Option<Draining>,
    breaker: Breaker,
    disk: Disk,
    metrics: Arc<Metrics>,
}

/// A file of the spool on its way. It goes batch by batch, so that nobody waits for the whole of it.
struct Draining {
    oldest: Oldest,
    /// How many of its events are delivered.
    at: usize,
    /// How many of the next go one by one, because the intake does not take them together.
    singly: usize,
}

impl Draining {
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

/// A way to a task that is yet to be run.
#[must_use]
pub fn deliverer(spool: Spool, intake: Intake, metrics: Arc<Metrics>) -> (Delivery, Deliverer) {
    let (sender, queue) = mpsc::channel(QUEUE);
    let full = Arc::new(AtomicBool::new(spool.is_full()));
    let delivery = Delivery {
        queue: sender,
        full: full.clone(),
    };
    let deliverer = Deliverer {
        queue,
        full,
        intake,
        spool: Some(spool),
        draining: None,
        breaker: Breaker::default(),
        disk: Disk::default(),
        metrics,
    };
    deliverer.show();
    (delivery, deliverer)
}

impl Deliverer {
    /// Runs until nobody can send events any more and none waits, and then until the spool is empty; at most until `end`.
    pub async fn run(mut self, end: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            let (due, look) = (self.due(), self.disk.look());
            tokio::select! {
                biased;
                count = self.queue.recv_many(&mut batch, MAX_BATCH) => {
                    if count == 0 {
                        break;
                    }
                    self.take(std::mem::take(&mut batch)).await;
                }
                () = end.cancelled() => break,
                () = sleep_until(look.unwrap_or_else(Instant::now)), if look.is_some() => self.look().await,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.drain().await,
            }
        }
        self.finish(end).await;
    }

    /// When what is spooled is tried next; none while nothing is.
    fn due(&self) -> Option<Instant> {
        let waits = self.spool.as_ref().is_some_and(|spool| spool.events() > 0);
        waits.then(|| self.breaker.until().unwrap_or_else(Instant::now))
    }

    async fn take(&mut self, batch: Vec<Waiting>) {
        let (events, waiting): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.event, waiting.done)).unzip();
        let count = events.len() as u64;
        let outcome = if self.may_ask() && self.delivered(&events).await {
            Ok("delivered")
        } else {
            self.spooled(events).await.map(|()| "spooled")
        };
        self.metrics.events(outcome.unwrap_or("lost"), count);
        for done in waiting {
            // Who asked may have gone meanwhile.
            let _ = done.send(outcome.map(|_| ()));
        }
        self.show();
    }

    async fn delivered(&mut self, events: &[AuditEvent]) -> bool {
        match self.intake.deliver(events, PATIENCE).await {
            Ok(()) => {
                self.breaker.well();
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    fn failed(&mut self, error: &IntakeError) {
        self.metrics.events("delivery_failed", 1);
        if self.breaker.is_closed() {
            warn!(
                error = crate::chain(error),
                "the intake takes no events, they are spooled"
            );
        }
        self.breaker.failed(Instant::now());
    }

    async fn spooled(&mut self, events: Vec<AuditEvent>) -> Result<(), Unrecorded> {
        match self.on_disk(move |spool| spool.append(&events)).await {
            Ok(()) => {
                self.disk.well();
                Ok(())
            }
            Err(error) => {
                if matches!(error, SpoolError::Io(_)) {
                    self.disk.failed(Instant::now());
                }
                error!(
                    error = crate::chain(&error),
                    "events could not be spooled, what they tell was refused"
                );
                Err(Unrecorded)
            }
        }
    }

    /// Delivers the next events of the oldest file of the spool.
    async fn drain(&mut self) {
        let mut draining = match self.draining.take() {
            Some(draining) => draining,
            None => match self.on_disk(Spool::oldest).await {
                Ok(Some(oldest)) => Draining {
                    oldest,
                    at: 0,
                    singly: 0,
                },
                Ok(None) => return,
                Err(error) => {
                    warn!(error = crate::chain(&error), "the spool can't be read");
                    return self.breaker.failed(Instant::now());
                }
            },
        };
        if draining.next().is_empty() {
            return self.done(draining.oldest).await;
        }
        match self.intake.deliver(draining.next(), PATIENCE).await {
            Ok(()) => draining.went(draining.next().len()),
            Err(error) if error.is_final() => self.refused(&mut draining, &error),
            Err(error) => self.failed(&error),
        }
        self.draining = Some(draining);
    }

    /// One event that the intake never takes must not hold up the others: it is told to the log and let go.
    fn refused(&self, draining: &mut Draining, error: &IntakeError) {
        match draining.next() {
            [event] => {
                error!(
                    error = crate::chain(error),
                    id = event.id,
                    "the intake refuses an event for good"
                );
                log(event);
                self.metrics.events("refused", 1);
                draining.went(1);
            }
            many => draining.singly = many.len(),
        }
    }

    async fn done(&mut self, oldest: Oldest) {
        let count = oldest.events.len() as u64;
        match self.on_disk(move |spool| spool.delivered(&oldest)).await {
            Ok(()) => {
                self.breaker.well();
                self.metrics.events("delivered_from_spool", count);
            }
            Err(error) => {
                warn!(
                    error = crate::chain(&error),
                    "what was delivered could not be taken from the spool"
                );
                self.breaker.failed(Instant::now());
            }
        }
        self.show();
    }

    async fn finish(mut self, end: CancellationToken) {
        self.breaker.well();
        while let Some(due) = self.due() {
            tokio::select! {
                () = end.cancelled() => break,
                () = sleep_until(due) => self.drain().await,
            }
        }
        let left = self.spool.as_ref().map_or(0, Spool::events);
        info!(left, "the audit's delivery ended");
    }

    async fn on_disk<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut Spool) -> Result<T, SpoolError> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let Some(mut spool) = self.spool.take() else {
            return Err(SpoolError::Lost);
        };
        let acted = spawn_blocking(move || {
            let result = act(&mut spool);
            (spool, result)
        });
        let (spool, result) = acted.await.map_err(|_| SpoolError::Lost)?;
        self.spool = Some(spool);
        result
    }

    fn show(&self) {
        let (bytes, events, full) = self
            .spool
            .as_ref()
            .map_or((0, 0, true), |spool| (spool.bytes(), spool.events(), spool.is_full()));
        self.metrics.spool(bytes, events);
        let nowhere = self.disk.is_broken() && !self.breaker.is_closed();
        self.full.store(full || nowhere, Ordering::Relaxed);
    }
}
