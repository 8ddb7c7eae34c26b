//! What is done next for a scan: the state machine.
//!
//! How far it came is read from its own status and its job, never from its phase. The start of an attempt, and with it the
//! digest that is known, stands in status before the job exists; the digest that the job finds is written down as soon as
//! it is seen, and no later attempt resolves the tag again.

mod running;
mod situation;

pub use situation::Situation;

use std::time::Duration;

use imagefactory_crds::ImageScanStatus;
use imagefactory_crds::image_scan::ScanPhase;
use jiff::SignedDuration;

use super::slot::application;
use super::{Plan, Validated, is_settled};
use crate::build::objects::image_scan_job;
use crate::build::plan::{Action, end_job, job_rejected};
use crate::build::validated::{Leaving, Refusal};
use crate::dispatch::{Application, Slot, is_news};
use crate::work::Work;
use situation::Stop;

/// How long a missing object may still turn up: things that were applied together arrive one by one.
const HEALING: SignedDuration = SignedDuration::from_secs(10);
/// How soon to look again at something that no watch will tell.
const SOON: Duration = Duration::from_secs(2);
/// How soon to look again at a scan that waits for a person or for room.
const LATER: Duration = Duration::from_secs(15);
/// How soon to look again at a scan in the queue, which wakes it: a net below that.
const QUEUED: Duration = Duration::from_mins(5);

/// What to do next for a scan.
#[must_use]
pub fn plan(situation: Situation<'_>) -> Plan {
    let scan = situation.scan;
    if is_settled(scan.status.as_ref()) {
        return settled(situation);
    }
    let is_leaving = |scan: &Validated| scan.leaving == Some(Leaving::Namespace);
    if situation.validated.as_ref().is_ok_and(is_leaving) {
        return Plan {
            again: Some(LATER),
            ..Plan::default()
        };
    }
    if situation.has_started() {
        return running::running(situation);
    }
    match gate(situation) {
        Err(plan) => *plan,
        Ok(scan) => match situation.slot {
            Slot::Granted => start(situation, scan),
            Slot::Waits(standing) => {
                let written = situation.status().and_then(|status| status.queue.as_ref());
                Plan {
                    status: is_news(written, &standing).then(|| situation.draft().queued(&standing)),
                    again: Some(QUEUED),
                    ..Plan::default()
                }
            }
            Slot::NotYet => Plan {
                again: Some(LATER),
                ..Plan::default()
            },
        },
    }
}

/// What to do when the API server would not have the scan's job.
#[must_use]
pub fn after_rejection(situation: Situation<'_>, message: &str) -> Plan {
    situation.unknown(job_rejected(message), |_| ())
}

/// What a scan wants of the queue.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// A slot: nothing else keeps it from starting.
    Slot(Application),
    /// Nothing now: something else keeps it.
    Nothing,
    /// It runs, or has ended: what becomes of its slot, events tell.
    Runs,
}

/// What a scan wants of the queue. Asked before [`plan`], which reads the answer as [`Situation::slot`].
#[must_use]
pub fn wish(situation: Situation<'_>) -> Wish {
    let scan = situation.scan;
    if is_settled(scan.status.as_ref()) || situation.has_started() {
        return Wish::Runs;
    }
    let leaves = |scan: &Validated| scan.leaving.is_some();
    if situation.validated.as_ref().is_ok_and(leaves) {
        return Wish::Nothing;
    }
    let applies = gate(situation).ok().and_then(|validated| application(scan, validated));
    applies.map_or(Wish::Nothing, Wish::Slot)
}

/// The scan as it may start as soon as it has a slot, or what is done while it may not.
fn gate(situation: Situation<'_>) -> Result<&Validated, Box<Plan>> {
    if situation.is_cancelled() {
        return Err(Box::new(situation.stops_as(&Stop::Cancelled)));
    }
    let scan = match situation.validated {
        Ok(scan) => scan,
        Err(refusal) => return Err(Box::new(situation.refuses(refusal))),
    };
    if scan.archived {
        return Err(Box::new(situation.refuses(&Refusal::archived(&scan.identity.project))));
    }
    if let Some(refusal) = asked_by_nobody(situation) {
        return Err(Box::new(situation.refuses(&refusal)));
    }
    if let Some(pause) = situation.until_retry() {
        return Err(Box::new(Plan {
            again: Some(pause),
            ..Plan::default()
        }));
    }
    if let Some((reason, message)) = waits_for_tenant(scan) {
        return Err(Box::new(situation.waits(reason, &message)));
    }
    // What an earlier attempt left behind is ended first.
    if let Some(earlier) = situation.earlier.filter(|earlier| is_live(earlier)) {
        return Err(Box::new(Plan {
            actions: end_job(earlier).into_iter().collect(),
            again: Some(SOON),
            ..Plan::default()
        }));
    }
    Ok(scan)
}

/// As for a Build: where the webhook stamps who asked, nothing is dispatched for nobody, and what was dispatched before it
/// did goes on and is tried again (docs/decisions/0027).
fn asked_by_nobody(situation: Situation<'_>) -> Option<Refusal> {
    let was_dispatched = situation.status().is_some_and(|status| status.start_time.is_some());
    let is_asked = situation.settings.stamps_requester && !was_dispatched;
    (is_asked && situation.requested_by().is_none()).then(|| Refusal::requester_unknown(Work::Scan))
}

fn is_live(job: &crate::build::JobView) -> bool {
    job.pod.as_ref().map_or(job.ended.is_none(), |pod| !pod.has_ended())
}

fn waits_for_tenant(scan: &Validated) -> Option<(&'static str, String)> {
    if scan.leaving.is_some() {
        return Some((
            "TenantTerminating",
            "The tenant is being deleted: nothing new starts in it.".to_owned(),
        ));
    }
    if scan.suspended {
        let message = "The tenant is suspended; a platform administrator can lift it.";
        return Some(("TenantSuspended", message.to_owned()));
    }
    scan.not_ready.clone().map(|state| ("TenantNotReady", state))
}

/// It has a slot. The status comes first: that the attempt began, and of which digest, is known before the job is.
fn start(situation: Situation<'_>, scan: &Validated) -> Plan {
    let draft = situation.draft().begun(scan.identity.attempt).with(|status| {
        status.digest = status.digest.take().or_else(|| scan.digest.as_deref().map(Into::into));
    });
    Plan {
        status: Some(draft.going_on(
            ScanPhase::Preparing,
            "Preparing",
            "The scan's pod starts, and its image is resolved.",
        )),
        then: vec![create(scan, situation)],
        again: Some(LATER),
        ..Plan::default()
    }
}

fn create(scan: &Validated, situation: Situation<'_>) -> Action {
    Action::CreateJob(Box::new(image_scan_job(scan, situation.settings)))
}

/// A settled scan says that it has seen what changed, and what still runs for it is ended.
fn settled(situation: Situation<'_>) -> Plan {
    let unfinished = situation.job.filter(|job| job.ended.is_none());
    let generation = situation.generation();
    let status = situation
        .status()
        .filter(|status| status.observed_generation != generation)
        // A deletion is a generation too, and about to be seen by nobody.
        .filter(|_| situation.scan.metadata.deletion_timestamp.is_none());
    Plan {
        actions: unfinished.and_then(end_job).into_iter().collect(),
        status: status.map(|status| ImageScanStatus {
            observed_generation: generation,
            ..status.clone()
        }),
        ..Plan::default()
    }
}
