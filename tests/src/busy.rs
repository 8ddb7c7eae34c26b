//! Builds that stand in every stage when a fault comes, and what must hold after it: each comes to its right end with one
//! image, nothing runs on, nothing is left over, and the operator was not restarted without end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use imagefactory_crds::build::Phase;
use imagefactory_crds::{Build, Project, ProjectSpec};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::building::{output_of, status_of};
use crate::cluster::Cluster;
use crate::dockerfile::{quick, slow};
use crate::tenant::TestTenant;
use crate::wait::until;

/// Builds of the tenant that may run at a time, so that some more wait in the queue.
const SLOTS: u32 = 4;
/// Most builds that are started to have one in each stage.
const MOST: usize = 8;

/// Reads a number from a variable that `make soak` sets; `make test` takes the sample.
///
/// # Panics
/// Where the variable is no number.
#[must_use]
pub fn times(variable: &str, sample: u32) -> u32 {
    std::env::var(variable).map_or(sample, |text| text.parse().expect("a number"))
}

/// A line for who reads the test's output; figures are told, never asserted.
#[allow(
    clippy::print_stderr,
    reason = "what was measured goes where the test's own result goes"
)]
pub fn figure(text: &str) {
    eprintln!("figure: {text}");
}

/// Builds of one tenant in all stages, and how things stood before.
pub struct Busy {
    /// The tenant.
    pub tenant: TestTenant,
    /// The builds' names.
    pub names: Vec<String>,
    restarts: BTreeMap<String, i32>,
}

impl Busy {
    /// Starts builds until at one moment some wait, some are built, and some are scanned or published.
    pub async fn start(purpose: &str) -> Self {
        let tenant = TestTenant::create_with(purpose, json!({"quota": {"concurrentBuilds": SLOTS}})).await;
        let restarts = restarts(&tenant.cluster).await;
        let mut busy = Self {
            tenant,
            names: Vec::new(),
            restarts,
        };
        busy.spread().await;
        busy
    }

