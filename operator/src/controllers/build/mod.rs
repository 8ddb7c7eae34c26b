//! Builds: observe → validate → plan → act → status.
//!
//! What is done and why, `imagefactory_core::build` decides. This module reads what a decision needs, carries the plan
//! out, and reports.

mod act;
mod error;
mod logs;
mod observe;
mod report;
mod watches;

use std::sync::Arc;

use imagefactory_core::build::plan::Situation;
use imagefactory_core::build::{plan, validate};
use imagefactory_core::dispatch::Slot;
use imagefactory_crds::Build;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::runner::{self, Outcome};
use crate::watches::Hubs;

pub use error::BuildError;
pub(crate) use observe::references;

/// Runs the controller until `stop`.
pub async fn run(context: Arc<Context>, hubs: Hubs, stop: CancellationToken) {
    let wiring = watches::wiring(&hubs)
        .also_on(context.dispatcher.wakes())
        .also_on(context.keeper.woken());
    runner::run(wiring, context, stop, reconcile).await;
}

async fn reconcile(build: Arc<Build>, context: Arc<Context>) -> Result<Outcome, BuildError> {
    let _pass = context.dispatcher.pass(&build);
    // Reads; only a pod that should be there and is not is asked for at the API server.
    let observed = observe::observe(&build, &context).await?;
    let found = observe::references(&build, &context);
    let validated = validate(&build, found.references(), &context.settings);
    let situation = Situation {
        build: &build,
        validated: &validated,
        observed: &observed,
        slot: Slot::NotYet,
        settings: &context.settings,
        now: context.now(),
    };
    // May start, or not yet: asked of memory.
    let slot = context.dispatcher.ask(&situation);
    let situation = Situation { slot, ..situation };
    let plan = logs::complete(plan(situation), situation, &context);
    // Writes.
    act::act(situation, plan, &context).await
}
