//! The one place where a reconcile's end becomes log lines, metrics, events and a time to try again.

use std::fmt::{Display, Formatter};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt;
use kube::core::DynamicObject;
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType};
use kube::runtime::reflector::ObjectRef;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use super::backoff::Backoffs;
use super::chain;
use super::cut::{MAX_NOTE, cut};
use super::{ErrorCategory, Outcome, RECONCILE_TIMEOUT};
use crate::context::Context;
use crate::watches::{Malformed, Watched};

/// Reports for one controller.
pub(super) struct Reporter<K: Watched> {
    name: &'static str,
    /// How long what was written is given to come back.
    echo: Duration,
    context: Arc<Context>,
    backoffs: Backoffs<Key>,
    kind: std::marker::PhantomData<fn(K)>,
}

type Key = (Option<String>, String);

/// A reconcile that failed.
#[derive(Debug)]
pub(super) struct Failure<E> {
    cause: Cause<E>,
    key: Key,
}

#[derive(Debug)]
enum Cause<E> {
    Error(E),
    TimedOut,
}

impl<E: ErrorCategory> Failure<E> {
    fn category(&self) -> &'static str {
        match &self.cause {
            Cause::Error(error) => error.category(),
            Cause::TimedOut => "ReconcileTimedOut",
        }
    }

    fn is_permanent(&self) -> bool {
        matches!(&self.cause, Cause::Error(error) if error.is_permanent())
    }
}

impl<E> Display for Failure<E> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self.cause {
            Cause::Error(_) => f.write_str("reconcile failed"),
            Cause::TimedOut => write!(f, "reconcile took longer than {} seconds", RECONCILE_TIMEOUT.as_secs()),
        }
    }
}

impl<E: ErrorCategory> std::error::Error for Failure<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::Error(error) => Some(error),
            Cause::TimedOut => None,
        }
    }
}

impl<K: Watched> Reporter<K> {
    pub(super) fn new(name: &'static str, echo: Duration, context: Arc<Context>) -> Self {
        Self {
            name,
            echo,
            context,
            backoffs: Backoffs::default(),
            kind: std::marker::PhantomData,
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// The object is gone: its failures are forgotten.
    pub(super) fn forget(&self, object: &ObjectRef<DynamicObject>) {
        self.backoffs.reset(&(object.namespace.clone(), object.name.clone()));
    }

    /// Carries one reconcile to its end and reports it.
    pub(super) async fn attempt<E: ErrorCategory>(
        self: Arc<Self>,
        object: Arc<K>,
        reconcile: impl Future<Output = Result<Outcome, E>> + Send,
    ) -> Result<Action, Failure<E>> {
        let key: Key = (object.namespace(), object.name_any());
        let mut timer = Timer {
            reporter: &self,
            started: Instant::now(),
            outcome: "abandoned",
        };
        let cause = match timeout(RECONCILE_TIMEOUT, reconcile).await {
            Ok(Ok(outcome)) => {
                timer.outcome = outcome.label();
                self.backoffs.reset(&key);
                debug!(controller = self.name, ?key, outcome = outcome.label(), "reconciled");
                drop(timer);
                if outcome.has_written() && !self.echo.is_zero() {
                    sleep(self.echo).await;
                }
                return Ok(outcome.action());
            }
            Ok(Err(error)) => Cause::Error(error),
            Err(_) => Cause::TimedOut,
        };
        let failure = Failure { cause, key };
        timer.outcome = if failure.is_permanent() { "refused" } else { "failed" };
        drop(timer);
        self.report_failure(&failure, object.object_ref(&())).await;
        Err(failure)
    }

    /// When the object is tried again.
    pub(super) fn retry<E: ErrorCategory>(&self, failure: &Failure<E>) -> Action {
        if failure.is_permanent() {
            Action::await_change()
        } else {
            Action::requeue(self.backoffs.delay(&failure.key))
        }
    }

    /// Tells users of objects that do not parse. Never ends.
    pub(super) async fn report_malformed(self: Arc<Self>, mut objects: BoxStream<'static, Malformed>) {
        while let Some(malformed) = objects.next().await {
            let note = format!(
                "The object does not parse and nothing is done for it until it changes: {}",
                malformed.error
            );
            self.publish("Malformed", &note, &malformed.reference).await;
        }
    }

    async fn report_failure<E: ErrorCategory>(&self, failure: &Failure<E>, object: ObjectReference) {
        let category = failure.category();
        let is_news = self.backoffs.failed(failure.key.clone(), category);
        let error = chain(failure);
        warn!(
            controller = self.name,
            namespace = object.namespace.as_deref(),
            name = object.name.as_deref(),
            category,
            permanent = failure.is_permanent(),
            error = %error.escape_debug(),
            "reconcile failed"
        );
        if is_news {
            self.publish(category, &error, &object).await;
        }
    }

    async fn publish(&self, reason: &str, note: &str, object: &ObjectReference) {
        let event = Event {
            type_: EventType::Warning,
            reason: reason.to_owned(),
            note: Some(cut(note, MAX_NOTE).to_owned()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        // An event is a courtesy: what keeps it from being written must not keep work from being done.
        if let Err(error) = self.context.recorder.publish(&event, object).await {
            debug!(
                controller = self.name,
                error = chain(&error),
                "event could not be written"
            );
        }
    }
}

/// Observes a reconcile's duration and outcome when it is dropped: one that is aborted counts itself.
struct Timer<'a, K: Watched> {
    reporter: &'a Reporter<K>,
    started: Instant,
    outcome: &'static str,
}

impl<K: Watched> Drop for Timer<'_, K> {
    fn drop(&mut self) {
        self.reporter
            .context
            .metrics
            .reconciled(self.reporter.name, self.outcome, self.started.elapsed());
    }
}
