//! How a pod runs and ends: its status as a kubelet would write it, with what our steps would say.

use imagefactory_core::step::{Evaluated, Report, StepFailure};
use imagefactory_crds::build::{FailureClass, Judgement};
use imagefactory_crds::names::LABEL_BUILD;
use imagefactory_rig::reports;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;
use serde_json::{Value, json};

/// How a pod ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Good,
    /// It runs until somebody ends it.
    Hangs,
    /// It runs until its build is cancelled, and then ends well.
    Waits,
    /// No node takes it.
    NoNode,
    /// A step of ours fails and says so: container, class, reason.
    Fails(&'static str, FailureClass, &'static str),
    /// A container ends with an exit code and without a report.
    Crashes(&'static str),
    /// A container goes over its memory.
    OutOfMemory(&'static str),
    /// The node puts it out.
    Evicted,
    /// It is judged so.
    Judged(Judgement),
    /// What was judged is another image.
    OtherDigest,
}

/// Every init container but the last has ended, and that one runs.
pub fn running(pod: &Value) -> Value {
    let inits = containers(pod, "initContainers");
    let last = inits.len().saturating_sub(1);
    let now = Timestamp::now();
    let statuses = inits.iter().enumerate().map(|(index, container)| {
        if index == last {
            of_container(container, &json!({"running": {"startedAt": now}}))
        } else {
            well(container, pod)
        }
    });
    json!({"phase": "Pending", "startTime": now, "initContainerStatuses": statuses.collect::<Vec<_>>()})
}

/// The pod at its end.
pub fn ended(pod: &Value, outcome: &Outcome) -> Value {
    if *outcome == Outcome::Evicted {
        return json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."});
    }
    let bad = match outcome {
        Outcome::Fails(name, ..) | Outcome::Crashes(name) | Outcome::OutOfMemory(name) => Some(*name),
        _ => None,
    };
    let mut is_over = false;
    let mut all = |key: &str| -> Vec<Value> {
        let list = containers(pod, key).into_iter();
        list.map(|container| {
            if is_over {
                return of_container(&container, &json!({"waiting": {"reason": "PodInitializing"}}));
            }
            is_over = Some(container.name.as_str()) == bad;
            if is_over {
                badly(&container, outcome)
            } else {
                judged(&container, pod, outcome)
            }
        })
        .collect()
    };
    let (inits, mains) = (all("initContainers"), all("containers"));
    let phase = if bad.is_some() { "Failed" } else { "Succeeded" };
    json!({"phase": phase, "initContainerStatuses": inits, "containerStatuses": mains})
}

/// The pod when its deadline has passed.
pub fn at_deadline(pod: &Value) -> Value {
    let killed = |key: &str| -> Vec<Value> {
        let list = containers(pod, key).into_iter();
        list.map(|container| of_container(&container, &terminated(137, "Error", None)))
            .collect()
    };
    json!({
        "phase": "Failed", "reason": "DeadlineExceeded", "message": "Pod was active on the node longer than the specified deadline",
        "initContainerStatuses": killed("initContainers"), "containerStatuses": killed("containers"),
    })
}

fn containers(pod: &Value, key: &str) -> Vec<Container> {
    serde_json::from_value(pod["spec"][key].clone()).unwrap_or_default()
}

fn well(container: &Container, pod: &Value) -> Value {
    // By the build's name, so that every run has the same digests.
    let seed = pod["metadata"]["labels"][LABEL_BUILD].as_str().unwrap_or_default();
    let message = reports::of(container, seed);
    of_container(container, &terminated(0, "Completed", message.as_deref()))
}

fn judged(container: &Container, pod: &Value, outcome: &Outcome) -> Value {
    let (Outcome::Judged(_) | Outcome::OtherDigest, "evaluate") = (outcome, container.name.as_str()) else {
        return well(container, pod);
    };
    let message = reports::of(container, "").unwrap_or_default();
    let Some(Report::Done(mut evaluated)) = Report::<Evaluated>::decode(&message) else {
        return well(container, pod);
    };
    if let Outcome::Judged(judgement) = outcome {
        evaluated.verdict.result = *judgement;
        evaluated.verdict.publishable = *judgement == Judgement::Pass;
        for policy in &mut evaluated.verdict.policies {
            policy.result = *judgement;
        }
    } else {
        evaluated.digest = evaluated.digest.chars().rev().collect();
    }
    of_container(
        container,
        &terminated(0, "Completed", Some(&Report::Done(evaluated).encode())),
    )
}

fn badly(container: &Container, outcome: &Outcome) -> Value {
    let state = match outcome {
        Outcome::Fails(_, class, reason) => {
            let failure = Report::<Value>::Failed(StepFailure {
                class: *class,
                reason: (*reason).to_owned(),
                message: "It did not work.".to_owned(),
                next: "Try again.".to_owned(),
            });
            terminated(1, "Error", Some(&failure.encode()))
        }
        Outcome::OutOfMemory(_) => terminated(137, "OOMKilled", None),
        _ => terminated(2, "Error", Some("it broke")),
    };
    of_container(container, &state)
}

fn terminated(exit_code: i32, reason: &str, message: Option<&str>) -> Value {
    let now = Timestamp::now();
    json!({"terminated": {
        "exitCode": exit_code, "reason": reason, "message": message, "startedAt": now, "finishedAt": now,
        "containerID": "containerd://c",
    }})
}

fn of_container(container: &Container, state: &Value) -> Value {
    json!({
        "name": container.name, "image": container.image, "imageID": "",
        "ready": false, "restartCount": 0, "state": state,
    })
}
