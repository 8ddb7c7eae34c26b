//! Projects: observe → plan → status. Nothing is made for a project; it is told where it stands and what its builds did.

mod error;
mod ledger;
mod observe;
mod quota;
mod watches;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use imagefactory_core::project::{readiness, status};
use imagefactory_core::tenant::readiness::Standing;
use imagefactory_crds::Project;
use kube::{Api, ResourceExt};
use tokio_util::sync::CancellationToken;

use super::tenant::halt;
use super::tenant::home::is_out_of_reach;
use crate::apply::Write;
use crate::context::Context;
use crate::runner::{self, Outcome};
use crate::watches::Hubs;
pub(in crate::controllers) use ledger::Ledger;
pub(in crate::controllers) use quota::within_projects_quota;
pub(in crate::controllers) use watches::digest;

pub use error::ProjectError;

/// How soon to look again after the project turned out to have changed since it was read.
const SOON: Duration = Duration::from_secs(1);
/// How soon to look again at what may still come.
const LATER: Duration = Duration::from_secs(5);
/// How soon to look again at what was left alone, should what is going away stay after all.
const WHEN_LEFT_ALONE: Duration = Duration::from_secs(60);

/// Runs the controller until `stop`.
pub async fn run(context: Arc<Context>, hubs: Hubs, stop: CancellationToken) {
    let ledger = Arc::new(Ledger::default());
    let reconcile = move |project, context| reconcile(project, context, ledger.clone());
    runner::run(watches::wiring(&hubs), context, stop, reconcile).await;
}

async fn reconcile(project: Arc<Project>, context: Arc<Context>, ledger: Arc<Ledger>) -> Result<Outcome, ProjectError> {
    // Reads: stores alone.
    let observed = observe::observe(&project, &context, &ledger);
    let situation = observed.situation(&project);
    let Some(readiness) = readiness(situation) else {
        return Ok(Outcome::waiting().again_after(WHEN_LEFT_ALONE));
    };
    let status = status(situation, &readiness);
    // Writes.
    let projects: Api<Project> = Api::namespaced(context.client.clone(), &project.namespace().unwrap_or_default());
    let write = match halt::write_status(&projects, &project, project.status.as_ref(), &status, &context).await {
        Err(error) if !situation.has_tenant && is_out_of_reach(&error) => return Ok(Outcome::waiting()),
        written => written?,
    };
    let outcome = match write {
        Write::Written => Outcome::changed(),
        Write::Unchanged | Write::Gone | Write::Outdated => Outcome::unchanged(),
    };
    let may_come = (readiness.standing == Standing::Retrying).then_some(LATER);
    // The watch brings what overtook us; what was counted and not written is not left to it alone.
    let overtaken = (write == Write::Outdated).then_some(SOON);
    let again = observed.count_in.into_iter().chain(may_come).chain(overtaken).min();
    Ok(again.map_or(outcome, |delay| outcome.again_after(delay)))
}
