//! The double of everything that acts on what the operator makes: scheduler, kubelet, job controller and collector of
//! garbage, for one tenant. It looks at what there is and does what is next, each thing once.

use std::collections::HashSet;
use std::sync::Arc;

use imagefactory_crds::Build;
use imagefactory_crds::names::{LABEL_ATTEMPT, LABEL_BUILD, LABEL_STAGE};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::outcome::{self, Outcome};
use crate::scenario::Scenario;
use crate::world::{Seen, is_live};

/// What is done next.
enum Move {
    Bind,
    Runs,
    Ends,
    EndsAtDeadline,
    Vanishes,
    MakePod,
    Finish(bool),
}

/// The double for one tenant.
pub struct Kubelet {
    /// A client that no fault touches.
    pub client: Client,
    /// What there is.
    pub seen: Arc<Seen>,
    /// Who ends how.
    pub scenario: Arc<Scenario>,
}

impl Kubelet {
    /// Acts until it is dropped.
    pub async fn run(self) {
        let mut changes = self.seen.changes();
        let mut done = HashSet::new();
        loop {
            self.look(&mut done).await;
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    async fn look(&self, done: &mut HashSet<(String, &'static str)>) {
        for pod in self.seen.all("pods") {
            let Some((what, step)) = self.of_pod(&pod) else {
                continue;
            };
            if done.insert((uid(&pod), what)) && !self.perform(&pod, &step).await {
                done.remove(&(uid(&pod), what));
            }
        }
        for job in self.seen.all("jobs") {
            let Some((what, step)) = self.of_job(&job) else {
                continue;
            };
            if done.insert((uid(&job), what)) && !self.perform(&job, &step).await {
                done.remove(&(uid(&job), what));
            }
        }
    }

    fn of_pod(&self, pod: &Value) -> Option<(&'static str, Move)> {
        let outcome = self.outcome(pod);
        let is_bound = pod["spec"]["nodeName"].is_string();
        if !pod["metadata"]["deletionTimestamp"].is_null() || self.lost_its_owner(pod) {
            return Some(("vanishes", Move::Vanishes));
        }
        if !is_live(pod) {
            return None;
        }
        if !is_bound {
            return (outcome != Outcome::NoNode).then_some(("bind", Move::Bind));
        }
        if pod["spec"]["activeDeadlineSeconds"] == 1 {
            return Some(("deadline", Move::EndsAtDeadline));
        }
        let builds = pod["metadata"]["labels"][LABEL_STAGE] == "build";
        if builds && pod["status"]["initContainerStatuses"].is_null() {
            return Some(("runs", Move::Runs));
        }
        // Its end waits until the operator has seen it run, so that every run of a scenario shows the same.
        let build = self.seen.get("builds", &label(pod, LABEL_BUILD))?;
        let is_seen = !builds || build["status"]["phase"] == "Building";
        let may_end = match outcome {
            Outcome::Hangs => false,
            Outcome::Waits => build["spec"]["cancelled"] == true,
            _ => true,
        };
        (is_seen && may_end).then_some(("ends", Move::Ends))
    }

    fn of_job(&self, job: &Value) -> Option<(&'static str, Move)> {
        if !job["metadata"]["deletionTimestamp"].is_null() || job["status"]["conditions"].is_array() {
            return None;
        }
        let its = |pod: &&Value| pod["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"];
        let pods = self.seen.all("pods");
        match pods.iter().map(AsRef::as_ref).find(its) {
            None => Some(("pod", Move::MakePod)),
            Some(pod) if is_live(pod) => None,
            Some(pod) => Some(("finish", Move::Finish(pod["status"]["phase"] == "Succeeded"))),
        }
    }

    /// Whether its owner is gone; asked for by [`Move::Vanishes`] once more.
    fn lost_its_owner(&self, pod: &Value) -> bool {
        let owner = &pod["metadata"]["ownerReferences"][0];
        let plural = if owner["kind"] == "Job" { "jobs" } else { "builds" };
        let name = owner["name"].as_str().unwrap_or_default();
        let found = self.seen.get(plural, name);
        owner["uid"].is_string() && found.is_none_or(|found| found["metadata"]["uid"] != owner["uid"])
    }

    /// Whether its owner is not gone, as far as anybody can say: an error is no absence.
    async fn owner_is_there(&self, pod: &Value) -> bool {
        let owner = &pod["metadata"]["ownerReferences"][0];
        let name = owner["name"].as_str().unwrap_or_default();
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
        let found = if owner["kind"] == "Job" {
            let jobs: Api<Job> = Api::namespaced(self.client.clone(), namespace);
            jobs.get_opt(name).await.map(|found| found.and_then(|job| job.uid()))
        } else {
            let builds: Api<Build> = Api::namespaced(self.client.clone(), namespace);
            builds
                .get_opt(name)
                .await
                .map(|found| found.and_then(|build| build.uid()))
        };
        found.map_or(true, |uid| uid.is_some() && uid.as_deref() == owner["uid"].as_str())
    }

    fn outcome(&self, pod: &Value) -> Outcome {
        let attempt = label(pod, LABEL_ATTEMPT).parse().unwrap_or(1);
        self.scenario
            .outcome(&label(pod, LABEL_BUILD), &label(pod, LABEL_STAGE), attempt)
    }

    /// Whether it was done.
    async fn perform(&self, object: &Value, step: &Move) -> bool {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let status = match step {
            Move::Bind => {
                let binding = json!({
                    "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
                    "target": {"apiVersion": "v1", "kind": "Node", "name": "node"},
                });
                let bound: Result<Value, _> = pods
                    .create_subresource("binding", name, &PostParams::default(), &binding)
                    .await;
                return bound.is_ok();
            }
            Move::Vanishes => {
                let is_deleted = !object["metadata"]["deletionTimestamp"].is_null();
                if !is_deleted && self.owner_is_there(object).await {
                    return false;
                }
                // By its uid, as a real one does: another may have its name by now.
                let this = Preconditions {
                    uid: Some(uid(object)),
                    resource_version: None,
                };
                let at_once = DeleteParams::default().grace_period(0).preconditions(this);
                return pods.delete(name, &at_once).await.is_ok();
            }
            Move::MakePod => return self.make_pod(object, &pods).await,
            Move::Finish(well) => return self.finish(object, *well).await,
            Move::Runs => outcome::running(object),
            Move::Ends => outcome::ended(object, &self.outcome(object)),
            Move::EndsAtDeadline => outcome::at_deadline(object),
        };
        let patch = Patch::Merge(json!({"metadata": {"uid": uid(object)}, "status": status}));
        pods.patch_status(name, &PatchParams::default(), &patch).await.is_ok()
    }

    async fn make_pod(&self, job: &Value, pods: &Api<Pod>) -> bool {
        let mut pod = job["spec"]["template"].clone();
        let name = job["metadata"]["name"].as_str().unwrap_or_default();
        pod["metadata"]["name"] = format!("{name}-0").into();
        pod["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"], "controller": true,
        }]);
        let pod: Pod = serde_json::from_value(pod).unwrap();
        pods.create(&PostParams::default(), &pod).await.is_ok()
    }