    /// The same again, for the next fault.
    pub async fn spread(&mut self) {
        self.writes_are_taken().await;
        self.add(json!({"source": slow(20)})).await;
        let most = self.names.len() + MOST;
        while self.names.len() < most && !self.is_spread().await {
            if !self.phases().await.contains_key(Phase::Queued.as_str()) {
                self.add(json!({"source": quick()})).await;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        figure(&format!("the fault finds {:?}", self.phases().await));
    }

    /// Waits until a write is taken: after a fault the node may count as away, and with it the webhooks, which no write passes.
    async fn writes_are_taken(&self) {
        let projects = self.tenant.api::<Project>();
        let mut project = Project::new("probe", ProjectSpec::default());
        project.metadata.namespace = Some(self.tenant.namespace.clone());
        let dry_run = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        until("writes are taken", 120, async || {
            projects.create(&dry_run, &project).await.ok()
        })
        .await;
    }

    async fn add(&mut self, spec: serde_json::Value) {
        let name = format!("b{}", self.names.len());
        self.tenant.start(&name, spec).await;
        self.names.push(name);
    }

    async fn is_spread(&self) -> bool {
        let phases = self.phases().await;
        let any = |wanted: &[Phase]| wanted.iter().any(|phase| phases.contains_key(phase.as_str()));
        any(&[Phase::Queued]) && any(&[Phase::Building]) && any(&[Phase::Scanning, Phase::Publishing])
    }

    /// How many builds are in which phase.
    ///
    /// # Panics
    /// Where they can't be listed.
    pub async fn phases(&self) -> BTreeMap<String, usize> {
        let builds = self.tenant.api::<Build>().list(&ListParams::default()).await;
        let mut phases = BTreeMap::new();
        for build in builds.expect("listing builds").items {
            *phases.entry(crate::phase_of(&build).to_owned()).or_default() += 1;
        }
        phases
    }

    /// Expects the right end of every build, one image each, nothing that runs on, and few restarts.
    ///
    /// # Panics
    /// Where anything of it does not hold.
    pub async fn ends_well(&self) {
        let mut attempts = Vec::new();
        for name in &self.names {
            attempts.push(self.is_done(name).await);
        }
        self.nothing_runs_on().await;
        let now = restarts(&self.tenant.cluster).await;
        let more = |(pod, count): (&String, &i32)| (pod.clone(), count - self.restarts.get(pod).copied().unwrap_or(0));
        let more: BTreeMap<_, _> = now.iter().map(more).collect();
        figure(&format!(
            "attempts of build, scan and publish: {attempts:?}; restarts of the operator: {:?}",
            more.values().collect::<Vec<_>>()
        ));
        assert!(
            more.values().all(|count| *count <= 2),
            "the operator was restarted: {more:?}"
        );
    }

    /// Gives the attempts of its build, scan and publish.
    async fn is_done(&self, name: &str) -> (u32, u32, u32) {
        let build = self.tenant.has_succeeded(name).await;
        let (repository, tag) = self.tenant.default_output(name);
        let found = self.tenant.cluster.registry().manifest(&repository, &tag).await;
        assert_eq!(
            found.expect("the tag is set").digest,
            output_of(&build).digest.0,
            "{name}: the tag names the image that was judged"
        );
        let status = status_of(&build);
        assert_eq!(
            status.staged.as_ref().map(|staged| &staged.digest),
            Some(&output_of(&build).digest)
        );
        let stages = status.stage_attempts.unwrap_or_default();
        let attempts = (
            status.attempts.unwrap_or(0),
            stages.scan.unwrap_or(1),
            stages.publish.unwrap_or(1),
        );
        let jobs = self.tenant.jobs_of(&build).await;
        let made = usize::try_from(attempts.1 + attempts.2).unwrap_or(usize::MAX);
        assert!(
            jobs.len() <= made,
            "{name}: {made} jobs were needed, {} are there",
            jobs.len()
        );
        let pods = self.tenant.pods_of(&build).await.len();
        let tried = usize::try_from(attempts.0).unwrap_or(usize::MAX) + jobs.len();
        assert!(pods <= tried, "{name}: {tried} attempts were made in {pods} pods");
        attempts
    }

    async fn nothing_runs_on(&self) {
        let builds = self.tenant.api::<Build>().list(&ListParams::default()).await;
        let uids: BTreeSet<String> = builds
            .expect("listing builds")
            .iter()
            .filter_map(ResourceExt::uid)
            .collect();
        for pod in self.tenant.pods().await {
            let phase = pod
                .status
                .as_ref()
                .and_then(|status| status.phase.clone())
                .unwrap_or_default();
            assert!(
                ["Succeeded", "Failed"].contains(&phase.as_str()),
                "{} is {phase}",
                pod.name_any()
            );
        }
        let work = self.tenant.cluster.installation.work_namespace();
        let ours = ListParams::default().labels(&format!("imagefactory.dev/tenant={}", self.tenant.name));
        let jobs = Api::<Job>::namespaced(self.tenant.client(), work).list(&ours).await;
        for job in jobs.expect("listing jobs").items {
            let uid = job
                .labels()
                .get("imagefactory.dev/build-uid")
                .cloned()
                .unwrap_or_default();
            assert!(uids.contains(&uid), "{} belongs to no build", job.name_any());
            let active = job.status.as_ref().and_then(|status| status.active).unwrap_or(0);
            assert_eq!(active, 0, "{} runs on", job.name_any());
        }
    }
}

/// How often each pod of the operator was restarted.
async fn restarts(cluster: &Cluster) -> BTreeMap<String, i32> {
    let count = |pod: &Pod| {
        let containers = pod
            .status
            .iter()
            .flat_map(|status| status.container_statuses.iter().flatten());
        containers.map(|container| container.restart_count).sum()
    };
    let pods = cluster.operator_pods().await;
    pods.iter().map(|pod| (pod.name_any(), count(pod))).collect()
}
