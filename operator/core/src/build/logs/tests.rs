use serde_json::{Value, json};

use super::*;
use crate::build::fixtures::at;

fn pod(phase: &str, containers: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "hello-build-2", "namespace": "tenant-acme", "uid": "pod", "labels": {
            "imagefactory.dev/tenant": "acme", "imagefactory.dev/project": "web", "imagefactory.dev/build": "hello",
            "imagefactory.dev/build-uid": "uid", "imagefactory.dev/attempt": "2", "imagefactory.dev/stage": "build",
        }},
        "status": {"phase": phase, "initContainerStatuses": containers},
    }))
    .unwrap()
}

fn status(name: &str, state: &Value) -> Value {
    json!({"name": name, "state": state, "image": "", "imageID": "", "ready": false, "restartCount": 0})
}

fn ended(name: &str) -> Value {
    status(
        name,
        &json!({"terminated": {"exitCode": 1, "containerID": "containerd://1"}}),
    )
}

fn log(attempt: u32, stage: &str, container: &str) -> KeptLog {
    KeptLog {
        attempt,
        stage: stage.to_owned(),
        container: container.to_owned(),
        bytes: 10,
        cut: false,
    }
}

#[test]
fn only_containers_that_ran_and_ended_have_a_log_to_keep() {
    let never_ran = status(
        "push",
        &json!({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}}),
    );
    let waits = status("scan", &json!({"waiting": {"reason": "PodInitializing"}}));
    let runs = status("build", &json!({"running": {}}));
    let found = ended_containers(&pod("Failed", &json!([ended("prepare"), runs, waits, never_ran])));
    let paths: Vec<String> = found.iter().map(EndedContainer::path).collect();
    assert_eq!(paths, ["acme/web/uid/2/build-prepare.log"]);
}

#[test]
fn a_pod_whose_labels_are_no_names_has_no_place_for_its_logs() {
    for hostile in ["..", "", "a/b", "a\u{0}b", ".hidden"] {
        let mut pod = pod("Failed", &json!([ended("prepare")]));
        let labels = pod.metadata.labels.get_or_insert_default();
        labels.insert(LABEL_PROJECT.to_owned(), hostile.to_owned());
        assert_eq!(ended_containers(&pod), [], "{hostile:?}");
    }
}

#[test]
fn status_names_each_log_once_and_in_order() {
    let recorded = merged(
        None,
        &[log(2, "build", "prepare"), log(1, "scan", "sbom")],
        "file:///logs/acme/web/uid",
    );
    let more = [
        log(1, "build", "push"),
        KeptLog {
            bytes: 99,
            ..log(1, "scan", "sbom")
        },
    ];
    let logs = merged(recorded.as_ref(), &more, "ignored").unwrap();
    let names: Vec<String> = logs
        .containers
        .iter()
        .map(|log| format!("{}/{}-{} {}", log.attempt, log.stage, log.container, log.bytes))
        .collect();
    assert_eq!(names, ["1/build-push 10", "1/scan-sbom 99", "2/build-prepare 10"]);
    assert_eq!(logs.location, "file:///logs/acme/web/uid");
    assert_eq!(
        merged(Some(&logs), &more, ""),
        Some(logs.clone()),
        "merging again changes nothing"
    );
}

#[test]
fn nothing_kept_says_nothing() {
    assert_eq!(merged(None, &[], "file:///logs"), None);
}

#[test]
fn of_many_attempts_the_newest_logs_are_named_and_the_status_stays_small() {
    let all: Vec<KeptLog> = (1..=10)
        .flat_map(|attempt| ["prepare", "build", "push"].map(|name| log(attempt, "build", name)))
        .collect();
    let logs = merged(None, &all, &"x".repeat(500)).unwrap();
    assert_eq!(logs.containers.len(), MAX_KEPT_LOGS);
    assert_eq!(logs.containers.last(), Some(&log(10, "build", "push")));
    assert_eq!(logs.containers.first(), Some(&log(3, "build", "prepare")));
    assert!(serde_json::to_vec(&logs).unwrap().len() < 3000);
    assert_eq!(
        merged(Some(&logs), &all, ""),
        Some(logs),
        "what was left out does not come back"
    );
}

#[test]
fn a_log_that_cannot_be_read_is_given_up_after_an_hour() {
    let mut container = ended_containers(&pod("Failed", &json!([ended("prepare")]))).remove(0);
    container.finished = Some(at(0));
    assert!(!container.is_lost(at(3599)));
    assert!(container.is_lost(at(3600)));
}

#[test]
fn a_pod_stays_until_its_build_was_settled_for_a_while() {
    let keep = SignedDuration::from_hours(1);
    let known = |uid, completed| Some(Known { uid, completed });
    let ended_pod = pod("Failed", &json!([]));
    assert!(has_stayed(&ended_pod, known("uid", Some(at(0))), at(3600), keep));
    assert!(
        !has_stayed(&ended_pod, known("uid", Some(at(0))), at(3599), keep),
        "too soon"
    );
    assert!(
        !has_stayed(&ended_pod, known("uid", None), at(99_999), keep),
        "its build goes on"
    );
    assert!(
        !has_stayed(&ended_pod, known("other", Some(at(0))), at(99_999), keep),
        "another build"
    );
    assert!(
        !has_stayed(&ended_pod, None, at(99_999), keep),
        "the garbage collector's"
    );
    assert!(!has_stayed(
        &pod("Running", &json!([])),
        known("uid", Some(at(0))),
        at(99_999),
        keep
    ));
}
