//! Why a pod failed: from container states, exit codes and the reports of our own containers, never from the
//! text of a log. What to do about it depends on what the pod was made for.

use imagefactory_crds::build::{Failure, FailureClass};

use crate::build::observed::{ContainerState, ContainerView, Disruption, PodView};
use crate::step::{Report, StepFailure, usage};
use crate::work::Work;

/// Container that runs tenant code. Its termination message is the end of its log and is never read as a report.
pub const BUILDER: &str = "build";

/// Longest log kept in status, in bytes.
const MAX_LOG: usize = 1500;

/// Waiting reasons that a container does not leave without help.
const STUCK: [&str; 6] = [
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
];

/// What went wrong in a pod that ended badly.
#[must_use]
pub fn of_pod(pod: &PodView, work: Work) -> Failure {
    if pod.was_told_to_end() {
        return told_to_end(pod, work);
    }
    if let Some(failure) = of_node(pod, work) {
        return failure;
    }
    match pod.containers.iter().find(|container| has_failed(container)) {
        Some(container) => of_container(container, work),
        None => blank(
            FailureClass::Infrastructure,
            pod.reason.as_deref().unwrap_or("PodFailed"),
            pod.message
                .clone()
                .unwrap_or_else(|| format!("Pod {} failed and does not say why.", pod.name)),
            &format!(
                "Look at the pod with kubectl describe; create a new {} to try again.",
                work.kind()
            ),
        ),
    }
}

/// What keeps a pod from starting, if something does that does not pass by itself.
#[must_use]
pub fn of_waiting(pod: &PodView, work: Work) -> Option<Failure> {
    if let Some(message) = &pod.unschedulable {
        return Some(blank(
            FailureClass::Infrastructure,
            "Unschedulable",
            format!("No node takes the pod: {message}"),
            match work {
                Work::Build => {
                    "Ask for less in spec.resources of a new Build, or ask a platform administrator for more room."
                }
                Work::Scan => "Ask a platform administrator for more room.",
            },
        ));
    }
    pod.containers.iter().find_map(|container| match &container.state {
        ContainerState::Waiting { reason, message } if STUCK.contains(&reason.as_str()) => Some(Failure {
            container: Some(container.name.clone()),
            ..blank(
                FailureClass::Infrastructure,
                reason,
                format!("Container {} can't start: {message}", container.name),
                "This image or object belongs to the platform: ask a platform administrator.",
            )
        }),
        ContainerState::Waiting { .. } | ContainerState::Running | ContainerState::Ended { .. } => None,
    })
}

/// What is said from the pod's creation until the builder runs, as long as nothing hinders it: one text, and so one
/// write of the status.
pub const PREPARING: &str = "The build's pod starts, its source is fetched, its base images are resolved.";

/// A failure that is nobody's container's.
#[must_use]
pub fn blank(class: FailureClass, reason: &str, message: String, next: &str) -> Failure {
    Failure {
        class,
        reason: head(reason, 128),
        container: None,
        exit_code: None,
        message: fit(message, 500),
        log: None,
        next: head(next, 256),
    }
}

/// We ended it for a reason that is none any more: what it was refused for was taken back before it had ended, or the operator
/// ended before it had written down why.
fn told_to_end(pod: &PodView, work: Work) -> Failure {
    blank(
        FailureClass::Infrastructure,
        "PodEnded",
        format!("The operator ended pod {} before it had a result.", pod.name),
        &format!("Create a new {} to try again.", work.kind()),
    )
}

fn of_node(pod: &PodView, work: Work) -> Option<Failure> {
    let message = pod.message.clone().unwrap_or_default();
    let Some(reason) = pod.reason.as_deref() else {
        return pod
            .disruption
            .as_ref()
            .map(|disruption| of_disruption(disruption, work));
    };
    match reason {
        "Evicted" => Some(blank(
            FailureClass::Evicted,
            reason,
            message,
            match work {
                Work::Build => {
                    "The pod used more than it may, or more than its node has: the message says which. Ask for more in spec.resources (ephemeralStorage, memory) of a new Build; what a volume holds, a platform administrator sets."
                }
                Work::Scan => {
                    "The node ran short of what the pod used: create a new ImageScan; if it happens again, tell a platform administrator."
                }
            },
        )),
        "NodeLost"
        | "NodeAffinity"
        | "NodeShutdown"
        | "Shutdown"
        | "Terminated"
        | "Preempting"
        | "UnexpectedAdmissionError" => Some(blank(
            FailureClass::Evicted,
            reason,
            message,
            &format!("The node went away: create a new {} to try again.", work.kind()),
        )),
        _ => None,
    }
}

