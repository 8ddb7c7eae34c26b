//! What is opened: to append, or to read beside a process that appends.

use std::fmt::{Debug, Formatter};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use imagefactory_crds::audit::AuditEvent;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::audit::check::check;
use crate::audit::counts::Counts;
use crate::audit::fold::Rules;
use crate::audit::writer::{Appended, Job, QUEUE, Shown, Writer};
use crate::db::{Pool, Use};
use crate::error::StoreError;
use crate::migrate::migrate;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How the store keeps what it is given.
#[derive(Clone)]
pub struct Options {
    /// Equal denials in one window that are entries of their own; more become one entry with a count.
    pub fold_rate: u32,
    /// Length of a window; at least a second.
    pub fold_window: Duration,
    /// How long folded events are known again when they are delivered again.
    pub remember_folded: Duration,
    /// Tells the time.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fold_rate: 10,
            fold_window: Duration::from_secs(60),
            remember_folded: Duration::from_secs(3600),
            clock: Arc::new(Timestamp::now),
        }
    }
}

impl Debug for Options {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("fold_rate", &self.fold_rate)
            .field("fold_window", &self.fold_window)
            .finish_non_exhaustive()
    }
}

/// A store that is written to.
pub struct Store {
    jobs: mpsc::Sender<Job>,
    shown: Arc<Shown>,
    clock: Clock,
    writer: JoinHandle<()>,
}

impl Store {
    /// Opens the database at `sqlite://<path>` or `postgres://…`, brings its tables to this version and begins to write.
    ///
    /// # Errors
    /// When the URL is none of these, or the database can't be reached or prepared.
    pub async fn open(url: &str, options: Options) -> Result<Self, StoreError> {
        let pool = Pool::open(url, Use::Write).await?;
        migrate(&pool).await?;
        let rules = Rules {
            rate: options.fold_rate,
            window: micros(options.fold_window).max(1_000_000),
        };
        let mut writer = Writer::new(pool, rules, micros(options.remember_folded), options.clock.clone());
        writer.begin().await?;
        let (jobs, waiting) = mpsc::channel(QUEUE);
        Ok(Self {
            jobs,
            shown: writer.shown.clone(),
            clock: options.clock,
            writer: tokio::spawn(writer.run(waiting)),
        })
    }

    /// Appends a batch: all of it or none. When this returns, the events are durable, those that were known too.
    ///
    /// # Errors
    /// When an event can't be stored ([`StoreError::Invalid`]; none of the batch is), or the database is away. Then some
    /// may have been stored all the same: sending the same again is safe.
    pub async fn append(&self, events: Vec<AuditEvent>) -> Result<Appended, StoreError> {
        let now = (self.clock)();
        for (index, event) in events.iter().enumerate() {
            check(event, now).map_err(|problem| StoreError::Invalid { index, problem })?;
        }
        if events.is_empty() {
            return Ok(Appended::default());
        }
        let (done, answer) = oneshot::channel();
        self.jobs.try_send(Job { events, done }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// How often what happened, from what is stored.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shown.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why the last transaction failed; none if it did not.
    #[must_use]
    pub fn failed(&self) -> Option<StoreError> {
        self.shown.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Batches that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        QUEUE - self.jobs.capacity()
    }

    /// Writes what waits, and closes the database.
    pub async fn close(self) {
        drop(self.jobs);
        // A writer that has panicked has nothing to close.
        let _ = self.writer.await;
    }
}

impl Debug for Store {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

/// A database that is read: lists and verifies, also while another process writes.
#[derive(Clone)]
pub struct Reader {
    pub(crate) pool: Pool,
}

impl Reader {
    /// Opens the database to read.
    ///
    /// # Errors
    /// When the URL is none of ours, or the database is not there.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Ok(Self {
            pool: Pool::open(url, Use::Read).await?,
        })
    }

    /// Closes the database.
    pub async fn close(self) {
        self.pool.close().await;
    }
}

impl Debug for Reader {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader")
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
