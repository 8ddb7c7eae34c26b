//! Deterministic names: making a job twice is making it once (docs/decisions/0003).

use std::collections::BTreeMap;

use imagefactory_crds::ImageScan;
use imagefactory_crds::names::{LABEL_BUILD_UID, LABEL_IMAGE_SCAN, LABEL_PROJECT, LABEL_TENANT, tenant_of_namespace};

use crate::build::names::{Stage, labels};

/// Who a scan is: what names and labels of everything made for it come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Tenant.
    pub tenant: String,
    /// Namespace of the ImageScan.
    pub namespace: String,
    /// Project that it names.
    pub project: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Number of the attempt, from 1: the one that goes on, or the next while the scan waits for it.
    pub attempt: u32,
}

impl Identity {
    /// The scan's identity; none for an object without namespace, name or uid, which the API server never gives.
    #[must_use]
    pub fn of(scan: &ImageScan) -> Option<Self> {
        let namespace = scan.metadata.namespace.clone()?;
        let status = scan.status.as_ref();
        let waits = status.is_some_and(|status| status.next_attempt_at.is_some());
        let begun = status.and_then(|status| status.attempts).unwrap_or(1);
        Some(Self {
            tenant: tenant_of_namespace(&namespace)?.to_owned(),
            namespace,
            project: scan.spec.project_ref.name.0.clone(),
            name: scan.metadata.name.clone()?,
            uid: scan.metadata.uid.clone()?,
            attempt: begun.saturating_add(u32::from(waits)),
        })
    }

    /// Name of the job of this attempt, in the work namespace.
    #[must_use]
    pub fn job_name(&self) -> String {
        format!("image-scan-{}-{}", self.uid, self.attempt)
    }

    /// The same scan at the attempt before; none before the first.
    #[must_use]
    pub fn before(&self) -> Option<Self> {
        let attempt = self.attempt.checked_sub(1).filter(|attempt| *attempt > 0)?;
        Some(Self {
            attempt,
            ..self.clone()
        })
    }

    /// Labels of everything made for the scan. The stage is that of a build's scan: by it the scanner's server is reached.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        let whose = [
            (LABEL_TENANT, self.tenant.as_str()),
            (LABEL_PROJECT, &self.project),
            (LABEL_IMAGE_SCAN, &self.name),
            (LABEL_BUILD_UID, &self.uid),
        ];
        labels(whose, Stage::Scan, self.attempt)
    }
}
