//! ImageScans: observe → validate → plan → act → status.
//!
//! What is done and why, `imagefactory_core::image_scan` decides. Slots, logs and requests are those of builds.

mod act;
mod ended;
mod error;
mod observe;
mod watches;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use imagefactory_core::build::Refusal;
use imagefactory_core::build::logs::directory;
use imagefactory_core::dispatch::Slot;
use imagefactory_core::image_scan::{Identity, Plan, References, Situation, is_settled, plan, validate};
use imagefactory_crds::build::KeptLogs;
use imagefactory_crds::{ImageScan, ImageScanStatus};
use tokio_util::sync::CancellationToken;

use super::build::logs::{Of, Told, look, with_kept};
use super::build::unseen::Unseen;
use super::project::within_projects_quota;
use crate::context::Context;
use crate::runner::{self, Outcome};
use crate::watches::Hubs;

pub use error::ImageScanError;
pub(crate) use observe::references;

/// How soon to look again at a scan whose status was written and not shown yet, if the watch does not wake it.
const UNSEEN: Duration = Duration::from_secs(2);

impl Told for ImageScanStatus {
    fn is_settled(&self) -> bool {
        Self::is_settled(self)
    }

    fn logs(&mut self) -> &mut Option<Box<KeptLogs>> {
        &mut self.logs
    }
}

/// Runs the controller until `stop`.
pub async fn run(context: Arc<Context>, hubs: Hubs, stop: CancellationToken) {
    let wiring = watches::wiring(&hubs)
        .also_on(context.dispatcher.scan_wakes())
        .also_on(context.keeper.woken_scans());
    let unseen = Arc::new(Unseen::default());
    let reconcile = move |scan, context| reconcile(scan, context, unseen.clone());
    runner::run(wiring, context, stop, reconcile).await;
}

async fn reconcile(
    scan: Arc<ImageScan>,
    context: Arc<Context>,
    unseen: Arc<Unseen>,
) -> Result<Outcome, ImageScanError> {
    if unseen.is_outdated(&*scan) {
        return Ok(Outcome::waiting().again_after(UNSEEN));
    }
    let _pass = context.dispatcher.pass(&*scan);
    // Reads: stores, but for the pod of a job that has failed.
    let observed = observe::observe(&scan, &context).await?;
    if is_settled(scan.status.as_ref()) {
        return ended::pass(&scan, &observed, &context, &unseen).await;
    }
    let found = references(&scan, &context);
    let validated = validate(&scan, found.references(), &context.settings)
        .and_then(|validated| within_quota(&scan, found.references(), &context).map(|()| validated));
    let situation = Situation {
        scan: &scan,
        validated: &validated,
        job: observed.job.as_ref(),
        earlier: observed.earlier.as_ref(),
        slot: Slot::NotYet,
        settings: &context.settings,
        now: context.now(),
    };
    // May start, or not yet: asked of memory.
    let slot = context.dispatcher.ask_for_scan(situation, &context.stores);
    let situation = Situation { slot, ..situation };
    let plan = with_logs(plan(situation), situation, &context);
    // Writes.
    act::act(situation, plan, &context, &unseen).await
}

/// Nothing begins in a project that the tenant has beyond its quota; what was begun goes on.
fn within_quota(scan: &ImageScan, references: References<'_>, context: &Context) -> Result<(), Refusal> {
    let has_begun = scan.status.as_ref().is_some_and(|status| status.start_time.is_some());
    let Some(tenant) = references.tenant.filter(|_| !has_begun) else {
        return Ok(());
    };
    let namespace = scan.metadata.namespace.as_deref().unwrap_or_default();
    within_projects_quota((namespace, &scan.spec.project_ref.name), tenant, context)
        .map_err(|withheld| Refusal::withheld(&withheld))
}

/// The plan, with the logs that are kept.
fn with_logs(plan: Plan, situation: Situation<'_>, context: &Context) -> Plan {
    let scan = situation.scan;
    let Some(identity) = Identity::of(scan) else {
        return plan;
    };
    let current = scan.status.as_ref();
    let of = Of {
        uid: &identity.uid,
        directory: directory(&identity.tenant, &identity.project, &identity.uid),
        recorded: current.and_then(|status| status.logs.as_deref()),
    };
    let jobs = situation.job.into_iter().chain(situation.earlier);
    look(jobs.filter_map(|job| job.pod.as_ref()), of.recorded, context);
    with_kept(plan, &of, current, context)
}