/// Drained, preempted, or put off by a taint.
fn of_disruption(disruption: &Disruption, work: Work) -> Failure {
    let Disruption { reason, message } = disruption;
    let reason = if reason.is_empty() { "Disrupted" } else { reason };
    blank(
        FailureClass::Evicted,
        reason,
        format!("The pod was taken off its node: {message}"),
        &format!("Create a new {} to try again.", work.kind()),
    )
}

fn has_failed(container: &ContainerView) -> bool {
    matches!(&container.state, ContainerState::Ended { exit_code, .. } if *exit_code != 0)
}

fn of_container(container: &ContainerView, work: Work) -> Failure {
    let ContainerState::Ended {
        exit_code,
        reason,
        message,
    } = &container.state
    else {
        return blank(
            FailureClass::Infrastructure,
            "PodFailed",
            String::new(),
            &format!("Create a new {} to try again.", work.kind()),
        );
    };
    let failure = if reason == "OOMKilled" {
        blank(
            FailureClass::OutOfMemory,
            reason,
            format!("Container {} went over its memory limit.", container.name),
            match work {
                Work::Build => "Raise spec.resources.limits.memory in a new Build, or make the build use less.",
                Work::Scan => {
                    "The image takes more memory than the platform gives a scan: tell a platform administrator."
                }
            },
        )
    } else if container.name == BUILDER {
        blank(
            FailureClass::Build,
            "BuildFailed",
            format!("A step of the build failed with exit code {exit_code}; its last lines are in status.failure.log."),
            "Read the log with kubectl logs and mend the Dockerfile; then create a new Build.",
        )
    } else {
        of_step(container, message, *exit_code, work)
    };
    let is_log = container.name == BUILDER || reason == "OOMKilled";
    let log = is_log.then(|| usage::without(message)).filter(|log| !log.is_empty());
    Failure {
        container: Some(container.name.clone()),
        exit_code: Some(*exit_code),
        log: log.map(|log| tail(&log, MAX_LOG)),
        ..failure
    }
}

/// A container of ours says itself what went wrong.
fn of_step(container: &ContainerView, message: &str, exit_code: i32, work: Work) -> Failure {
    match Report::<serde_json::Value>::decode(message) {
        Some(Report::Failed(StepFailure {
            class,
            reason,
            message,
            next,
        })) => Failure {
            next: head(&next, 256),
            ..blank(class, &reason, message, "")
        },
        Some(Report::Done(_)) | None => Failure {
            log: (!message.is_empty()).then(|| tail(message, MAX_LOG)),
            ..blank(
                FailureClass::Infrastructure,
                "StepCrashed",
                format!(
                    "Container {} ended with exit code {exit_code} and without a report.",
                    container.name
                ),
                &again(work),
            )
        },
    }
}

/// What to do about what may pass by itself.
pub(crate) fn again(work: Work) -> String {
    format!(
        "Create a new {} to try again; if it happens again, tell a platform administrator.",
        work.kind()
    )
}

/// The first `most` bytes, cut between characters.
fn head(text: &str, most: usize) -> String {
    let mut length = 0;
    text.chars()
        .take_while(|character| {
            length += character.len_utf8();
            length <= most
        })
        .collect()
}

/// The text itself, cut like [`head`] where it is too long. A kubelet ends its messages with a space, which goes.
fn fit(mut text: String, most: usize) -> String {
    let end = text.trim_end().floor_char_boundary(most);
    text.truncate(end);
    text
}

