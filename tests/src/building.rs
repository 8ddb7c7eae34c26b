//! Builds of a test: start, wait, read.

use std::fmt::Debug;

use imagefactory_crds::build::{Failure, FailureClass, OutputStatus};
use imagefactory_crds::{Build, BuildStatus, conditions};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::tenant::{PROJECT, TestTenant};
use crate::wait::until;

/// How long a build may take here before its test gives up, in seconds. Several run at a time on few cores.
pub const LONGEST: u64 = 300;

impl TestTenant {
    /// Makes a Build of the Project [`PROJECT`], unless `spec` names another.
    ///
    /// # Panics
    /// Where it is refused.
    pub async fn start(&self, name: &str, spec: Value) -> Build {
        let mut whole = json!({"projectRef": {"name": PROJECT}});
        if let (Value::Object(whole), Value::Object(spec)) = (&mut whole, spec) {
            whole.extend(spec);
        }
        self.make(json!({"metadata": {"name": name}, "spec": whole})).await
    }

    /// The Build as it stands.
    ///
    /// # Panics
    /// Where it is not there.
    pub async fn build(&self, name: &str) -> Build {
        self.api::<Build>().get(name).await.expect("reading the Build")
    }

    /// Waits until the Build has ended, well or badly.
    pub async fn settled(&self, name: &str) -> Build {
        until(&format!("Build {name} has ended"), LONGEST, async || {
            Some(self.build(name).await).filter(is_settled)
        })
        .await
    }

    /// Waits until the Build is in that phase, or has ended.
    ///
    /// # Panics
    /// Where it has ended before.
    pub async fn reaches(&self, name: &str, phase: &str) -> Build {
        until(&format!("Build {name} is {phase}"), LONGEST, async || {
            let build = self.build(name).await;
            if phase_of(&build) == phase {
                return Some(build);
            }
            assert!(
                !is_settled(&build),
                "{name} was to become {phase}, and is {}",
                told(&build)
            );
            None
        })
        .await
    }

    /// Builds, and expects it to be published.
    ///
    /// # Panics
    /// Where it is not.
    pub async fn succeeds(&self, name: &str, spec: Value) -> Build {
        self.start(name, spec).await;
        self.has_succeeded(name).await
    }

    /// Waits for the Build's end, and expects it to be published.
    ///
    /// # Panics
    /// Where it is not.
    pub async fn has_succeeded(&self, name: &str) -> Build {
        let build = self.settled(name).await;
        assert_eq!(
            (phase_of(&build), reason_of(&build)),
            ("Succeeded", "Published"),
            "{}",
            told(&build)
        );
        build
    }

    /// Builds, and expects it to fail with that class; gives the failure.
    ///
    /// # Panics
    /// Where it does not.
    pub async fn fails(&self, name: &str, class: FailureClass, spec: Value) -> Failure {
        self.start(name, spec).await;
        let build = self.settled(name).await;
        assert_eq!(
            (phase_of(&build), reason_of(&build)),
            ("Failed", class.as_str()),
            "{}",
            told(&build)
        );
        let failure = failure_of(&build);
        assert_eq!(failure.class, class, "{}", told(&build));
        assert!(
            !failure.message.is_empty() && !failure.next.is_empty(),
            "what happened and what to do: {failure:?}"
        );
        failure
    }

    /// Cancels the Build.
    ///
    /// # Panics
    /// Where it is refused.
    pub async fn cancel(&self, name: &str) {
        let change = Patch::Merge(json!({"spec": {"cancelled": true}}));
        self.api::<Build>()
            .patch(name, &PatchParams::default(), &change)
            .await
            .expect("cancelling");
    }

    /// Name of the Build's pod.
    ///
    /// # Panics
    /// Where it has none.
    pub async fn pod_of(&self, name: &str) -> String {
        self.build(name)
            .await
            .status
            .and_then(|status| status.pod_name)
            .expect("the build has a pod")
    }

