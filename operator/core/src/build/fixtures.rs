//! A tenant, a project, a build and a platform to try decisions on.

use imagefactory_crds::build::{
    FailureClass, Judgement, PolicyVerdict, ReferrerDigests, ResolvedSpec, ScanStatus, SeverityCounts, Verdict,
};
use imagefactory_crds::common::{Digest, LocalRef, Subject, SubjectKind};
use imagefactory_crds::conditions::{self, ConditionStatus, READY, Statement};
use imagefactory_crds::{
    Build, BuildSpec, BuildStatus, ImagePolicySpec, Project, ProjectSpec, Tenant, TenantSettings, TenantSpec,
    TenantStatus,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::observed::{ContainerState, ContainerView, JobEnd, JobView, Observed, PodView};
use super::plan::{Plan, Situation, plan};
use super::validated::{References, Refusal, Validated, validate};
use crate::dispatch::Slot;
use crate::policy::Policies;
use crate::settings::Settings;
use crate::step::{Evaluated, Prepared, Published, Pushed, Report, StepFailure};

pub(crate) const UID: &str = "0c5a2c0e-8d3c-4a53-9a43-6f6d5d4c1b11";

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

pub(crate) fn digest(letter: char) -> Digest {
    format!("sha256:{}", letter.to_string().repeat(64)).as_str().into()
}

pub(crate) fn settings() -> Settings {
    serde_json::from_value(json!({
        "releaseNamespace": "image-factory",
        "workNamespace": "image-factory-work",
        "clusterRolePrefix": "image-factory",
        "operatorServiceAccount": "image-factory-operator",
        "credentialsServiceAccount": "image-factory-credentials",
        "images": {"worker": "worker:1", "kaniko": "kaniko:1", "buildkit": "buildkit:1", "trivy": "trivy:1", "pullPolicy": "IfNotPresent"},
        "onboarding": {"build": true},
        "defaultPolicy": "default",
        "staging": {"prefix": "registry.example.com/staging", "secret": "staging", "scope": "PerTenant"},
        "output": {"prefix": "registry.example.com/output", "secret": "output", "scope": "Shared"},
        "mirrors": [{"registry": "docker.io", "mirror": "mirror.example.com"}],
        "builds": {
            "defaultTimeout": "30m", "volumeSize": "20Gi", "jobDeadlineSeconds": 1800, "jobTtlSeconds": 3600,
            "pendingDeadlineSeconds": 300,
            "pullPrefixes": ["docker.io/library", "mirror.example.com"],
            "defaultResources": {"limits": {"memory": "4Gi"}},
            "stepResources": {"requests": {"cpu": "50m"}},
        },
        "scan": {"serverUrl": "http://trivy:4954", "tokenSecret": "imagefactory-trivy-token"},
        "tenants": {},
    }))
    .unwrap()
}

/// Everything that a decision about one build reads, to be changed by a test.
pub(crate) struct World {
    pub(crate) tenant: Option<Tenant>,
    pub(crate) project: Option<Project>,
    pub(crate) policies: Policies,
    pub(crate) build: Build,
    pub(crate) tenant_settings: Option<TenantSettings>,
    /// What a rerun names, and what holds its long inputs.
    pub(crate) rerun_of: Option<Build>,
    pub(crate) inputs_of: Option<Build>,
    /// What the build's pod says of itself.
    pub(crate) begun_with: Option<ResolvedSpec>,
    pub(crate) observed: Observed,
    pub(crate) settings: Settings,
    /// Whether the namespace is going away.
    pub(crate) is_leaving: bool,
    /// What the queue says.
    pub(crate) slot: Slot,
    pub(crate) now: Timestamp,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            tenant: Some(tenant()),
            project: Some(named(Project::new("web", ProjectSpec::default()))),
            policies: Policies::default().with("default", &ImagePolicySpec::default()),
            build: build(),
            tenant_settings: None,
            rerun_of: None,
            inputs_of: None,
            begun_with: None,
            observed: Observed::default(),
            settings: settings(),
            is_leaving: false,
            slot: Slot::Granted,
            now: at(60),
        }
    }

    pub(crate) fn validated(&self) -> Result<Validated, Refusal> {
        let references = References {
            tenant: self.tenant.as_ref(),
            tenant_settings: self.tenant_settings.as_ref(),
            project: self.project.as_ref(),
            policies: &self.policies,
            rerun_of: self.rerun_of.as_ref(),
            inputs_of: self.inputs_of.as_ref(),
            begun_with: self.begun_with.as_ref(),
            is_leaving: self.is_leaving,
        };
        validate(&self.build, references, &self.settings)
    }

    pub(crate) fn with_situation<T>(&self, decide: impl FnOnce(Situation<'_>) -> T) -> T {
        let validated = self.validated();
        decide(Situation {
            build: &self.build,
            validated: &validated,
            observed: &self.observed,
            settings: &self.settings,
            slot: self.slot,
            now: self.now,
        })
    }

    pub(crate) fn plan(&self) -> Plan {
        self.with_situation(plan)
    }

    /// Plans, and takes the planned status as written.
    pub(crate) fn step(&mut self) -> Plan {
        let plan = self.plan();
        if let Some(status) = &plan.status {
            self.build.status = Some(status.clone());
        }
        plan
    }

    /// The Build says so, and has from the beginning.
    pub(crate) fn says(&mut self, change: impl FnOnce(&mut BuildSpec)) {
        change(&mut self.build.spec);
        if let Some(status) = &mut self.build.status {
            status.resolved_spec = None;
        }
    }

    pub(crate) fn status(&self) -> &BuildStatus {
        self.build.status.as_ref().unwrap()
    }

    pub(crate) fn succeeded_reason(&self) -> &str {
        &conditions::find(&self.status().conditions, conditions::SUCCEEDED)
            .unwrap()
            .reason
    }

    /// Up to a pod that was created and runs on a node.
    pub(crate) fn dispatched() -> Self {
        let mut world = Self::new();
        world.step();
        world.observed.pod = Some(pod("Running", vec![]));
        world
    }

    /// Up to a scan that goes on.
    pub(crate) fn scanning() -> Self {
        let mut world = Self::dispatched();
        world.observed.pod = Some(pod(
            "Succeeded",
            vec![done("prepare", &prepared()), done("push", &pushed('a'))],
        ));
        world.step();
        world.observed.scan = Some(job("scan", None, None));
        world
    }

    /// Up to a publish that goes on.
    pub(crate) fn publishing() -> Self {
        let mut world = Self::scanning();
        let report = evaluated(&world, Judgement::Pass, true);
        world.observed.scan = Some(job("scan", Some(JobEnd::Complete), Some(done("evaluate", &report))));
        world.step();
        world.observed.publish = Some(job("publish", None, None));
        world
    }
}

