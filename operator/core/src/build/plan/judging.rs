//! The stretch of the jobs: scan, verdict, publish.

use imagefactory_crds::build::{
    Failure, FailureClass, Judgement, OutputStatus, Phase, ScanStatus, StagedImage, Verdict,
};

use imagefactory_crds::image_policy::Mode;

use super::{Action, Plan, SOON, Situation, end_job};
use crate::build::failure::{self, blank};
use crate::build::objects;
use crate::build::observed::{ContainerState, JobEnd, JobView, PodView};
use crate::build::status::Cause;
use crate::build::validated::Validated;
use crate::policy::scan_too_old;
use crate::step::{Evaluated, Published, Report};

/// The image is staged and being judged.
pub(super) fn scan(situation: Situation<'_>, staged: &StagedImage) -> Plan {
    let job = situation
        .observed
        .scan
        .as_ref()
        .filter(|job| situation.is_ours(job.build_uid.as_deref()));
    if let Some(stop) = situation.stop() {
        return Plan {
            actions: job.and_then(end_job).into_iter().collect(),
            ..situation.stops_as(&stop)
        };
    }
    let build = match situation.validated {
        Ok(build) => build,
        Err(refusal) => return situation.refuses(refusal),
    };
    let Some(job) = job else {
        let source = situation
            .build
            .status
            .as_ref()
            .and_then(|status| status.source.as_ref());
        let job = objects::scan_job(build, staged, source, situation.settings);
        return Plan {
            actions: vec![Action::CreateJob(Box::new(job))],
            again: Some(SOON),
            ..Plan::default()
        };
    };
    match outcome::<Evaluated>(job) {
        Outcome::Running => match stuck(&situation, job) {
            Some(failure) => Plan {
                actions: end_job(job).into_iter().collect(),
                ..situation.unknown(failure)
            },
            None => Plan {
                again: Some(situation.until_deadline()),
                ..Plan::default()
            },
        },
        Outcome::Done(evaluated) => judged(situation, build, staged, evaluated),
        Outcome::Failed(failure) => situation.tries_again(of_scan(failure), |_| (), Situation::unknown),
    }
}

/// The verdict is there.
fn judged(situation: Situation<'_>, build: &Validated, staged: &StagedImage, evaluated: Evaluated) -> Plan {
    let Evaluated { digest, scan, verdict } = evaluated;
    if digest != staged.digest.as_str() || !is_consistent(&verdict) || !is_whole(scan.as_ref(), &verdict, staged) {
        return situation.unknown(blank(
            FailureClass::Scan,
            "WrongEvidence",
            format!("The verdict speaks of {digest}, or contradicts itself."),
            "Report this as a defect of Image Factory.",
        ));
    }
    let judged_by_all = verdict.policies.len() == build.policies.len()
        && verdict.policies.iter().zip(&build.policies).all(|(said, asked)| {
            said.name.as_str() == asked.name && said.hash == asked.hash && said.mode == asked.spec.mode
        });
    if !judged_by_all {
        return situation.judge_again();
    }
    let draft = situation.draft().with(|status| {
        status.scan = scan;
        status.verdict = Some(verdict.clone());
        if verdict.publishable {
            status.stage_attempts.get_or_insert_default().publish = Some(1);
        }
    });
    if !verdict.publishable {
        return situation.ends(draft.not_publishable(&verdict));
    }
    let referrers = draft.evidence();
    let job = objects::publish_job(build, situation.owner(), staged, &referrers, situation.settings);
    let message = format!(
        "The verdict is {}; the image is published as {}.",
        verdict.result.as_str(),
        build.output_image
    );
    Plan {
        status: Some(draft.going_on(
            Phase::Publishing,
            &Cause {
                reason: "Publishing",
                message: &message,
            },
        )),
        then: vec![Action::CreateJob(Box::new(job))],
        again: Some(situation.until_deadline()),
        ..Plan::default()
    }
}

/// Whether every image of an index was scanned, if it is to be published.
fn is_whole(scan: Option<&ScanStatus>, verdict: &Verdict, staged: &StagedImage) -> bool {
    let Some(scan) = scan else {
        return !verdict.publishable;
    };
    let scanned = scan.platforms.iter().map(|image| (&image.platform, &image.digest));
    scanned.eq(staged.platforms.iter().map(|image| (&image.platform, &image.digest)))
}

/// Whether what is said of the whole follows from what each policy says.
fn is_consistent(verdict: &Verdict) -> bool {
    let publishable = !verdict.policies.is_empty()
        && verdict.policies.iter().all(|policy| match policy.result {
            Judgement::Pass => true,
            Judgement::Fail => policy.mode == Mode::DryRun,
            Judgement::Unknown => false,
        });
    publishable == verdict.publishable
}

