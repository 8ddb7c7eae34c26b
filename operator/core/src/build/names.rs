//! Deterministic names: making a thing twice is making it once.

use imagefactory_crds::Build;
use imagefactory_crds::build::BuildStatus;
use imagefactory_crds::names::{
    LABEL_ATTEMPT, LABEL_BUILD, LABEL_BUILD_UID, LABEL_MANAGED_BY, LABEL_PROJECT, LABEL_STAGE, LABEL_TENANT, MANAGED_BY,
};
use std::collections::BTreeMap;

/// What an object does for its build; the value of the label `imagefactory.dev/stage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Builds the image.
    Build,
    /// Scans and judges it.
    Scan,
    /// Gives it its name.
    Publish,
}

impl Stage {
    /// The word in labels and names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Scan => "scan",
            Self::Publish => "publish",
        }
    }
}

/// Who a build is: what names and labels of everything made for it come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Tenant.
    pub tenant: String,
    /// Namespace of the Build.
    pub namespace: String,
    /// Project that the Build names.
    pub project: String,
    /// Name of the Build.
    pub name: String,
    /// Uid of the Build.
    pub uid: String,
    /// Number of the attempt to build, from 1: the one that goes on, or the next while the build waits for it.
    pub attempt: u32,
    /// The same of the scan.
    pub scan_attempt: u32,
    /// The same of publishing.
    pub publish_attempt: u32,
}

impl Identity {
    /// The build's identity; none for an object without namespace, name or uid, which the API server never gives.
    #[must_use]
    pub fn of(build: &Build) -> Option<Self> {
        let namespace = build.metadata.namespace.clone()?;
        let status = build.status.as_ref();
        Some(Self {
            tenant: imagefactory_crds::names::tenant_of_namespace(&namespace)?.to_owned(),
            namespace,
            project: build.spec.project_ref.name.0.clone(),
            name: build.metadata.name.clone()?,
            uid: build.metadata.uid.clone()?,
            attempt: current(status, Stage::Build),
            scan_attempt: current(status, Stage::Scan),
            publish_attempt: current(status, Stage::Publish),
        })
    }

    /// Name of the object of that stage: readable in the tenant's namespace, unique by uid in the work namespace.
    #[must_use]
    pub fn object_name(&self, stage: Stage) -> String {
        match stage {
            Stage::Build => format!("{}-build-{}", self.name, self.attempt_of(stage)),
            Stage::Scan | Stage::Publish => format!("{}-{}-{}", stage.as_str(), self.uid, self.attempt_of(stage)),
        }
    }

    /// Number of the attempt of that stage.
    #[must_use]
    pub fn attempt_of(&self, stage: Stage) -> u32 {
        match stage {
            Stage::Build => self.attempt,
            Stage::Scan => self.scan_attempt,
            Stage::Publish => self.publish_attempt,
        }
    }

    /// The same build at the attempt before, of that stage; none before the first.
    #[must_use]
    pub fn before(&self, stage: Stage) -> Option<Self> {
        let earlier = self.attempt_of(stage).checked_sub(1).filter(|attempt| *attempt > 0)?;
        let mut identity = self.clone();
        *match stage {
            Stage::Build => &mut identity.attempt,
            Stage::Scan => &mut identity.scan_attempt,
            Stage::Publish => &mut identity.publish_attempt,
        } = earlier;
        Some(identity)
    }

    /// Labels of everything made for the build.
    #[must_use]
    pub fn labels(&self, stage: Stage) -> BTreeMap<String, String> {
        let whose = [
            (LABEL_TENANT, self.tenant.as_str()),
            (LABEL_PROJECT, &self.project),
            (LABEL_BUILD, &self.name),
            (LABEL_BUILD_UID, &self.uid),
        ];
        labels(whose, stage, self.attempt_of(stage))
    }
}

/// Where the images of a build wait for their verdict.
pub(crate) fn staging_repository(prefix: &str, tenant: &str, project: &str, uid: &str) -> String {
    format!("{prefix}/{tenant}/builds/{project}/{uid}")
}

/// Tag in staging of what an attempt to build made.
pub(crate) fn staging_tag(attempt: u32) -> String {
    format!("attempt-{attempt}")
}

/// Labels of what is made at a stage: whose it is, and of which attempt.
pub(crate) fn labels(whose: [(&str, &str); 4], stage: Stage, attempt: u32) -> BTreeMap<String, String> {
    let ours = [
        ("app.kubernetes.io/name", "image-factory"),
        ("app.kubernetes.io/component", stage.as_str()),
        (LABEL_MANAGED_BY, MANAGED_BY),
        (LABEL_ATTEMPT, &attempt.to_string()),
        (LABEL_STAGE, stage.as_str()),
    ];
    let all = ours.into_iter().chain(whose);
    all.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The stage that a build is at, by what is known of it.
#[must_use]
pub fn stage_of(status: Option<&BuildStatus>) -> Stage {
    match status {
        Some(status) if status.verdict.is_some() => Stage::Publish,
        Some(status) if status.staged.is_some() => Stage::Scan,
        Some(_) | None => Stage::Build,
    }
}

/// The attempt of that stage that goes on, or the next one while the build waits for it.
fn current(status: Option<&BuildStatus>, stage: Stage) -> u32 {
    let begun = status.and_then(|status| match stage {
        Stage::Build => status.attempts,
        Stage::Scan => status.stage_attempts?.scan,
        Stage::Publish => status.stage_attempts?.publish,
    });
    let waits = status.is_some_and(|status| status.next_attempt_at.is_some()) && stage_of(status) == stage;
    begun.unwrap_or(1) + u32::from(waits)
}
