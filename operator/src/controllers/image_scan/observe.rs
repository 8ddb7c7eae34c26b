//! All reads of the controller of ImageScans: from the watches' stores, but for a doubt that only the API server can settle.

use std::sync::Arc;

use imagefactory_core::build::JobView;
use imagefactory_core::build::names::Stage;
use imagefactory_core::build::observed::Course;
use imagefactory_core::image_scan::{Identity, References, is_settled};
use imagefactory_core::policy::Policies;
use imagefactory_crds::{ImageScan, Project, Tenant};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::ImageScanError;
use crate::context::Context;
use crate::controllers::jobs::{explained, seen};
use crate::controllers::tenant::home::{Home, home};

/// What exists for a scan.
#[derive(Default)]
pub(super) struct Observed {
    pub(super) job: Option<JobView>,
    pub(super) earlier: Option<JobView>,
}

/// Looks up the job of this attempt, and of the one before while the next one waits.
pub(super) async fn observe(scan: &ImageScan, context: &Context) -> Result<Observed, ImageScanError> {
    let Some(identity) = Identity::of(scan) else {
        return Ok(Observed::default());
    };
    let settled = is_settled(scan.status.as_ref());
    let course = Course {
        settled,
        cancelled: scan.spec.cancelled || scan.metadata.deletion_timestamp.is_some(),
    };
    let before = identity.before().filter(|_| !settled);
    Ok(Observed {
        job: explained(job(&identity, context), &identity.uid, course, context).await?,
        earlier: before.and_then(|before| job(&before, context)),
    })
}

/// Its job is that of a build's scan, by its label too.
fn job(identity: &Identity, context: &Context) -> Option<JobView> {
    let of = (identity.uid.as_str(), Stage::Scan);
    seen(&context.settings.work_namespace, &identity.job_name(), of, context)
}

/// The objects that a scan refers to.
pub(crate) struct Found {
    tenant: Option<Arc<Tenant>>,
    project: Option<Arc<Project>>,
    policies: Arc<Policies>,
    is_leaving: bool,
}

impl Found {
    pub(crate) fn references(&self) -> References<'_> {
        References {
            tenant: self.tenant.as_deref(),
            project: self.project.as_deref(),
            policies: &self.policies,
            is_leaving: self.is_leaving,
        }
    }
}

/// Looks up what a scan refers to.
pub(crate) fn references(scan: &ImageScan, context: &Context) -> Found {
    let namespace = scan.namespace().unwrap_or_default();
    let stores = &context.stores;
    let Home { tenant, is_leaving } = home(&namespace, stores);
    Found {
        tenant,
        is_leaving,
        project: stores
            .projects
            .get(&ObjectRef::new(&scan.spec.project_ref.name).within(&namespace)),
        policies: stores.policy_set.get(),
    }
}