    async fn finish(&self, job: &Value, well: bool) -> bool {
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let condition = |of_type: &str| {
            let reason = if well {
                "CompletionsReached"
            } else {
                "BackoffLimitExceeded"
            };
            json!({"type": of_type, "status": "True", "reason": reason, "lastTransitionTime": now, "lastProbeTime": now})
        };
        let status = if well {
            let conditions = [condition("SuccessCriteriaMet"), condition("Complete")];
            json!({"startTime": now, "completionTime": now, "succeeded": 1, "conditions": conditions})
        } else {
            json!({"startTime": now, "failed": 1, "conditions": [condition("FailureTarget"), condition("Failed")]})
        };
        let namespace = job["metadata"]["namespace"].as_str().unwrap_or_default();
        let jobs: Api<Job> = Api::namespaced(self.client.clone(), namespace);
        let name = job["metadata"]["name"].as_str().unwrap_or_default();
        let patch = Patch::Merge(json!({"status": status}));
        match jobs.patch_status(name, &PatchParams::default(), &patch).await {
            Ok(_) => true,
            Err(kube::Error::Api(status)) if status.is_not_found() => true,
            Err(error) => panic!("the double of the job controller is refused: {error}"),
        }
    }
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

fn label(object: &Value, key: &str) -> String {
    object["metadata"]["labels"][key]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}
