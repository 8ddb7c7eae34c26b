//! A build that waits to be dispatched: for the first time, or for a retry.
//!
//! [`gate`] says whether anything but a slot keeps it from starting. What the slot is, the queue says
//! ([`crate::dispatch`]), and the edge asks it in between.

use imagefactory_crds::build::Phase;

use super::situation::Stop;
use super::{Action, LATER, Plan, SOON, Situation, building, end_job, judging};
use crate::build::failure::PREPARING;
use crate::build::names::{Stage, stage_of};
use crate::build::objects;
use crate::build::observed::Earlier;
use crate::build::status::Cause;
use crate::build::validated::{Refusal, Validated};
use crate::dispatch::Slot;
use crate::work::Work;

/// The build as it may start as soon as it has a slot, or what is done while it may not.
pub(super) fn gate<'a>(situation: &Situation<'a>) -> Result<&'a Validated, Box<Plan>> {
    if situation.is_cancelled() {
        return Err(Box::new(situation.stops_as(&Stop::Cancelled)));
    }
    let build = match situation.validated {
        Ok(build) => build,
        Err(refusal) => return Err(Box::new(situation.refuses(refusal))),
    };
    if build.archived {
        return Err(Box::new(situation.refuses(&Refusal::archived(&build.identity.project))));
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
    if let Some(plan) = waits_for_tenant(situation, build).or_else(|| waits_for_room(situation)) {
        return Err(Box::new(plan));
    }
    Ok(build)
}

/// Where the webhook stamps who asked, nothing is dispatched for nobody. What was dispatched before it did goes on, and
/// is tried again: nobody but the operator writes that into its status.
fn asked_by_nobody(situation: &Situation<'_>) -> Option<Refusal> {
    let status = situation.build.status.as_ref();
    let was_dispatched = status.is_some_and(|status| status.start_time.is_some());
    let is_asked = situation.settings.stamps_requester && !was_dispatched;
    (is_asked && situation.requested_by().is_none()).then(|| Refusal::requester_unknown(Work::Build))
}

fn waits_for_tenant(situation: &Situation<'_>, build: &Validated) -> Option<Plan> {
    if build.leaving.is_some() {
        return Some(situation.waits(
            "TenantTerminating",
            "The tenant is being deleted: nothing new starts in it.",
        ));
    }
    if build.suspended {
        return Some(situation.waits(
            "TenantSuspended",
            "The tenant is suspended; a platform administrator can lift it.",
        ));
    }
    let state = build.not_ready.as_ref()?;
    Some(situation.waits("TenantNotReady", state))
}

/// What an earlier attempt, or an earlier Build of the name, left behind is ended first.
fn waits_for_room(situation: &Situation<'_>) -> Option<Plan> {
    if let Some(earlier) = situation.observed.earlier.as_ref().filter(|earlier| earlier.is_live()) {
        let end = match earlier {
            Earlier::Pod(pod) => building::end_pod(pod),
            Earlier::Job(job) => end_job(job),
        };
        return Some(Plan {
            actions: end.into_iter().collect(),
            again: Some(SOON),
            ..Plan::default()
        });
    }
    let pod = situation.observed.pod.as_ref()?;
    if stage_of(situation.build.status.as_ref()) != Stage::Build {
        return None;
    }
    // Its Build is gone, or this one could not have the name: the pod is ended and makes room.
    let message = format!("Pod {} of an earlier Build of this name is still there.", pod.name);
    let actions = if pod.deleting {
        vec![]
    } else {
        vec![Action::delete_pod(pod)]
    };
    Some(Plan {
        actions,
        again: Some(SOON),
        ..situation.waits("PodNameTaken", &message)
    })
}

/// Not dispatched, or not again yet.
pub(super) fn begin(situation: Situation<'_>) -> Plan {
    let build = match gate(&situation) {
        Ok(build) => build,
        Err(plan) => return *plan,
    };
    match situation.slot {
        Slot::Granted => start(situation, build),
        Slot::Waits(standing) => situation.queues(&standing, &standing.message(), super::QUEUED),
        Slot::NotYet => Plan {
            again: Some(LATER),
            ..Plan::default()
        },
    }
}

/// It has a slot: the pod, or the job of the stage that is tried again.
fn start(situation: Situation<'_>, build: &Validated) -> Plan {
    let status = situation.build.status.as_ref();
    let staged = status.and_then(|status| status.staged.as_ref());
    match (stage_of(status), staged) {
        (Stage::Scan, Some(staged)) => Plan {
            status: Some(situation.begins(Stage::Scan).going_on(
                Phase::Scanning,
                &Cause {
                    reason: "Scanning",
                    message: &format!("{} is scanned again.", staged.digest),
                },
            )),
            then: vec![Action::CreateJob(Box::new(objects::scan_job(
                build,
                staged,
                status.and_then(|status| status.source.as_deref()),
                situation.settings,
            )))],
            again: Some(LATER),
            ..Plan::default()
        },
        (Stage::Publish, Some(staged)) => {
            if let Some(plan) = judging::too_late(&situation, build) {
                return plan;
            }
            let draft = situation.begins(Stage::Publish);
            let referrers = draft.evidence();
            let job = objects::publish_job(build, situation.owner(), staged, &referrers, situation.settings);
            Plan {
                status: Some(draft.going_on(
                    Phase::Publishing,
                    &Cause {
                        reason: "Publishing",
                        message: &format!("The image is published again as {}.", build.output_image),
                    },
                )),
                then: vec![Action::CreateJob(Box::new(job))],
                again: Some(LATER),
                ..Plan::default()
            }
        }
        (_, _) => start_pod(situation, build),
    }
}

fn start_pod(situation: Situation<'_>, build: &Validated) -> Plan {
    let status = situation
        .started_draft(&build.identity.object_name(Stage::Build))
        .going_on(
            Phase::Preparing,
            &Cause {
                reason: "Preparing",
                message: PREPARING,
            },
        );
    let pod = objects::build_pod(build, situation.owner(), situation.now, situation.settings);
    Plan {
        actions: vec![Action::CreatePod(Box::new(pod))],
        status: Some(status),
        again: Some(LATER),
        ..Plan::default()
    }
}
