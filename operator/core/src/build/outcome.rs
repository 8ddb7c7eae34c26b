//! What came of a job of ours, and whether what it says holds together: for every kind that has its images scanned.

use std::sync::Arc;

use imagefactory_crds::build::{Failure, FailureClass, Judgement, PlatformImage, ScanStatus, Verdict};
use imagefactory_crds::image_policy::Mode;
use jiff::Timestamp;

use crate::build::failure::{self, blank};
use crate::build::observed::{ContainerState, JobEnd, JobView, PodView};
use crate::settings::Settings;
use crate::step::{AppliedPolicy, Report};
use crate::work::Work;

/// Whether what is said of the whole follows from what each policy says.
pub(crate) fn is_consistent(verdict: &Verdict) -> bool {
    let publishable = !verdict.policies.is_empty()
        && verdict.policies.iter().all(|policy| match policy.result {
            Judgement::Pass => true,
            Judgement::Fail => policy.mode == Mode::DryRun,
            Judgement::Unknown => false,
        });
    publishable == verdict.publishable
}

/// Whether those policies judged that apply, as they are now: one may have changed while the scan ran.
pub(crate) fn is_by_all(verdict: &Verdict, policies: &[Arc<AppliedPolicy>]) -> bool {
    verdict.policies.len() == policies.len()
        && verdict.policies.iter().zip(policies).all(|(said, asked)| {
            said.name.as_str() == asked.name && said.hash == asked.hash && said.mode == asked.spec.mode
        })
}

/// The failure of an image that policy refuses, with every cause.
pub(crate) fn by_policy(verdict: &Verdict, reason: &str, next: &str) -> Failure {
    let causes = verdict.policies.iter().flat_map(|policy| &policy.causes);
    let causes: Vec<&str> = causes.map(String::as_str).collect();
    let message = if causes.is_empty() {
        "No policy says why.".to_owned()
    } else {
        format!("{}.", causes.join("; "))
    };
    Failure {
        class: FailureClass::Policy,
        reason: reason.to_owned(),
        container: None,
        exit_code: None,
        message,
        log: None,
        next: next.to_owned(),
    }
}

/// The failure of a scan whose verdict is no verdict on that image.
pub(crate) fn wrong_evidence(digest: &str) -> Failure {
    blank(
        FailureClass::Scan,
        "WrongEvidence",
        format!("The verdict speaks of {digest}, or contradicts itself."),
        "Report this as a defect of Image Factory.",
    )
}

/// Whether each of an index's images was scanned, those and no others. Without a scan nothing good may be said.
pub(crate) fn covers(scan: Option<&ScanStatus>, verdict: &Verdict, images: &[PlatformImage]) -> bool {
    let Some(scan) = scan else {
        return !verdict.publishable;
    };
    let scanned = scan.platforms.iter().map(|image| (&image.platform, &image.digest));
    scanned.eq(images.iter().map(|image| (&image.platform, &image.digest)))
}

/// Whether SBOM and report are attached to every image.
pub(crate) fn has_evidence(scan: &ScanStatus) -> bool {
    match scan.platforms.as_slice() {
        [] => scan.referrers.is_some(),
        images => images.iter().all(|image| image.referrers.is_some()),
    }
}

/// What came of a job.
pub(crate) enum Outcome<T> {
    /// It goes on, or its end was not seen in full yet.
    Running,
    /// Its last container told its result.
    Done(T),
    /// It came to a bad end.
    Failed(Failure),
}

/// What keeps a job's pod from starting, once it had its time: as for the pod that builds, the scheduler and the kubelet
/// have tried again and again meanwhile.
pub(crate) fn stuck(job: &JobView, work: Work, now: Timestamp, settings: &Settings) -> Option<Failure> {
    let since = job.pod.as_ref().map_or(job.created, PodView::waits_since)?;
    let waited = now.duration_since(since).as_secs();
    if waited < settings.builds.pending_deadline_seconds {
        return None;
    }
    match &job.pod {
        Some(pod) => failure::of_waiting(pod, work),
        None => Some(job_failure(
            "NoPod",
            "The job has no pod: something keeps the cluster from making it.",
            work,
        )),
    }
}

/// A container of the scan that broke off is the scanner's failure; what happened to its pod or node is not.
pub(crate) fn of_scan(failure: Failure) -> Failure {
    match failure.class {
        FailureClass::Infrastructure if failure.container.is_some() => Failure {
            class: FailureClass::Scan,
            ..failure
        },
        _ => failure,
    }
}

/// What came of a job whose last container is ours and writes a report.
pub(crate) fn outcome<T: serde::de::DeserializeOwned>(job: &JobView, work: Work) -> Outcome<T> {
    match (&job.ended, &job.pod) {
        // Job and pod come by two watches: the pod's end may not have been seen yet.
        (None, _) | (Some(JobEnd::Complete), None) => Outcome::Running,
        (Some(_), Some(pod)) if !pod.has_ended() && !pod.deleting => Outcome::Running,
        (Some(JobEnd::Failed { .. }), Some(pod)) if pod.was_ended_at_deadline() && !pod.was_told_to_end() => {
            let message = "The job ran longer than the platform lets it.";
            Outcome::Failed(job_failure("DeadlineExceeded", message, work))
        }
        (Some(JobEnd::Complete), Some(pod)) => match report(pod) {
            Some(Report::Done(done)) => Outcome::Done(done),
            Some(Report::Failed(_)) | None => Outcome::Failed(failure::of_pod(pod, work)),
        },
        (Some(JobEnd::Failed { .. }), Some(pod)) => {
            Outcome::Failed(failure::of_waiting(pod, work).unwrap_or_else(|| failure::of_pod(pod, work)))
        }
        (Some(JobEnd::Failed { reason, message }), None) => Outcome::Failed(job_failure(reason, message, work)),
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

fn job_failure(reason: &str, message: &str, work: Work) -> Failure {
    blank(
        FailureClass::Infrastructure,
        reason,
        message.to_owned(),
        &failure::again(work),
    )
}