fn named(mut project: Project) -> Project {
    project.metadata.namespace = Some("tenant-acme".to_owned());
    project
}

fn tenant() -> Tenant {
    let owner = Subject {
        kind: SubjectKind::User,
        name: "olga".into(),
        namespace: None,
    };
    let mut tenant = Tenant::new(
        "acme",
        TenantSpec {
            owners: vec![owner],
            ..TenantSpec::default()
        },
    );
    let ready = Statement {
        type_: READY,
        status: ConditionStatus::True,
        reason: "Ready".to_owned(),
        message: String::new(),
    };
    let mut status = TenantStatus {
        namespace: Some("tenant-acme".into()),
        ..TenantStatus::default()
    };
    conditions::set(&mut status.conditions, &[ready], 1, at(0));
    tenant.status = Some(status);
    tenant
}

fn build() -> Build {
    let spec: BuildSpec = serde_json::from_value(json!({
        "projectRef": {"name": "web"},
        "source": {"inline": {"files": [{"path": "Dockerfile", "content": "FROM scratch"}]}},
    }))
    .unwrap();
    let mut build = Build::new("hello", spec);
    build.metadata.namespace = Some("tenant-acme".to_owned());
    build.metadata.uid = Some(UID.to_owned());
    build.metadata.generation = Some(1);
    build.metadata.creation_timestamp = Some(Time(at(0)));
    build
}

