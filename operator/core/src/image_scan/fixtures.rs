//! A tenant that may scan, and an ImageScan, to try decisions on.

use imagefactory_crds::build::{Judgement, PlatformImage};
use imagefactory_crds::tenant::Capabilities;
use imagefactory_crds::{ImageScan, ImageScanStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::{Plan, References, Situation, Validated, plan, validate};
use crate::build::Refusal;
use crate::build::fixtures::{self as of_builds, UID, at, digest, done, evaluated, job};
use crate::build::observed::{ContainerView, JobEnd, JobView};
use crate::step::{Report, Resolved};

pub(crate) const IMAGE: &str = "registry.example.com/output/acme/web:1";

/// Everything that a decision about one scan reads, to be changed by a test.
pub(crate) struct World {
    /// Tenant, project, policies, settings, slot and time are those of a build.
    pub(crate) of: of_builds::World,
    pub(crate) scan: ImageScan,
    pub(crate) job: Option<JobView>,
    pub(crate) earlier: Option<JobView>,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut of = of_builds::World::new();
        let tenant = of.tenant.as_mut().unwrap();
        tenant.spec.capabilities = Some(Capabilities {
            on_demand_image_scanning: Some(true),
            ..Capabilities::default()
        });
        let spec = serde_json::from_value(json!({"projectRef": {"name": "web"}, "image": IMAGE})).unwrap();
        let mut scan = ImageScan::new("nightly", spec);
        scan.metadata.namespace = Some("tenant-acme".to_owned());
        scan.metadata.uid = Some(UID.to_owned());
        scan.metadata.generation = Some(1);
        scan.metadata.creation_timestamp = Some(Time(at(0)));
        Self {
            of,
            scan,
            job: None,
            earlier: None,
        }
    }

    pub(crate) fn validated(&self) -> Result<Validated, Refusal> {
        let references = References {
            tenant: self.of.tenant.as_ref(),
            project: self.of.project.as_ref(),
            policies: &self.of.policies,
            is_leaving: self.of.is_leaving,
        };
        validate(&self.scan, references, &self.of.settings)
    }

    pub(crate) fn with_situation<T>(&self, decide: impl FnOnce(Situation<'_>) -> T) -> T {
        let validated = self.validated();
        decide(Situation {
            scan: &self.scan,
            validated: &validated,
            job: self.job.as_ref(),
            earlier: self.earlier.as_ref(),
            slot: self.of.slot,
            settings: &self.of.settings,
            now: self.of.now,
        })
    }

    pub(crate) fn plan(&self) -> Plan {
        self.with_situation(plan)
    }

    /// Carries the status out, as far as it goes.
    pub(crate) fn step(&mut self) -> Plan {
        let plan = self.plan();
        if let Some(status) = &plan.status {
            self.scan.status = Some(status.clone());
        }
        plan
    }

    /// A world in which the first attempt was begun.
    pub(crate) fn begun() -> Self {
        let mut world = Self::new();
        world.step();
        world.job = Some(job("image-scan", None, None));
        world
    }

    pub(crate) fn status(&self) -> &ImageScanStatus {
        self.scan.status.as_ref().unwrap()
    }

    pub(crate) fn reason(&self) -> (&str, &str) {
        let status = self.status();
        (status.phase.unwrap().as_str(), &status.conditions[0].reason)
    }

    /// The job has ended well, with these containers before that of `evaluate`.
    pub(crate) fn ends_with(&mut self, before: Vec<ContainerView>, report: &serde_json::Value) {
        let mut job = job("image-scan", Some(JobEnd::Complete), Some(done("evaluate", report)));
        let pod = job.pod.as_mut().unwrap();
        pod.containers.splice(0..0, before);
        self.job = Some(job);
    }

    /// What `evaluate` says when every policy says `result`, of the digest of `a`s.
    pub(crate) fn evaluated(&self, result: Judgement, publishable: bool) -> serde_json::Value {
        evaluated(&self.of, result, publishable)
    }
}

/// What `resolve` says.
pub(crate) fn resolved(letter: char, platforms: &[(&str, char)]) -> ContainerView {
    let platforms = platforms.iter().map(|(platform, letter)| PlatformImage {
        platform: (*platform).to_owned(),
        digest: digest(*letter),
    });
    let resolved = Resolved {
        digest: digest(letter).0,
        platforms: platforms.collect(),
    };
    done("resolve", &serde_json::to_value(Report::Done(resolved)).unwrap())
}
