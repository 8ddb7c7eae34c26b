//! The one who writes: takes all batches that wait, commits them in one transaction, and acknowledges each after that.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use imagefactory_crds::audit::AuditEvent;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::warn;

use super::commit::{Done, Terms, commit};
use super::counts::{Counter, Counts};
use super::fold::Rules;
use crate::db::Pool;
use crate::error::StoreError;
use crate::store::Clock;

/// Batches that may wait.
pub(crate) const QUEUE: usize = 1024;
/// Events of one transaction, if a single batch has not more.
const GROUP: usize = 1024;
/// How often due folds are looked for while nothing comes.
const TICK: Duration = Duration::from_secs(5);
/// Longest transaction.
const PATIENCE: Duration = Duration::from_secs(15);

/// A batch is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Events that were new.
    pub stored: usize,
    /// Events that were known: stored or counted before, or the same write asked for again.
    pub known: usize,
}

/// A batch that waits.
pub(crate) struct Job {
    pub(crate) events: Vec<AuditEvent>,
    pub(crate) done: oneshot::Sender<Result<Appended, StoreError>>,
}

/// What others may look at.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) counts: Mutex<Counts>,
    /// Why the last transaction failed.
    pub(crate) failed: Mutex<Option<StoreError>>,
}

pub(crate) struct Writer {
    pub(crate) pool: Pool,
    pub(crate) rules: Rules,
    /// How long folded ids are remembered, in microseconds.
    pub(crate) remember: i64,
    pub(crate) clock: Clock,
    pub(crate) shown: Arc<Shown>,
    counter: Counter,
}

impl Writer {
    pub(crate) fn new(pool: Pool, rules: Rules, remember: i64, clock: Clock) -> Self {
        Self {
            pool,
            rules,
            remember,
            clock,
            shown: Arc::default(),
            counter: Counter::default(),
        }
    }

    /// Reads the counters and closes folds that became due while nobody was there.
    pub(crate) async fn begin(&mut self) -> Result<(), StoreError> {
        self.tick().await
    }

    /// Until nobody can send any more.
    pub(crate) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                job = jobs.recv() => match job {
                    Some(job) => {
                        let group = gather(job, &mut jobs);
                        self.serve(group).await;
                    }
                    None => break,
                },
                _ = ticks.tick() => {
                    if let Err(error) = self.tick().await {
                        warn!(%error, "the audit could not be looked after");
                    }
                }
            }
        }
        self.pool.close().await;
    }

    async fn tick(&mut self) -> Result<(), StoreError> {
        let forget = self.now().saturating_sub(self.remember);
        while self.commit(Vec::new(), Some(forget)).await?.more {}
        Ok(())
    }

    async fn serve(&mut self, group: Vec<Job>) {
        let events = group.iter().flat_map(|job| job.events.iter().cloned()).collect();
        match self.commit(events, None).await {
            Ok(done) => acknowledge(group, &done.is_new),
            // One of them may be what the database refuses: the others are not to suffer.
            Err(StoreError::Unavailable(error)) if group.len() > 1 && error.as_database_error().is_some() => {
                for job in group {
                    self.serve_alone(job).await;
                }
            }
            Err(error) => {
                for job in group {
                    // Whoever asked may have gone.
                    let _ = job.done.send(Err(error.clone()));
                }
            }
        }
    }

    async fn serve_alone(&mut self, job: Job) {
        match self.commit(job.events.clone(), None).await {
            Ok(done) => acknowledge(vec![job], &done.is_new),
            Err(error) => {
                let _ = job.done.send(Err(error));
            }
        }
    }

    async fn commit(&mut self, events: Vec<AuditEvent>, forget: Option<i64>) -> Result<Done, StoreError> {
        let terms = Terms {
            rules: self.rules,
            now: self.now(),
            forget,
        };
        let ended = timeout(PATIENCE, commit(&self.pool, events, terms, self.counter.clone())).await;
        let ended = ended.unwrap_or(Err(StoreError::TooSlow));
        let failed = ended.as_ref().err().cloned();
        *self.shown.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
        let done = ended?;
        self.counter = done.counter.clone();
        *self.shown.counts.lock().unwrap_or_else(PoisonError::into_inner) = self.counter.total();
        Ok(done)
    }

    fn now(&self) -> i64 {
        (self.clock)().as_microsecond()
    }
}

/// What waits beside the first, up to the size of a group.
fn gather(first: Job, jobs: &mut mpsc::Receiver<Job>) -> Vec<Job> {
    let mut size = first.events.len();
    let mut group = vec![first];
    while size < GROUP {
        let Ok(job) = jobs.try_recv() else { break };
        size += job.events.len();
        group.push(job);
    }
    group
}

fn acknowledge(group: Vec<Job>, is_new: &[bool]) {
    let mut rest = is_new;
    for job in group {
        let (ours, others) = rest.split_at(job.events.len().min(rest.len()));
        rest = others;
        let stored = ours.iter().filter(|new| **new).count();
        let appended = Appended {
            stored,
            known: ours.len() - stored,
        };
        // Whoever asked may have gone: the events are stored all the same.
        let _ = job.done.send(Ok(appended));
    }
}
