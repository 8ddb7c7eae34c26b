//! All reads of the controller of ImageScans: from the watches' stores, but for a doubt that only the API server can settle.

use std::sync::Arc;

use imagefactory_core::build::JobView;
use imagefactory_core::build::PodView;
use imagefactory_core::build::observed::JobEnd;
use imagefactory_core::image_scan::{Identity, References, is_settled};
use imagefactory_core::policy::Policies;
use imagefactory_crds::names::LABEL_BUILD_UID;
use imagefactory_crds::{ImageScan, Project, Tenant};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};

use super::ImageScanError;
use crate::context::Context;
use crate::controllers::tenant::home::{Home, home};
use crate::watches::of_job;

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
    let job = match job(&identity, context) {
        Some(job) if !settled => Some(explained(job, &identity, context).await?),
        found => found,
    };
    let before = identity.before().filter(|_| !settled);
    Ok(Observed {
        job,
        earlier: before.and_then(|before| self::job(&before, context)),
    })
}

fn job(identity: &Identity, context: &Context) -> Option<JobView> {
    let (name, namespace) = (identity.job_name(), &context.settings.work_namespace);
    let job = context
        .stores
        .jobs
        .get(&ObjectRef::<Job>::new(&name).within(namespace))?;
    let mut pods = context.stores.pods_by_job.get(&of_job(namespace, &name));
    pods.retain(|pod| pod.labels().get(LABEL_BUILD_UID) == Some(&identity.uid));
    Some(JobView::of(&job, pods.iter().map(AsRef::as_ref)))
}

/// Jobs and pods come by two watches: of a job that has failed and whose pod the store does not show, the API server is
/// asked for it, since why it failed, and so whether it is tried again, only the pod says.
async fn explained(mut job: JobView, identity: &Identity, context: &Context) -> Result<JobView, ImageScanError> {
    if job.pod.is_some() || !matches!(job.ended, Some(JobEnd::Failed { .. })) {
        return Ok(job);
    }
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &job.namespace);
    let its = ListParams::default().labels(&format!("job-name={},{LABEL_BUILD_UID}={}", job.name, identity.uid));
    let found = pods.list(&its).await.map_err(|source| ImageScanError::Observe {
        name: job.name.clone(),
        source: Box::new(source),
    })?;
    let made = |pod: &&Pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    job.pod = found.iter().max_by_key(made).map(PodView::of);
    Ok(job)
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
