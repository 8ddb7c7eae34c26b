//! The double of the kubelet: a process that ends the pods of builds and of their jobs with the reports of a good build, and
//! those of Tekton with what its entrypoint leaves behind of a step that did its work.
//!
//! It writes one status for a pod, at once. The name of the Build says otherwise: [`LIVE`] pods run for ever, those of
//! [`SLOW`] builds go through every state, and [`BUSY`] ones take a second. Nothing is pulled and nothing runs.

use std::collections::HashSet;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use imagefactory_crds::names::{LABEL_BUILD, LABEL_BUILD_UID, LABEL_STAGE};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::error::Result;
use crate::reports;
use crate::rig::client_of;

/// Builds whose pod runs for ever.
pub const LIVE: &str = "live-";
/// Builds whose pods go through every state, so that every status is written.
pub const SLOW: &str = "slow-";
/// Builds whose pod takes a second, so that slots are taken.
pub const BUSY: &str = "busy-";
/// How long a state lasts.
const STATE: Duration = Duration::from_secs(1);

/// Plays the kubelet of pods with that label until it is killed.
///
/// # Errors
/// When the API server can't be reached.
pub async fn run(kubeconfig: &Path, label: &str) -> Result<()> {
    let client = client_of(kubeconfig).await?;
    let config = watcher::Config::default().labels(label).streaming_lists();
    let mut events = pin!(watcher(Api::<Pod>::all(client.clone()), config));
    let mut known = HashSet::new();
    while let Some(event) = events.next().await {
        let Ok(Event::Apply(pod) | Event::InitApply(pod)) = event else {
            continue;
        };
        let pending = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Pending");
        if pending && pod.uid().is_some_and(|uid| known.insert(uid)) {
            tokio::spawn(play(client.clone(), pod));
        }
    }
    Ok(())
}

async fn play(client: Client, pod: Pod) {
    let build = pod.labels().get(LABEL_BUILD).cloned().unwrap_or_default();
    let builds = pod.labels().get(LABEL_STAGE).map(String::as_str) == Some("build");
    let pods: Api<Pod> = Api::namespaced(client, &pod.namespace().unwrap_or_default());
    if build.starts_with(LIVE) && builds {
        return write(&pods, &pod, running(&pod)).await;
    }
    if build.starts_with(SLOW) {
        sleep(STATE).await;
        write(&pods, &pod, running(&pod)).await;
        sleep(STATE).await;
    }
    if build.starts_with(BUSY) && builds {
        sleep(STATE).await;
    }
    write(&pods, &pod, succeeded(&pod)).await;
}

async fn write(pods: &Api<Pod>, pod: &Pod, status: Value) {
    let patch = Patch::Merge(json!({"status": status}));
    // A pod that is gone needs no end.
    let _ = pods
        .patch_status(&pod.name_any(), &PatchParams::default(), &patch)
        .await;
}

/// Every init container but the last has ended, and that one, which builds, runs.
fn running(pod: &Pod) -> Value {
    let (inits, mains) = containers(pod);
    let last = inits.len().saturating_sub(1);
    let inits = inits.iter().enumerate().map(|(index, container)| match index {
        index if index == last => of_container(container, &json!({"running": {"startedAt": Timestamp::now()}})),
        _ => ended(container, pod),
    });
    let waits = json!({"waiting": {"reason": "PodInitializing"}});
    json!({
        "phase": if inits.len() == 0 { "Running" } else { "Pending" },
        "startTime": Timestamp::now(),
        "initContainerStatuses": inits.collect::<Vec<_>>(),
        "containerStatuses": mains.iter().map(|main| of_container(main, &waits)).collect::<Vec<_>>(),
    })
}

fn succeeded(pod: &Pod) -> Value {
    let (inits, mains) = containers(pod);
    let all = |list: &[Container]| list.iter().map(|container| ended(container, pod)).collect::<Vec<_>>();
    json!({
        "phase": "Succeeded",
        "startTime": Timestamp::now(),
        "initContainerStatuses": all(inits),
        "containerStatuses": all(mains),
    })
}

fn containers(pod: &Pod) -> (&[Container], &[Container]) {
    pod.spec.as_ref().map_or((&[], &[]), |spec| {
        (spec.init_containers.as_deref().unwrap_or_default(), &spec.containers)
    })
}

fn ended(container: &Container, pod: &Pod) -> Value {
    let now = Timestamp::now();
    let message = match pod.labels().get(LABEL_BUILD_UID) {
        Some(uid) => reports::of(container, uid),
        None => of_entrypoint(container, now),
    };
    // No containerID: of what never ran there is no log to keep.
    let state = json!({"terminated": {
        "exitCode": 0, "reason": "Completed", "message": message, "startedAt": now, "finishedAt": now,
    }});
    of_container(container, &state)
}

/// What Tekton's entrypoint says of a step without results: when it began.
fn of_entrypoint(container: &Container, began: Timestamp) -> Option<String> {
    /// Says that it is not a result of the Task.
    const OF_TEKTON: u8 = 3;
    let says = json!([{"key": "StartedAt", "value": began.to_string(), "type": OF_TEKTON}]);
    container.name.starts_with("step-").then(|| says.to_string())
}

fn of_container(container: &Container, state: &Value) -> Value {
    json!({
        "name": container.name, "image": container.image, "imageID": "",
        "ready": false, "restartCount": 0, "state": state,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(labels: &Value, container: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"labels": labels}, "spec": {"containers": [{"name": container}]},
        }))
        .unwrap()
    }

    fn message(pod: &Pod) -> Value {
        succeeded(pod)["containerStatuses"][0]["state"]["terminated"]["message"].clone()
    }

    #[test]
    fn a_step_of_tekton_tells_when_it_began_and_its_other_containers_tell_nothing() {
        let labels = json!({"tekton.dev/taskRun": "a"});
        let said: Value = serde_json::from_str(message(&pod(&labels, "step-build")).as_str().unwrap()).unwrap();
        assert_eq!((&said[0]["key"], &said[0]["type"]), (&json!("StartedAt"), &json!(3)));
        let began: Timestamp = said[0]["value"].as_str().unwrap().parse().unwrap();
        assert!(began <= Timestamp::now());
        assert_eq!(message(&pod(&labels, "prepare")), Value::Null);
    }

    #[test]
    fn a_container_of_ours_makes_its_report() {
        let labels = json!({LABEL_BUILD_UID: "1-2"});
        assert!(message(&pod(&labels, "push")).as_str().unwrap().contains("sha256:"));
    }
}
