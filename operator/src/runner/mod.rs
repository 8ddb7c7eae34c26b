//! Runs a controller: one generic function for all of them.
//!
//! It carries what a reconcile returns to logs, metrics, events and back-off, so that a reconciler only decides and
//! acts. Waiting is an [`Outcome`], not an error. Errors come with a category, which is their metric label and the
//! reason of their event, and with whether trying again can help.

mod backoff;
mod cut;
mod report;

#[cfg(test)]
mod tests;

pub(crate) use backoff::delay;
pub use cut::{MAX_NOTE, cut};
pub use imagefactory_serving::chain;

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::runtime::Controller;
use kube::runtime::controller::{Action, Config, Error as ControllerError};
use kube::runtime::reflector::ObjectRef;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, trace};

use crate::context::Context;
use crate::watches::{Hub, Watched};
use report::{Failure, Reporter};

/// Longest that one reconcile may take: it makes a handful of requests.
const RECONCILE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the watches have to bring back what a reconcile wrote, before the same object is looked at again. Who looks
/// sooner makes the same once more, for the API server to refuse.
const ECHO: Duration = Duration::from_millis(100);
/// Reconciles of one controller that run at a time, where the controller does not say otherwise.
const CONCURRENCY: u16 = 8;

/// How a reconcile ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    work: Work,
    again: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Changed,
    Unchanged,
    Waiting,
}

impl Outcome {
    /// Something was written.
    #[must_use]
    pub fn changed() -> Self {
        Self {
            work: Work::Changed,
            again: None,
        }
    }

    /// All was as it should be.
    #[must_use]
    pub fn unchanged() -> Self {
        Self {
            work: Work::Unchanged,
            again: None,
        }
    }

    /// Something else has to happen first.
    #[must_use]
    pub fn waiting() -> Self {
        Self {
            work: Work::Waiting,
            again: None,
        }
    }

    /// Looks again after this time even if nothing changes.
    #[must_use]
    pub fn again_after(self, delay: Duration) -> Self {
        Self {
            again: Some(delay),
            ..self
        }
    }

    fn has_written(self) -> bool {
        self.work == Work::Changed
    }

    fn label(self) -> &'static str {
        match self.work {
            Work::Changed => "changed",
            Work::Unchanged => "unchanged",
            Work::Waiting => "waiting",
        }
    }

    fn action(self) -> Action {
        self.again.map_or_else(Action::await_change, Action::requeue)
    }
}

/// What an error of a reconciler says of itself.
pub trait ErrorCategory: std::error::Error + Send + Sync + 'static {
    /// CamelCase, from a small fixed set: log field and reason of the event.
    fn category(&self) -> &'static str;

    /// Whether trying again is pointless until something changes.
    fn is_permanent(&self) -> bool {
        false
    }
}

impl ErrorCategory for Infallible {
    fn category(&self) -> &'static str {
        match *self {}
    }
}

/// What a controller watches.
pub struct Wiring<K: Watched> {
    name: &'static str,
    objects: Hub<K>,
    triggers: Vec<BoxStream<'static, ObjectRef<K>>>,
    only: Option<Worth<K>>,
    echo: Duration,
    config: Config,
}

/// Whether a touched object is worth a reconcile.
type Worth<K> = Box<dyn Fn(&K) -> bool + Send + Sync>;

impl<K: Watched> Wiring<K> {
    /// A controller called `name` of the objects in a hub. It is woken when one of them is touched.
    #[must_use]
    pub fn new(name: &'static str, objects: &Hub<K>) -> Self {
        let config = Config::default().concurrency(CONCURRENCY);
        Self {
            name,
            objects: objects.clone(),
            triggers: Vec::new(),
            only: None,
            echo: ECHO,
            config,
        }
    }

    /// Wakes it for these objects too. See [`Hub::leads_to`].
    #[must_use]
    pub fn also_on(mut self, trigger: BoxStream<'static, ObjectRef<K>>) -> Self {
        self.triggers.push(trigger);
        self
    }

    /// Of the events about the objects themselves, wakes it for these alone. What `also_on` brings is not asked about.
    #[must_use]
    pub fn only(mut self, is_worth: impl Fn(&K) -> bool + Send + Sync + 'static) -> Self {
        self.only = Some(Box::new(is_worth));
        self
    }

    /// For a reconciler that itself puts off a look at what is older than what it wrote: after a write it is held up no
    /// longer, and so nobody else whose turn it would be.
    #[must_use]
    pub fn knows_its_writes(mut self) -> Self {
        self.echo = Duration::ZERO;
        self
    }

    /// How many reconciles may run at a time. Never two of the same object.
    #[must_use]
    pub fn concurrency(mut self, concurrency: u16) -> Self {
        self.config = self.config.concurrency(concurrency);
        self
    }

    /// Waits this long for more to happen to an object before it is reconciled, so that what comes together is one write.
    #[must_use]
    pub fn debounce(mut self, pause: Duration) -> Self {
        self.config = self.config.debounce(pause);
        self
    }
}

/// Runs a controller until `stop`, then lets reconciles that are in flight finish. Dropping the future aborts them.
pub async fn run<K, E, F, R>(wiring: Wiring<K>, context: Arc<Context>, stop: CancellationToken, reconcile: F)
where
    K: Watched + DeserializeOwned,
    E: ErrorCategory,
    F: Fn(Arc<K>, Arc<Context>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Outcome, E>> + Send + 'static,
{
    let Wiring {
        name,
        objects,
        triggers,
        only,
        echo,
        config,
    } = wiring;
    info!(controller = name, "controller starts");
    let reporter = Arc::new(Reporter::<K>::new(name, echo, context.clone()));
    let malformed = reporter.clone().report_malformed(objects.malformed_objects());
    let is_worth = move |object: &Arc<K>| only.as_ref().is_none_or(|only| only(object));
    let touched = objects.subscribe().filter(move |object| ready(is_worth(object)));
    let mut controller = Controller::for_shared_stream(touched, objects.store());
    for trigger in triggers {
        controller = controller.reconcile_on(trigger);
    }
    let (attempts, retries) = (reporter.clone(), reporter.clone());
    let results = controller
        .with_config(config)
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(
            move |object, context| attempts.clone().attempt(object.clone(), reconcile(object, context)),
            move |_, failure, _| retries.retry(failure),
            context,
        )
        .for_each(|result| {
            report_stream(&reporter, result.err());
            ready(())
        });
    tokio::select! {
        () = results => {}
        () = malformed => {}
    }
    info!(controller = name, "controller stopped");
}

/// What the framework itself says. Failures of the reconciler were reported where they happened.
fn report_stream<K: Watched, E: ErrorCategory, Q: std::error::Error>(
    reporter: &Reporter<K>,
    result: Option<ControllerError<Failure<E>, Q>>,
) {
    match result {
        None | Some(ControllerError::ReconcilerFailed(..)) => {}
        // Deleted between the event that woke us and now. Nothing is left to do.
        Some(ControllerError::ObjectNotFound(object)) => {
            trace!(controller = reporter.name(), %object, "object is gone");
            reporter.forget(&object);
        }
        Some(ControllerError::QueueError(cause)) => {
            error!(controller = reporter.name(), %cause, "queue failed");
        }
        Some(ControllerError::RunnerError(cause)) => {
            error!(controller = reporter.name(), %cause, "store is gone");
        }
    }
}
