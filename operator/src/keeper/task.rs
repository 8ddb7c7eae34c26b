//! Keeps one log, however often it takes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use imagefactory_core::build::logs::EndedContainer;
use imagefactory_crds::build::KeptLog;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::book::State;
use super::{has_pod, has_run};
use crate::archive::{CopyError, LogSource, Reader};
use crate::context::Context;
use crate::metrics::LogOutcome;
use crate::runner::{chain, delay};

/// Longest that one log may take: one that hangs must not keep others waiting for ever.
const LONGEST: Duration = Duration::from_secs(600);
/// Longest pause while the store fails.
const PAUSE: Duration = Duration::from_secs(30);

/// The log of a container that has ended.
struct PodLog {
    pods: Api<Pod>,
    pod: String,
    params: LogParams,
}

impl LogSource for PodLog {
    fn open(&self) -> BoxFuture<'_, Result<Reader, kube::Error>> {
        async {
            let reader = self.pods.log_stream(&self.pod, &self.params).await?;
            let reader: Reader = Box::pin(reader);
            Ok(reader)
        }
        .boxed()
    }
}

/// How a try ended.
enum Try {
    Decided(State),
    /// It lies in the store already.
    Found(KeptLog),
    StoreFails(String),
    Unreadable(String),
}

/// Keeps the log of one container, or finds that there is none to keep.
pub(super) async fn keep(context: Arc<Context>, container: EndedContainer) {
    let keeper = &context.keeper;
    let mut failures = 0;
    loop {
        let Ok(permit) = keeper.0.permits.acquire().await else {
            return;
        };
        let tried = attempt(&context, &container).await;
        failures += 1;
        match tried {
            Try::Decided(state) => {
                decided(&context, &container, &state);
                return keeper.set(&container, state);
            }
            // It was counted when it was kept.
            Try::Found(log) => return keeper.set(&container, State::Kept(log)),
            Try::StoreFails(error) => {
                store_fails(&context, &error);
                keeper.set(&container, State::StoreFails);
                // The permit is held: while the store fails, only a few ask it.
                sleep(delay(failures, rand::random()).min(PAUSE)).await;
            }
            Try::Unreadable(error) => {
                context.metrics.log_failed("source");
                debug!(
                    error,
                    pod = container.pod,
                    namespace = container.namespace,
                    container = container.container,
                    "log can't be read"
                );
                keeper.set(&container, State::Unreadable);
                drop(permit);
                sleep(delay(failures, rand::random())).await;
            }
        }
    }
}

async fn attempt(context: &Context, container: &EndedContainer) -> Try {
    let is_there = has_pod(&context.stores, container);
    // Where its Build is gone, no status says any more what is kept, and as a rule all of it is.
    if !is_there || !has_run(&context.stores, container) {
        match find(context, container).await {
            Some(found) => return found,
            None if !is_there => return Try::Decided(State::Lost),
            None => {}
        }
    }
    let source = PodLog {
        pods: Api::namespaced(context.client.clone(), &container.namespace),
        pod: container.pod.clone(),
        params: LogParams {
            container: Some(container.container.clone()),
            ..LogParams::default()
        },
    };
    let copied = timeout(LONGEST, context.keeper.archive().keep(container, &source)).await;
    match copied {
        // A pod of the same name may have come meanwhile, and the log may have been its.
        Ok(Ok(_)) if !has_pod(&context.stores, container) => Try::Decided(State::Lost),
        Ok(Ok(log)) => Try::Decided(State::Kept(log)),
        Ok(Err(CopyError::Store(error))) => Try::StoreFails(chain(&error)),
        Ok(Err(error)) if is_unknown(&error) || container.is_lost(context.now()) => {
            match find(context, container).await {
                Some(found) => found,
                None if container.is_unknown(context.now()) => lost(container, &error),
                None => Try::Unreadable(chain(&error)),
            }
        }
        Ok(Err(error)) => Try::Unreadable(chain(&error)),
        Err(_) => Try::StoreFails("copying the log took too long".to_owned()),
    }
}

/// Looks for the log in the store, before it is copied for nothing or called lost. None: it was never kept.
async fn find(context: &Context, container: &EndedContainer) -> Option<Try> {
    match context.keeper.archive().kept(container).await {
        Ok(found) => found.map(Try::Found),
        Err(error) => Some(Try::StoreFails(chain(&error))),
    }
}

fn lost(container: &EndedContainer, error: &CopyError) -> Try {
    warn!(
        error = chain(error),
        pod = container.pod,
        namespace = container.namespace,
        container = container.container,
        "log is lost"
    );
    Try::Decided(State::Lost)
}

/// The API server knows no such pod or container, or one that never ran. A kubelet that has just begun anew says so of each
/// for a while.
fn is_unknown(error: &CopyError) -> bool {
    matches!(error, CopyError::Ask(kube::Error::Api(status)) if matches!(status.code, 400 | 404))
}

fn decided(context: &Context, container: &EndedContainer, state: &State) {
    let State::Kept(log) = state else {
        return context.metrics.log_decided(LogOutcome::Lost, 0);
    };
    let outcome = if log.cut { LogOutcome::Cut } else { LogOutcome::Whole };
    context
        .metrics
        .log_decided(outcome, u64::try_from(log.bytes).unwrap_or_default());
    if context.keeper.0.store_fails.swap(false, Ordering::Relaxed) {
        info!("the object store works again; logs are kept");
    }
    debug!(path = container.path(), bytes = log.bytes, cut = log.cut, "log is kept");
}

/// Said once until it works again.
fn store_fails(context: &Context, error: &str) {
    context.metrics.log_failed("store");
    if !context.keeper.0.store_fails.swap(true, Ordering::Relaxed) {
        warn!(
            error,
            "logs can't be kept: builds go on, and their pods stay until the object store works again"
        );
    }
}
