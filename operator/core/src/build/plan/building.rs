//! The stretch of the build pod: from its creation to the staged image.

use imagefactory_crds::build::{BuildStatus, Failure, FailureClass, Method, Phase, SourceStatus, StagedImage};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::situation::Stop;
use super::{Action, Plan, SOON, Situation};
use crate::build::failure::{self, BUILDER, PREPARING, blank};
use crate::build::method_failure::of_method;
use crate::build::objects;
use crate::build::observed::{AT_ONCE, ContainerState, PodView};
use crate::build::status::Cause;
use crate::build::validated::Validated;
use crate::step::{Prepared, Pushed, Report, usage};
use crate::work::Work;

/// What is said while the builder runs.
const BUILDING: &str = "The Dockerfile's steps run; follow them with kubectl logs.";

/// The pod is there, or was.
pub(super) fn build(situation: Situation<'_>) -> Plan {
    let Some(pod) = situation.our_pod() else {
        return match situation.stop() {
            Some(stop) => situation.stops_as(&stop),
            None => fails(situation, deleted(), None),
        };
    };
    match (situation.stop(), pod.has_ended()) {
        // It ended in time, and nobody looked: that is no fault of the build's.
        (Some(Stop::TimedOut), true) if !pod.was_ended_at_deadline() => {
            telling_usage(situation, pod, built(situation, pod))
        }
        (Some(stop), true) => telling_usage(situation, pod, situation.stops_as(&stop)),
        (Some(_), false) => Plan {
            actions: end_pod(pod).into_iter().collect(),
            again: Some(SOON),
            ..Plan::default()
        },
        (None, true) => telling_usage(situation, pod, built(situation, pod)),
        // It is as good as over, and once it is gone nothing says why.
        (None, false) if pod.deleting && pod.disruption.is_some() => built(situation, pod),
        (None, false) => in_progress(situation, pod),
    }
}

/// What the builder used goes along with the status of its attempt's end, which is written anyway.
fn telling_usage(situation: Situation<'_>, pod: &PodView, plan: Plan) -> Plan {
    // A custom builder is not started by us: what it says there is its own.
    let is_ours = |build: &Validated| build.method != Method::Custom;
    let message = pod.termination_message(BUILDER);
    let message = message.filter(|_| situation.validated.as_ref().is_ok_and(is_ours));
    let usage = message.and_then(usage::read).map(Box::new);
    Plan {
        status: plan.status.map(|status| BuildStatus { usage, ..status }),
        ..plan
    }
}

/// The pod came to a bad end: another one is made later, or this was the last.
fn fails(situation: Situation<'_>, failure: Failure, source: Option<Box<SourceStatus>>) -> Plan {
    let last = source.clone();
    situation.tries_again(
        failure,
        |status| status.source = source,
        |situation, failure| situation.ends(situation.draft().with(|status| status.source = last).failed(failure)),
    )
}

fn deleted() -> Failure {
    blank(
        FailureClass::Infrastructure,
        "PodDeleted",
        "The build's pod is gone before it had a result.".to_owned(),
        "Somebody or something deleted the pod: create a new Build to try again.",
    )
}

/// Has the kubelet end the pod, which keeps its logs. Without a node there is no kubelet and no log.
pub(super) fn end_pod(pod: &PodView) -> Option<Action> {
    match (pod.deleting, pod.has_node, pod.deadline_seconds) {
        (true, _, _) | (false, true, Some(AT_ONCE)) => None,
        (false, true, _) => Some(Action::EndPod {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
        }),
        (false, false, _) => Some(Action::delete_pod(pod)),
    }
}

/// The pod runs, or can't.
fn in_progress(situation: Situation<'_>, pod: &PodView) -> Plan {
    let waited = pod
        .waits_since()
        .map_or(SignedDuration::ZERO, |since| situation.now.duration_since(since));
    let is_stuck = waited.as_secs() >= situation.settings.builds.pending_deadline_seconds;
    let hindered = failure::of_waiting(pod, Work::Build).map(|failure| by_method(situation, failure));
    // For good: scheduler and kubelet have tried again and again meanwhile.
    if let Some(failure) = hindered.clone().filter(|_| is_stuck) {
        let draft = situation.draft().with(|status| status.source = prepared(pod));
        return Plan {
            actions: end_pod(pod).into_iter().collect(),
            ..situation.ends(draft.failed(failure))
        };
    }
    let builds = pod
        .container(BUILDER)
        .is_some_and(|container| !matches!(container.state, ContainerState::Waiting { .. }));
    let (phase, reason, message) = match hindered {
        _ if builds => (Phase::Building, "Building".to_owned(), BUILDING.to_owned()),
        Some(failure) => (Phase::Preparing, failure.reason, failure.message),
        None => (Phase::Preparing, "Preparing".to_owned(), PREPARING.to_owned()),
    };
    let status = situation
        .draft()
        // With the builder's start: not a write of its own.
        .with(|status| status.source = status.source.take().or_else(|| prepared(pod).filter(|_| builds)))
        .going_on(
            phase,
            &Cause {
                reason: &reason,
                message: &message,
            },
        );
    Plan {
        status: Some(status),
        again: Some(situation.until_deadline()),
        ..Plan::default()
    }
}

/// A failure as the method tells it.
fn by_method(situation: Situation<'_>, failure: Failure) -> Failure {
    match situation.validated {
        Ok(build) => of_method(failure, build.method),
        Err(_) => failure,
    }
}

/// The pod has ended by itself.
fn built(situation: Situation<'_>, pod: &PodView) -> Plan {
    let source = prepared(pod);
    // Told as soon as the image is in staging, by the container that put it there: how the pod ended after that, with its
    // cache unsent or its node gone, takes nothing of it back.
    let pushed = pod.termination_message("push").and_then(Report::<Pushed>::decode);
    let Some(Report::Done(pushed)) = pushed else {
        let failure = if pod.deleting && pod.disruption.is_none() {
            deleted()
        } else {
            by_method(situation, failure::of_pod(pod, Work::Build))
        };
        return fails(situation, failure, source);
    };
    match situation.validated {
        Err(refusal) => situation.refuses(refusal),
        Ok(build) => {
            let staged = StagedImage {
                repository: build.staging_repository.clone(),
                digest: pushed.digest.as_str().into(),
                size: pushed.size,
                platforms: pushed.platforms,
            };
            let status = situation.draft().with(|status| {
                status.source = source.clone();
                status.staged = Some(staged.clone());
                status.stage_attempts.get_or_insert_default().scan = Some(1);
                // Seen late: the scan has a time of its own, since the build's has run out while nobody looked.
                if situation.is_past_deadline() {
                    status.attempt_time = Some(Time(situation.now));
                }
            });
            let message = format!("The image was built; {} is scanned.", staged.digest);
            Plan {
                status: Some(status.going_on(
                    Phase::Scanning,
                    &Cause {
                        reason: "Scanning",
                        message: &message,
                    },
                )),
                then: vec![Action::CreateJob(Box::new(objects::scan_job(
                    build,
                    &staged,
                    source.as_deref(),
                    situation.settings,
                )))],
                again: Some(situation.until_deadline()),
                ..Plan::default()
            }
        }
    }
}

fn prepared(pod: &PodView) -> Option<Box<SourceStatus>> {
    match pod.termination_message("prepare").and_then(Report::<Prepared>::decode) {
        Some(Report::Done(Prepared {
            commit,
            bases,
            more_bases,
        })) => Some(Box::new(SourceStatus {
            commit,
            bases,
            more_bases,
        })),
        Some(Report::Failed(_)) | None => None,
    }
}