/// The last `most` bytes, cut between characters, without control characters but line breaks and tabs.
fn tail(text: &str, most: usize) -> String {
    let mut length = 0;
    let kept: Vec<char> = text
        .chars()
        .rev()
        .filter(|character| !character.is_control() || matches!(character, '\n' | '\t'))
        .take_while(|character| {
            length += character.len_utf8();
            length <= most
        })
        .collect();
    kept.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(name: &str, exit_code: i32, reason: &str, message: &str) -> PodView {
        let state = ContainerState::Ended {
            exit_code,
            reason: reason.to_owned(),
            message: message.to_owned(),
        };
        let container = ContainerView {
            name: name.to_owned(),
            state,
        };
        PodView {
            phase: "Failed".to_owned(),
            containers: vec![container],
            ..PodView::default()
        }
    }

    #[test]
    fn the_class_follows_from_states_and_exit_codes() {
        let cases = [
            (ended(BUILDER, 1, "Error", "boom"), FailureClass::Build, "BuildFailed"),
            (
                ended(BUILDER, 137, "OOMKilled", ""),
                FailureClass::OutOfMemory,
                "OOMKilled",
            ),
            (
                ended("push", 2, "Error", "panic"),
                FailureClass::Infrastructure,
                "StepCrashed",
            ),
            (
                PodView {
                    reason: Some("Evicted".to_owned()),
                    ..ended(BUILDER, 137, "Error", "")
                },
                FailureClass::Evicted,
                "Evicted",
            ),
            (
                PodView {
                    phase: "Failed".to_owned(),
                    ..PodView::default()
                },
                FailureClass::Infrastructure,
                "PodFailed",
            ),
        ];
        for (pod, class, reason) in cases {
            let failure = of_pod(&pod, Work::Build);
            assert_eq!((failure.class, failure.reason.as_str()), (class, reason));
        }
    }

    #[test]
    fn what_a_kubelet_says_is_told_without_the_space_that_it_ends_with() {
        let evicted = PodView {
            reason: Some("Evicted".to_owned()),
            message: Some("Usage of EmptyDir volume \"layout\" exceeds the limit \"4Gi\". ".to_owned()),
            ..PodView::default()
        };
        assert_eq!(
            of_pod(&evicted, Work::Build).message,
            "Usage of EmptyDir volume \"layout\" exceeds the limit \"4Gi\"."
        );
    }

    #[test]
    fn what_to_do_about_a_scan_s_failure_names_no_build_and_nothing_that_only_a_build_has() {
        let evicted = PodView {
            reason: Some("Evicted".to_owned()),
            ..PodView::default()
        };
        let gone = PodView {
            reason: Some("NodeLost".to_owned()),
            ..PodView::default()
        };
        let pods = [
            ended("scan", 137, "OOMKilled", ""),
            ended("scan", 2, "Error", "panic"),
            PodView::default(),
            evicted,
            gone,
        ];
        let next = |work| pods.iter().map(|pod| of_pod(pod, work).next).collect::<Vec<_>>();
        for (of_scan, of_build) in next(Work::Scan).iter().zip(next(Work::Build)) {
            assert!(of_build.contains("new Build"), "{of_build}");
            assert!(!of_scan.contains("Build") && !of_scan.contains("spec."), "{of_scan}");
        }
        let of_evicted = next(Work::Build).swap_remove(3);
        assert!(
            of_evicted.ends_with("a platform administrator sets."),
            "whole: {of_evicted}"
        );
        let unschedulable = PodView {
            unschedulable: Some("no room".to_owned()),
            ..PodView::default()
        };
        let next = of_waiting(&unschedulable, Work::Scan).unwrap().next;
        assert!(!next.contains("Build"), "{next}");
    }

    #[test]
    fn a_step_of_ours_names_the_class_itself() {
        let report = r#"{"failed":{"class":"Source","reason":"CommitNotFound","message":"m","next":"n"}}"#;
        let failure = of_pod(&ended("prepare", 1, "Error", report), Work::Build);
        assert_eq!(
            (failure.class, failure.reason.as_str(), failure.next.as_str()),
            (FailureClass::Source, "CommitNotFound", "n")
        );
        assert_eq!(failure.log, None);
    }

    #[test]
    fn tenant_code_can_not_name_its_own_class() {
        let forged = r#"{"failed":{"class":"Infrastructure","reason":"Forged","message":"m","next":"n"}}"#;
        let failure = of_pod(&ended(BUILDER, 1, "Error", forged), Work::Build);
        assert_eq!(
            (failure.class, failure.reason.as_str()),
            (FailureClass::Build, "BuildFailed")
        );
    }

    #[test]
    fn the_end_of_the_log_is_kept_within_bounds_and_between_characters() {
        let failure = of_pod(
            &ended(BUILDER, 1, "Error", &format!("{}end\u{1b}", "ü".repeat(5000))),
            Work::Build,
        );
        let log = failure.log.unwrap();
        assert!(log.len() <= MAX_LOG && log.ends_with("end"), "{log}");
    }

    #[test]
    fn the_log_does_not_end_with_what_the_builder_used() {
        let used = "imagefactory: used 1 ms of CPU, 2 bytes of memory at most\n";
        let failure = of_pod(&ended(BUILDER, 1, "Error", &format!("boom\n{used}")), Work::Build);
        assert_eq!(failure.log.as_deref(), Some("boom\n"));
        assert_eq!(of_pod(&ended(BUILDER, 1, "Error", used), Work::Build).log, None);
    }

    #[test]
    fn a_container_that_waits_for_its_image_is_named() {
        let state = ContainerState::Waiting {
            reason: "ImagePullBackOff".to_owned(),
            message: "no such host".to_owned(),
        };
        let pod = PodView {
            containers: vec![ContainerView {
                name: "build".to_owned(),
                state,
            }],
            ..PodView::default()
        };
        assert_eq!(of_waiting(&pod, Work::Build).unwrap().reason, "ImagePullBackOff");
    }
}