    /// The jobs that were made for the Build.
    pub async fn jobs_of(&self, build: &Build) -> Vec<Job> {
        self.made_for(build).await
    }

    /// The pods that were made for the Build and its jobs.
    pub async fn pods_of(&self, build: &Build) -> Vec<Pod> {
        self.made_for(build).await
    }

    /// What was made of a kind for the Build, in both namespaces that it may lie in.
    async fn made_for<K>(&self, build: &Build) -> Vec<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let uid = build.metadata.uid.clone().unwrap_or_default();
        let selector = ListParams::default().labels(&format!("imagefactory.dev/build-uid={uid}"));
        let work = Api::<K>::namespaced(self.client(), self.cluster.installation.work_namespace());
        let mut made = Vec::new();
        for place in [work, self.api::<K>()] {
            made.extend(place.list(&selector).await.expect("listing what was made"));
        }
        made
    }

    /// Repository and tag that the Build would be published as by default.
    #[must_use]
    pub fn default_output(&self, build: &str) -> (String, String) {
        let prefix = self.cluster.installation.text("/output/prefix");
        (format!("{prefix}/{}/{PROJECT}", self.name), build.to_owned())
    }

    /// Expects that the Build's tag was never set.
    ///
    /// # Panics
    /// Where it is there.
    pub async fn is_not_published(&self, build: &str) {
        let (repository, tag) = self.default_output(build);
        let found = self.cluster.registry().manifest(&repository, &tag).await;
        assert!(
            found.is_none(),
            "{repository}:{tag} was set to {}",
            found.map(|found| found.digest).unwrap_or_default()
        );
    }
}

/// Whether the build has ended, well or badly.
#[must_use]
pub fn is_settled(build: &Build) -> bool {
    succeeded(build).is_some_and(|(status, ..)| status != "Unknown")
}

/// `status.phase`, or nothing.
#[must_use]
pub fn phase_of(build: &Build) -> &str {
    build
        .status
        .as_ref()
        .and_then(|status| status.phase)
        .map_or("", imagefactory_crds::build::Phase::as_str)
}

/// Reason of the condition Succeeded, or nothing.
#[must_use]
pub fn reason_of(build: &Build) -> &str {
    succeeded(build).map_or("", |(_, reason, _)| reason)
}

/// Message of the condition Succeeded, or nothing.
#[must_use]
pub fn message_of(build: &Build) -> &str {
    succeeded(build).map_or("", |(.., message)| message)
}

/// Every condition with its status, sorted.
#[must_use]
pub fn conditions_of(build: &Build) -> Vec<(&str, &str)> {
    let conditions = build.status.iter().flat_map(|status| &status.conditions);
    let mut found: Vec<_> = conditions
        .map(|condition| (condition.type_.as_str(), condition.status.as_str()))
        .collect();
    found.sort_unstable();
    found
}

/// The failure of a build that has one.
///
/// # Panics
/// Where it has none.
#[must_use]
pub fn failure_of(build: &Build) -> Failure {
    build
        .status
        .clone()
        .and_then(|status| status.failure)
        .map(|failure| *failure)
        .expect("status.failure is there")
}

/// The status of a build.
///
/// # Panics
/// Where it has none.
#[must_use]
pub fn status_of(build: &Build) -> &BuildStatus {
    build.status.as_ref().expect("the build has a status")
}

/// The output of a build that was published.
///
/// # Panics
/// Where it has none.
#[must_use]
pub fn output_of(build: &Build) -> &OutputStatus {
    status_of(build).output.as_ref().expect("status.output is there")
}

/// Status, reason and message of the condition Succeeded.
fn succeeded(build: &Build) -> Option<(&str, &str, &str)> {
    let conditions = &build.status.as_ref()?.conditions;
    let found = conditions::find(conditions, conditions::SUCCEEDED)?;
    Some((&found.status, &found.reason, &found.message))
}

/// Where a build stands, in one line.
#[must_use]
pub fn told(build: &Build) -> String {
    format!("{} ({}): {}", phase_of(build), reason_of(build), message_of(build))
}
