//! Deterministic names: making a thing twice is making it once.

use imagefactory_crds::Build;
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
    /// Number of the attempt, from 1.
    pub attempt: u32,
}

impl Identity {
    /// The build's identity; none for an object without namespace, name or uid, which the API server never gives.
    #[must_use]
    pub fn of(build: &Build) -> Option<Self> {
        let namespace = build.metadata.namespace.clone()?;
        Some(Self {
            tenant: imagefactory_crds::names::tenant_of_namespace(&namespace)?.to_owned(),
            namespace,
            project: build.spec.project_ref.name.0.clone(),
            name: build.metadata.name.clone()?,
            uid: build.metadata.uid.clone()?,
            attempt: build.status.as_ref().and_then(|status| status.attempts).unwrap_or(1),
        })
    }

    /// Name of the object of that stage: readable in the tenant's namespace, unique by uid in the work namespace.
    #[must_use]
    pub fn object_name(&self, stage: Stage) -> String {
        match stage {
            Stage::Build => format!("{}-build-{}", self.name, self.attempt),
            Stage::Scan | Stage::Publish => format!("{}-{}-{}", stage.as_str(), self.uid, self.attempt),
        }
    }

    /// Labels of everything made for the build.
    #[must_use]
    pub fn labels(&self, stage: Stage) -> BTreeMap<String, String> {
        [
            ("app.kubernetes.io/name", "image-factory"),
            ("app.kubernetes.io/component", stage.as_str()),
            (LABEL_MANAGED_BY, MANAGED_BY),
            (LABEL_TENANT, &self.tenant),
            (LABEL_PROJECT, &self.project),
            (LABEL_BUILD, &self.name),
            (LABEL_BUILD_UID, &self.uid),
            (LABEL_ATTEMPT, &self.attempt.to_string()),
            (LABEL_STAGE, stage.as_str()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
    }
}
