//! Carries a plan out, each request safe to repeat, and tells metrics and an event of a scan's end.

use std::time::Duration;

use imagefactory_core::build::Note;
use imagefactory_core::build::plan::Rejection;
use imagefactory_core::image_scan::{Plan, Situation, after_rejection, is_settled};
use imagefactory_crds::image_scan::ScanPhase;
use imagefactory_crds::{ImageScan, ImageScanStatus, names};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource, ResourceExt};
use tracing::{info, warn};

use super::ImageScanError;
use crate::apply::{self, ApplyError, Write};
use crate::context::Context;
use crate::controllers::build::act::{REFUSED, Refused, once, refusal};
use crate::controllers::build::unseen::Unseen;
use crate::controllers::tenant::home::is_out_of_reach;
use crate::runner::{MAX_NOTE, Outcome, cut};

/// How soon to look again after something turned out to have changed since it was read.
const SOON: Duration = Duration::from_secs(1);

/// Actions, status with its event, what rests on the status: in this order.
pub(super) async fn act(
    situation: Situation<'_>,
    plan: Plan,
    context: &Context,
    unseen: &Unseen,
) -> Result<Outcome, ImageScanError> {
    let scan = situation.scan;
    let mut changed = false;
    for action in &plan.actions {
        match once(action, scan, context, unseen).await {
            // What was planned rests on what is no longer so.
            Ok(Write::Outdated) => return Ok(Outcome::waiting().again_after(SOON)),
            Ok(write) => changed |= write == Write::Written,
            Err(error) => match refusal(action, &error) {
                Some(Refused::For(Rejection::Job(message))) => {
                    return reject(situation, &message, context, unseen).await;
                }
                Some(Refused::Later) => return Ok(Outcome::waiting().again_after(REFUSED)),
                Some(_) | None => return Err(ImageScanError::Act(error)),
            },
        }
    }
    match write_status(situation, &plan, context, unseen).await {
        Ok(Write::Written) => changed = true,
        Ok(Write::Unchanged) => {}
        // What was planned rests on what is no longer so.
        Ok(Write::Gone | Write::Outdated) => return Ok(Outcome::waiting().again_after(SOON)),
        // In no tenant's namespace, where the operator may not even say so; or in one that goes away.
        Err(error) if situation.validated.is_err() && is_out_of_reach(&error) => return Ok(Outcome::waiting()),
        Err(error) => return Err(ImageScanError::Status(error)),
    }
    for action in &plan.then {
        changed |= once(action, scan, context, unseen).await.map_err(ImageScanError::Act)? == Write::Written;
    }
    let outcome = if changed {
        Outcome::changed()
    } else {
        Outcome::unchanged()
    };
    Ok(plan.again.map_or(outcome, |delay| outcome.again_after(delay)))
}

/// The API server would not have the job: the scan ends, and nothing is known of its image.
async fn reject(
    situation: Situation<'_>,
    message: &str,
    context: &Context,
    unseen: &Unseen,
) -> Result<Outcome, ImageScanError> {
    let plan = after_rejection(situation, message);
    let written = write_status(situation, &plan, context, unseen).await;
    let _ = written.map_err(ImageScanError::Status)?;
    Ok(Outcome::waiting())
}

async fn write_status(
    situation: Situation<'_>,
    plan: &Plan,
    context: &Context,
    unseen: &Unseen,
) -> Result<Write, ApplyError> {
    let Some(status) = &plan.status else {
        return Ok(Write::Unchanged);
    };
    let scan = situation.scan;
    let scans: Api<ImageScan> = Api::namespaced(context.client.clone(), &scan.namespace().unwrap_or_default());
    let write = apply::apply_status(&scans, scan, scan.status.as_ref(), status).await?;
    if write == Write::Written {
        unseen.wrote(scan);
        settled(situation, status, context);
        note(scan, plan.note.as_ref(), context).await;
    }
    Ok(write)
}

/// Counts a scan whose end was just written. A tenant that a namespace merely names would make the label unbounded.
fn settled(situation: Situation<'_>, status: &ImageScanStatus, context: &Context) {
    let scan = situation.scan;
    if !status.is_settled() || is_settled(scan.status.as_ref()) {
        return;
    }
    let namespace = scan.namespace().unwrap_or_default();
    let tenant = names::tenant_of_namespace(&namespace).unwrap_or_default();
    let result = match (status.phase.unwrap_or(ScanPhase::Failed), &status.failure) {
        (ScanPhase::Failed, Some(failure)) => failure.class.as_str(),
        (phase, _) => phase.as_str(),
    };
    context.metrics.scan_settled(tenant, result, status);
    info!(%namespace, scan = scan.name_any(), result, "scan settled");
}

/// Publishes the event of a scan that did not end well. A courtesy: what keeps it from being written keeps no work back.
async fn note(scan: &ImageScan, note: Option<&Note>, context: &Context) {
    let Some(note) = note else { return };
    let event = Event {
        type_: EventType::Warning,
        reason: note.reason.clone(),
        note: Some(cut(&note.message, MAX_NOTE).to_owned()),
        action: "Scan".to_owned(),
        secondary: None,
    };
    if let Err(error) = context.recorder.publish(&event, &scan.object_ref(&())).await {
        warn!(%error, scan = scan.name_any(), "event was not published");
    }
}
