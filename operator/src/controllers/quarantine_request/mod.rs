//! QuarantineRequests: observe → plan → status. A request is judged as long as it waits; nothing is made for it yet.

mod error;
mod observe;
mod quota;
mod watches;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use imagefactory_core::quarantine_request::{decide, look_again, status};
use imagefactory_crds::QuarantineRequest;
use kube::{Api, ResourceExt};
use tokio_util::sync::CancellationToken;

use super::tenant::halt;
use super::tenant::home::is_out_of_reach;
use crate::apply::Write;
use crate::context::Context;
use crate::runner::{self, Outcome};
use crate::watches::Hubs;

use quota::Quotas;

pub use error::QuarantineRequestError;

/// How soon to look again after the request turned out to have changed since it was read.
const SOON: Duration = Duration::from_secs(1);
/// How soon to look again at what was left alone, should what is going away stay after all.
const WHEN_LEFT_ALONE: Duration = Duration::from_secs(60);

/// Runs the controller until `stop`.
pub async fn run(context: Arc<Context>, hubs: Hubs, stop: CancellationToken) {
    let quotas = Arc::new(Quotas::default());
    let reconcile = move |request, context| reconcile(request, context, quotas.clone());
    runner::run(watches::wiring(&hubs), context, stop, reconcile).await;
}

async fn reconcile(
    request: Arc<QuarantineRequest>,
    context: Arc<Context>,
    quotas: Arc<Quotas>,
) -> Result<Outcome, QuarantineRequestError> {
    // Reads: stores alone.
    let observed = observe::observe(&request, &context);
    let records = observed.records();
    let situation = observed.situation(&request, &records, &context);
    let Some(verdict) = decide(situation) else {
        return Ok(Outcome::waiting().again_after(WHEN_LEFT_ALONE));
    };
    let verdict = quotas.judge(verdict, situation, &context);
    let status = status(situation, &verdict);
    // Writes.
    let api: Api<QuarantineRequest> = Api::namespaced(context.client.clone(), &request.namespace().unwrap_or_default());
    let write = match halt::write_status(&api, &request, request.status.as_ref(), &status, &context).await {
        Err(error) if situation.tenant.is_none() && is_out_of_reach(&error) => return Ok(Outcome::waiting()),
        written => written?,
    };
    let outcome = match write {
        Write::Written => Outcome::changed(),
        Write::Unchanged => Outcome::unchanged(),
        Write::Gone => return Ok(Outcome::unchanged()),
        Write::Outdated => return Ok(Outcome::waiting().again_after(SOON)),
    };
    Ok(look_again(situation, &verdict).map_or(outcome, |delay| outcome.again_after(delay)))
}