pub(crate) fn pod(phase: &str, containers: Vec<ContainerView>) -> PodView {
    PodView {
        namespace: "tenant-acme".to_owned(),
        name: "hello-build-1".to_owned(),
        uid: "pod-uid".to_owned(),
        build_uid: Some(UID.to_owned()),
        has_node: true,
        created: Some(at(60)),
        deadline_seconds: Some(1800),
        phase: phase.to_owned(),
        containers,
        ..PodView::default()
    }
}

pub(crate) fn job(name: &str, ended: Option<JobEnd>, container: Option<ContainerView>) -> JobView {
    let phase = match &ended {
        Some(JobEnd::Complete) => "Succeeded",
        Some(JobEnd::Failed { .. }) => "Failed",
        None => "Running",
    };
    JobView {
        namespace: "image-factory-work".to_owned(),
        name: format!("{name}-{UID}-1"),
        uid: format!("{name}-job-uid"),
        build_uid: Some(UID.to_owned()),
        ended,
        pod: container.map(|container| pod(phase, vec![container])),
        ..JobView::default()
    }
}

pub(crate) fn ended(name: &str, exit_code: i32, reason: &str, message: &str) -> ContainerView {
    let state = ContainerState::Ended {
        exit_code,
        reason: reason.to_owned(),
        message: message.to_owned(),
    };
    ContainerView {
        name: name.to_owned(),
        state,
    }
}

pub(crate) fn waiting(name: &str, reason: &str) -> ContainerView {
    let state = ContainerState::Waiting {
        reason: reason.to_owned(),
        message: "back-off".to_owned(),
    };
    ContainerView {
        name: name.to_owned(),
        state,
    }
}

pub(crate) fn running(name: &str) -> ContainerView {
    ContainerView {
        name: name.to_owned(),
        state: ContainerState::Running,
    }
}

pub(crate) fn done(name: &str, report: &Value) -> ContainerView {
    ended(name, 0, "Completed", &report.to_string())
}

pub(crate) fn failed(name: &str, class: FailureClass, reason: &str) -> ContainerView {
    let failure = StepFailure {
        class,
        reason: reason.to_owned(),
        message: "m".to_owned(),
        next: "n".to_owned(),
    };
    ended(name, 1, "Error", &Report::<Prepared>::Failed(failure).encode())
}

pub(crate) fn prepared() -> Value {
    let prepared = Prepared {
        commit: Some("c".repeat(40)),
        bases: Vec::new(),
        more_bases: None,
    };
    serde_json::to_value(Report::Done(prepared)).unwrap()
}

pub(crate) fn pushed(letter: char) -> Value {
    serde_json::to_value(Report::Done(Pushed {
        digest: digest(letter).0,
        size: 42,
        platforms: Vec::new(),
    }))
    .unwrap()
}

pub(crate) fn published(letter: char) -> Value {
    serde_json::to_value(Report::Done(Published {
        digest: digest(letter).0,
    }))
    .unwrap()
}

/// What `evaluate` reports when every policy that applies says `result`.
pub(crate) fn evaluated(world: &World, result: Judgement, publishable: bool) -> Value {
    let policies = world.validated().unwrap().policies;
    let verdicts = policies.into_iter().map(|policy| PolicyVerdict {
        name: policy.name.clone(),
        hash: policy.hash.clone(),
        mode: policy.spec.mode,
        result,
        causes: if result == Judgement::Pass {
            vec![]
        } else {
            vec!["2 critical vulnerabilities, 0 allowed".to_owned()]
        },
    });
    let verdict = Verdict {
        result,
        publishable,
        policies: verdicts.collect(),
    };
    let scan = ScanStatus {
        scanner: "trivy 0.66.0".to_owned(),
        database_time: Some(Time(at(0))),
        scan_time: Time(at(0)),
        vulnerabilities: SeverityCounts::default(),
        packages: 3,
        referrers: Some(ReferrerDigests {
            sbom: digest('b'),
            report: digest('c'),
        }),
        platforms: Vec::new(),
    };
    serde_json::to_value(Report::Done(Evaluated {
        digest: digest('a').0,
        scan: Some(scan),
        verdict,
    }))
    .unwrap()
}

pub(crate) fn seconds(count: i64) -> SignedDuration {
    SignedDuration::from_secs(count)
}

pub(crate) fn policy_ref(name: &str) -> Option<LocalRef> {
    Some(LocalRef::to(name))
}
