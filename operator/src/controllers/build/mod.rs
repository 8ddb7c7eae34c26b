//! Builds: observe → validate → plan → act → status.
//!
//! What is done and why, `imagefactory_core::build` decides. This module reads what a decision needs, carries the plan
//! out, and reports.

pub(in crate::controllers) mod act;
mod ended;
mod error;
pub(in crate::controllers) mod logs;
mod observe;
mod quota;
mod report;
pub(in crate::controllers) mod unseen;
mod watches;

use std::sync::Arc;
use std::time::Duration;

use imagefactory_core::build::plan::Situation;
use imagefactory_core::build::status::is_settled;
use imagefactory_core::build::{plan, validate};
use imagefactory_core::dispatch::Slot;
use imagefactory_crds::Build;
use kube::ResourceExt;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::runner::{self, Outcome};
use crate::watches::Hubs;

use quota::Quotas;
use unseen::Unseen;

pub use error::BuildError;
pub(crate) use observe::references;

/// How soon to look again at a build whose status was written and not shown yet, if the watch does not wake it.
const UNSEEN: Duration = Duration::from_secs(2);

/// How soon to look again at a build whose namespace goes away, should it stay after all.
const LEAVING: Duration = Duration::from_secs(10);

/// Runs the controller until `stop`.
pub async fn run(context: Arc<Context>, hubs: Hubs, stop: CancellationToken) {
    let wiring = watches::wiring(&hubs)
        .also_on(context.dispatcher.wakes())
        .also_on(context.keeper.woken());
    let unseen = Arc::new(Unseen::default());
    let quotas = Arc::new(Quotas::default());
    let reconcile = move |build, context| reconcile(build, context, unseen.clone(), quotas.clone());
    runner::run(wiring, context, stop, reconcile).await;
}

async fn reconcile(
    build: Arc<Build>,
    context: Arc<Context>,
    unseen: Arc<Unseen>,
    quotas: Arc<Quotas>,
) -> Result<Outcome, BuildError> {
    if unseen.is_outdated(&*build) || observe::awaits_what_it_made(&build, &context, &unseen) {
        return Ok(Outcome::waiting().again_after(UNSEEN));
    }
    let namespace = build.namespace().unwrap_or_default();
    match pass(build, &context, &unseen, &quotas).await {
        // Nothing can be made in it any more, and the Build goes with it.
        Err(error) if error.is_of_leaving_namespace(observe::goes_away(&namespace, &context)) => {
            Ok(Outcome::waiting().again_after(LEAVING))
        }
        result => result,
    }
}

async fn pass(build: Arc<Build>, context: &Context, unseen: &Unseen, quotas: &Quotas) -> Result<Outcome, BuildError> {
    let _pass = context.dispatcher.pass(&*build);
    // Reads: stores, but for what should be there and is not (a pod, a job that may publish, the pod of a job that failed) and
    // what a rerun runs, which the API server is asked for.
    let observed = observe::observe(&build, context).await?;
    if is_settled(build.status.as_ref()) {
        return ended::pass(&build, &observed, context, unseen).await;
    }
    let mut found = observe::references(&build, context);
    observe::read_inputs(&mut found, &build, context).await?;
    let validated = validate(&build, found.references(), &context.settings);
    let validated = quotas.judge(validated, (&build, &observed), found.references().tenant, context);
    let situation = Situation {
        build: &build,
        validated: &validated,
        observed: &observed,
        slot: Slot::NotYet,
        settings: &context.settings,
        now: context.now(),
    };
    // May start, or not yet: asked of memory.
    let slot = context.dispatcher.ask(&situation, &context.stores);
    let situation = Situation { slot, ..situation };
    let plan = logs::complete(plan(situation), situation, context);
    // Writes.
    act::act(situation, plan, context, unseen).await
}
