//! One task owns the spool and speaks to the intake. Events of concurrent requests wait for it together: they are one post,
//! or one wait for the disk.

mod blocked;
mod draining;

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

use super::Unrecorded;
use super::spool::{Came, Spool, SpoolError};
use crate::metrics::Metrics;
use blocked::Disk;
use draining::Draining;

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
    /// When what the intake refused is tried again; none while there is nothing of it.
    again: Option<Instant>,
    metrics: Arc<Metrics>,
}

/// What the intake said to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// It has them.
    Yes,
    /// It has none of them, and one of them at least it never takes.
    No,
    /// It may have them.
    Nothing,
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
        again: None,
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
            let (due, look, again) = (self.due(), self.disk.look(), self.again);
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
                () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => self.try_again(),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.drain().await,
            }
        }
        self.finish(end).await;
    }

    /// When what is spooled is tried next; none while nothing is.
    fn due(&self) -> Option<Instant> {
        let waits = self.spool.as_ref().is_some_and(Spool::waits);
        waits.then(|| self.breaker.until().unwrap_or_else(Instant::now))
    }

    async fn take(&mut self, batch: Vec<Waiting>) {
        let (events, waiting): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.event, waiting.done)).unzip();
        let events: Arc<[AuditEvent]> = events.into();
        for (done, outcome) in waiting.into_iter().zip(self.recorded(&events).await) {
            self.metrics.events(outcome.unwrap_or("lost"), 1);
            // Who asked may have gone meanwhile.
            let _ = done.send(outcome.map(|_| ()));
        }
        self.show();
    }

    /// Of each event what became of it.
    async fn recorded(&mut self, events: &Arc<[AuditEvent]>) -> Vec<Result<&'static str, Unrecorded>> {
        let said = if self.may_ask() {
            Some(self.delivered(events).await)
        } else {
            None
        };
        let came = match said {
            Some(Said::Yes) => return vec![Ok("delivered"); events.len()],
            Some(Said::Nothing) => Came::Sent,
            // The others wait in the spool no longer than it takes to send each alone.
            Some(Said::No) | None => Came::New,
        };
        let kept = match self.spooled(events, came).await {
            Ok(kept) => kept.into_iter().map(|kept| kept.then_some("spooled")).collect(),
            Err(Unrecorded) if said == Some(Said::No) => self.each_delivered(events).await,
            Err(Unrecorded) => vec![None; events.len()],
        };
        kept.into_iter().map(|outcome| outcome.ok_or(Unrecorded)).collect()
    }

    async fn delivered(&mut self, events: &[AuditEvent]) -> Said {
        match self.intake.deliver(events, PATIENCE).await {
            Ok(()) => {
                self.breaker.well();
                if let Some(spool) = &mut self.spool {
                    spool.note(events);
                }
                Said::Yes
            }
            // It answers, and is well.
            Err(error) if error.is_final() => {
                warn!(
                    error = crate::chain(&error),
                    "the intake refuses a batch, each of its events is sent alone"
                );
                self.breaker.well();
                Said::No
            }
            Err(error) => {
                self.failed(&error);
                Said::Nothing
            }
        }
    }

    /// With no spool to keep them, those events of a refused batch are delivered that the intake takes.
    async fn each_delivered(&mut self, events: &[AuditEvent]) -> Vec<Option<&'static str>> {
        let mut outcomes = vec![None; events.len()];
        for (event, outcome) in events.iter().zip(&mut outcomes) {
            match self.delivered(std::slice::from_ref(event)).await {
                Said::Yes => *outcome = Some("delivered"),
                Said::No => {}
                // Nobody waits for one after the other.
                Said::Nothing => break,
            }
        }
        outcomes
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

    async fn spooled(&mut self, events: &Arc<[AuditEvent]>, came: Came) -> Result<Vec<bool>, Unrecorded> {
        let events = events.clone();
        match self.on_disk(move |spool| spool.append(&events, came)).await {
            Ok(kept) => {
                self.disk.well();
                Ok(kept)
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

    async fn finish(mut self, end: CancellationToken) {
        self.breaker.well();
        // What was refused as well, for the last time: another release of the intake may be there by now.
        self.try_again();
        while let Some(due) = self.due() {
            tokio::select! {
                () = end.cancelled() => break,
                () = sleep_until(due) => self.drain().await,
            }
        }
        let left = self.spool.as_ref().map_or(0, Spool::events);
        let refused = self.spool.as_ref().map_or(0, Spool::refused);
        info!(left, refused, "the audit's delivery ended");
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
        let full = self.spool.as_ref().is_none_or(Spool::is_full);
        let spool = self.spool.as_ref();
        let (bytes, events) = spool.map_or((0, 0), |spool| (spool.bytes(), spool.events()));
        self.metrics.spool(bytes, events, spool.map_or(0, Spool::refused));
        let nowhere = self.disk.is_broken() && !self.breaker.is_closed();
        self.full.store(full || nowhere, Ordering::Relaxed);
    }
}