/// The image may be published and is being so. From here cancelling comes too late: the tag may have been set.
pub(super) fn publish(situation: Situation<'_>, staged: &StagedImage, verdict: &Verdict) -> Plan {
    let job = situation
        .observed
        .publish
        .as_ref()
        .filter(|job| situation.is_ours(job.build_uid.as_deref()));
    let build = match (situation.validated, job) {
        (Ok(build), _) => build,
        (Err(_), Some(job)) if job.ended.is_none() => {
            return Plan {
                again: Some(situation.until_deadline()),
                ..Plan::default()
            };
        }
        (Err(refusal), _) => return situation.refuses(refusal),
    };
    let Some(job) = job else {
        if let Some(why) = too_old(&situation, build) {
            return situation.unknown(stale(&why));
        }
        let referrers = situation.draft().evidence();
        let job = objects::publish_job(build, situation.owner(), staged, &referrers, situation.settings);
        return Plan {
            actions: vec![Action::CreateJob(Box::new(job))],
            again: Some(SOON),
            ..Plan::default()
        };
    };
    match outcome::<Published>(job) {
        Outcome::Running => match stuck(&situation, job) {
            Some(failure) => Plan {
                actions: end_job(job).into_iter().collect(),
                ..situation.fails(failure)
            },
            None => Plan {
                again: Some(situation.until_deadline()),
                ..Plan::default()
            },
        },
        Outcome::Failed(failure) => situation.tries_again(failure, |_| (), Situation::fails),
        Outcome::Done(published) if published.digest == staged.digest.as_str() => {
            succeeded(situation, build, staged, verdict)
        }
        Outcome::Done(published) => situation.fails(blank(
            FailureClass::Publish,
            "DigestMismatch",
            format!(
                "{} was read back as {}, not as {}.",
                build.output_image, published.digest, staged.digest
            ),
            "Somebody else writes this tag: choose another name, or find out who does.",
        )),
    }
}

fn succeeded(situation: Situation<'_>, build: &Validated, staged: &StagedImage, verdict: &Verdict) -> Plan {
    let reason = match verdict.result {
        Judgement::Pass => "Published",
        Judgement::Fail | Judgement::Unknown => "PublishedDryRun",
    };
    let dry_run = if reason == "PublishedDryRun" {
        " Policy would refuse it; every policy that fails is in mode DryRun."
    } else {
        ""
    };
    let message = format!(
        "Published {} with digest {}.{dry_run}",
        build.output_image, staged.digest
    );
    let output = OutputStatus {
        image: build.output_image.clone(),
        digest: staged.digest.clone(),
        size: staged.size,
    };
    let draft = situation.draft().with(|status| status.output = Some(output));
    Plan {
        status: Some(draft.succeeded(&Cause {
            reason,
            message: &message,
        })),
        ..Plan::default()
    }
}

/// Why the evidence is too old for an image to be published on. Nothing is published yet: whoever waited for hours, or
/// tries again after hours, must not publish what today's database may know better.
fn too_old(situation: &Situation<'_>, build: &Validated) -> Option<String> {
    let scan = situation.build.status.as_ref()?.scan.as_ref()?;
    scan_too_old(&build.policies, scan.scan_time.0, situation.now)
}

pub(super) fn stale(why: &str) -> Failure {
    blank(
        FailureClass::Scan,
        "EvidenceTooOld",
        format!("{why}."),
        "Create a new Build: its image is scanned anew.",
    )
}

enum Outcome<T> {
    Running,
    Done(T),
    Failed(Failure),
}

/// What keeps a job's pod from starting, once it had its time: as for the pod that builds, the scheduler and the kubelet
/// have tried again and again meanwhile.
fn stuck(situation: &Situation<'_>, job: &JobView) -> Option<Failure> {
    let created = job.pod.as_ref().map_or(job.created, |pod| pod.created)?;
    let waited = situation.now.duration_since(created).as_secs();
    if waited < situation.settings.builds.pending_deadline_seconds {
        return None;
    }
    match &job.pod {
        Some(pod) => failure::of_waiting(pod),
        None => Some(job_failure(
            "NoPod",
            "The job has no pod: something keeps the cluster from making it.",
        )),
    }
}

/// A container of the scan that broke off is the scanner's failure; what happened to its pod or node is not.
fn of_scan(failure: Failure) -> Failure {
    match failure.class {
        FailureClass::Infrastructure if failure.container.is_some() => Failure {
            class: FailureClass::Scan,
            ..failure
        },
        _ => failure,
    }
}

/// What came of a job whose last container is ours and writes a report.
fn outcome<T: serde::de::DeserializeOwned>(job: &JobView) -> Outcome<T> {
    match (&job.ended, &job.pod) {
        // Job and pod come by two watches: the pod's end may not have been seen yet.
        (None, _) | (Some(JobEnd::Complete), None) => Outcome::Running,
        (Some(_), Some(pod)) if !pod.has_ended() && !pod.deleting => Outcome::Running,
        (Some(JobEnd::Failed { .. }), Some(pod)) if pod.reason.as_deref() == Some("DeadlineExceeded") => {
            Outcome::Failed(job_failure(
                "DeadlineExceeded",
                "The job ran longer than the platform lets it.",
            ))
        }
        (Some(JobEnd::Complete), Some(pod)) => match report(pod) {
            Some(Report::Done(done)) => Outcome::Done(done),
            Some(Report::Failed(_)) | None => Outcome::Failed(failure::of_pod(pod)),
        },
        (Some(JobEnd::Failed { .. }), Some(pod)) => {
            Outcome::Failed(failure::of_waiting(pod).unwrap_or_else(|| failure::of_pod(pod)))
        }
        (Some(JobEnd::Failed { reason, message }), None) => Outcome::Failed(job_failure(reason, message)),
    }
}

fn report<T: serde::de::DeserializeOwned>(pod: &PodView) -> Option<Report<T>> {
    match &pod.containers.last()?.state {
        ContainerState::Ended {
            exit_code: 0, message, ..
        } => Report::decode(message),
        ContainerState::Ended { .. } | ContainerState::Waiting { .. } | ContainerState::Running => None,
    }
}

fn job_failure(reason: &str, message: &str) -> Failure {
    blank(
        FailureClass::Infrastructure,
        reason,
        message.to_owned(),
        "Create a new Build to try again; if it happens again, tell a platform administrator.",
    )
}
