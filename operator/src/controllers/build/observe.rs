//! All reads of the build controller: from the watches' stores, but for doubts that only the API server can settle.

use std::sync::Arc;

use imagefactory_core::build::names::{Identity, Stage, stage_of};
use imagefactory_core::build::observed::JobEnd;
use imagefactory_core::build::status::is_settled;
use imagefactory_core::build::{Earlier, JobView, Observed, PodView, References, is_to_begin};
use imagefactory_core::policy::Policies;
use imagefactory_core::tenant::home::is_terminating;
use imagefactory_crds::build::ResolvedSpec;
use imagefactory_crds::names::{ANNOTATION_RESOLVED_SPEC, LABEL_BUILD_UID, LABEL_STAGE, TENANT_SETTINGS};
use imagefactory_crds::{Build, Project, Tenant, TenantSettings};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};

use super::BuildError;
use crate::context::Context;
use crate::watches::of_job;

/// What exists for a build.
pub(super) async fn observe(build: &Build, context: &Context) -> Result<Observed, BuildError> {
    let Some(identity) = Identity::of(build) else {
        return Ok(Observed::default());
    };
    Ok(Observed {
        pod: pod(build, &identity, context).await?,
        scan: judged(job(&identity, Stage::Scan, context), build, &identity, context).await?,
        publish: judged(job(&identity, Stage::Publish, context), build, &identity, context).await?,
        earlier: earlier(build, &identity, context).await?,
    })
}

/// What the attempt before left behind, while the next one waits. That its pod is gone, the API server has to say.
async fn earlier(build: &Build, identity: &Identity, context: &Context) -> Result<Option<Earlier>, BuildError> {
    let status = build.status.as_ref();
    let is_due = status
        .and_then(|status| status.next_attempt_at.as_ref())
        .is_some_and(|at| at.0 <= context.now());
    let stage = stage_of(status);
    let Some(before) = identity.before(stage).filter(|_| is_due && !is_settled(status)) else {
        return Ok(None);
    };
    if stage != Stage::Build {
        return Ok(job(&before, stage, context).map(Earlier::Job));
    }
    let name = before.object_name(stage);
    let known = context
        .stores
        .pods
        .get(&ObjectRef::new(&name).within(&before.namespace));
    let pod = match known {
        Some(pod) => Some(PodView::of(&pod)),
        None => asked_for(&name, &before, context).await?,
    };
    let is_ours = |pod: &PodView| pod.build_uid.as_deref() == Some(&before.uid);
    Ok(pod.filter(is_ours).map(Earlier::Pod))
}

async fn asked_for(name: &str, identity: &Identity, context: &Context) -> Result<Option<PodView>, BuildError> {
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &identity.namespace);
    let pod = pods.get_opt(name).await.map_err(|source| BuildError::Observe {
        name: name.to_owned(),
        source: Box::new(source),
    })?;
    Ok(pod.as_ref().map(PodView::of))
}

/// The pod of this attempt. One that was made and is not in the store is asked for: the store may lag behind our own
/// status, and a pod that is thought to be gone ends the build.
async fn pod(build: &Build, identity: &Identity, context: &Context) -> Result<Option<PodView>, BuildError> {
    let name = identity.object_name(Stage::Build);
    if let Some(pod) = context
        .stores
        .pods
        .get(&ObjectRef::new(&name).within(&identity.namespace))
    {
        return Ok(Some(PodView::of(&pod)));
    }
    let status = build.status.as_ref();
    let was_made = status.is_some_and(|status| {
        status.start_time.is_some() && status.next_attempt_at.is_none() && status.staged.is_none()
    });
    if !was_made || is_settled(status) {
        return Ok(None);
    }
    asked_for(&name, identity, context).await
}

/// The job with its pod. Jobs and pods come by two watches: of a job that has failed and whose pod the store does not
/// show, the API server is asked for it, since why it failed, and so whether it is tried again, only the pod says. So it
/// is of a job that is to be ended: one whose pod began meanwhile is ended by its pod, which keeps the log.
async fn judged(
    job: Option<JobView>,
    build: &Build,
    identity: &Identity,
    context: &Context,
) -> Result<Option<JobView>, BuildError> {
    let Some(mut job) = job else { return Ok(None) };
    if !is_riddle(&job, build) || job.build_uid.as_deref() != Some(&identity.uid) {
        return Ok(Some(job));
    }
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &job.namespace);
    let its = ListParams::default().labels(&format!("job-name={},{LABEL_BUILD_UID}={}", job.name, identity.uid));
    let found = pods.list(&its).await.map_err(|source| BuildError::Observe {
        name: job.name.clone(),
        source: Box::new(source),
    })?;
    let newest = found
        .iter()
        .max_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    job.pod = newest.map(PodView::of);
    Ok(Some(job))
}

fn is_riddle(job: &JobView, build: &Build) -> bool {
    let settled = is_settled(build.status.as_ref());
    match &job.ended {
        Some(JobEnd::Failed { .. }) => job.pod.is_none() && !settled,
        Some(_) => false,
        None => {
            let has_begun = |pod: &PodView| pod.has_node || pod.has_ended();
            (settled || build.spec.cancelled) && !job.deleting && !job.pod.as_ref().is_some_and(has_begun)
        }
    }
}

/// The job of that stage: in the work namespace, or in the tenant's where its own credential publishes.
fn job(identity: &Identity, stage: Stage, context: &Context) -> Option<JobView> {
    let name = identity.object_name(stage);
    let find = |namespace: &str| context.stores.jobs.get(&ObjectRef::<Job>::new(&name).within(namespace));
    let job = find(&context.settings.work_namespace).or_else(|| find(&identity.namespace))?;
    let is_its_pod = |pod: &Pod| {
        let labels = pod.labels();
        labels.get(LABEL_BUILD_UID) == Some(&identity.uid)
            && labels.get(LABEL_STAGE).map(String::as_str) == Some(stage.as_str())
    };
    let key = of_job(job.metadata.namespace.as_deref()?, &name);
    let mut pods = context.stores.pods_by_job.get(&key);
    pods.retain(|pod| is_its_pod(pod));
    Some(JobView::of(&job, pods.iter().map(AsRef::as_ref)))
}

/// The objects that a build refers to.
pub(crate) struct Found {
    tenant: Option<Arc<Tenant>>,
    tenant_settings: Option<Arc<TenantSettings>>,
    project: Option<Arc<Project>>,
    rerun_of: Option<Arc<Build>>,
    inputs_of: Option<Arc<Build>>,
    begun_with: Option<ResolvedSpec>,
    policies: Arc<Policies>,
    is_leaving: bool,
}

impl Found {
    pub(crate) fn references(&self) -> References<'_> {
        References {
            tenant: self.tenant.as_deref(),
            tenant_settings: self.tenant_settings.as_deref(),
            project: self.project.as_deref(),
            policies: &self.policies,
            rerun_of: self.rerun_of.as_deref(),
            inputs_of: self.inputs_of.as_deref(),
            begun_with: self.begun_with.as_ref(),
            is_leaving: self.is_leaving,
        }
    }
}

/// Whether a namespace is going away, as far as the watches know.
pub(super) fn goes_away(namespace: &str, context: &Context) -> bool {
    let found = context.stores.namespaces.get(&ObjectRef::new(namespace));
    found.is_some_and(|found| is_terminating(&found))
}

/// Looks up what a build refers to.
pub(crate) fn references(build: &Build, context: &Context) -> Found {
    let stores = &context.stores;
    let namespace = build.namespace().unwrap_or_default();
    let tenant = imagefactory_crds::names::tenant_of_namespace(&namespace);
    let (rerun_of, inputs_of) = rerun(build, context);
    Found {
        rerun_of,
        inputs_of,
        begun_with: begun_with(build, context),
        tenant: tenant.and_then(|tenant| stores.tenants.get(&ObjectRef::new(tenant))),
        tenant_settings: stores
            .tenant_settings
            .get(&ObjectRef::new(TENANT_SETTINGS).within(&namespace)),
        project: stores
            .projects
            .get(&ObjectRef::new(&build.spec.project_ref.name).within(&namespace)),
        policies: stores.policy_set.get(),
        is_leaving: goes_away(&namespace, context),
    }
}

/// The Build that a rerun names, and the one whose spec holds what is not repeated in a record.
fn rerun(build: &Build, context: &Context) -> (Option<Arc<Build>>, Option<Arc<Build>>) {
    let Some(of) = &build.spec.rerun_of else {
        return (None, None);
    };
    let namespace = build.namespace().unwrap_or_default();
    let find = |name: &str| context.stores.builds.get(&ObjectRef::new(name).within(&namespace));
    let first = find(&of.name);
    let record = |build: &Build| build.status.as_ref()?.resolved_spec.clone();
    let recorded = record(build).or_else(|| record(first.as_ref()?));
    let holder = recorded.and_then(|recorded| find(recorded.inputs_of.as_ref()?));
    (first, holder)
}

/// Replaces what the stores keep of the Builds that a rerun takes its inputs from by the whole of them, where an attempt is
/// yet to be begun.
pub(super) async fn read_inputs(found: &mut Found, build: &Build, context: &Context) -> Result<(), BuildError> {
    if build.spec.rerun_of.is_none() || !is_to_begin(build) {
        return Ok(());
    }
    if let Some(first) = found.rerun_of.take() {
        found.rerun_of = whole(&first, context).await?.map(Arc::new);
    }
    let record = |build: &Build| build.status.as_ref()?.resolved_spec.clone();
    let recorded = record(build).or_else(|| record(found.rerun_of.as_deref()?));
    let Some(holder) = recorded.and_then(|recorded| recorded.inputs_of) else {
        return Ok(());
    };
    let namespace = build.namespace().unwrap_or_default();
    let holder = context.stores.builds.get(&ObjectRef::new(&holder).within(&namespace));
    found.inputs_of = match holder {
        Some(holder) => whole(&holder, context).await?.map(Arc::new),
        None => None,
    };
    Ok(())
}

/// The Build as the API server has it; none if it is gone, or another has its name.
pub(super) async fn whole(build: &Build, context: &Context) -> Result<Option<Build>, BuildError> {
    let name = build.name_any();
    let builds: Api<Build> = Api::namespaced(context.client.clone(), &build.namespace().unwrap_or_default());
    let found = builds.get_opt(&name).await.map_err(|source| BuildError::Observe {
        name,
        source: Box::new(source),
    })?;
    Ok(found.filter(|found| found.uid() == build.uid()))
}

/// What the build's pod says that it was made for. Asked only while the status does not say it.
fn begun_with(build: &Build, context: &Context) -> Option<ResolvedSpec> {
    let status = build.status.as_ref();
    if status.is_some_and(|status| status.resolved_spec.is_some()) || is_settled(status) {
        return None;
    }
    let identity = Identity::of(build)?;
    let name = ObjectRef::new(&identity.object_name(Stage::Build)).within(&identity.namespace);
    let pod = context.stores.pods.get(&name)?;
    let is_ours = pod.labels().get(LABEL_BUILD_UID) == Some(&identity.uid);
    let text = pod.annotations().get(ANNOTATION_RESOLVED_SPEC).filter(|_| is_ours)?;
    serde_json::from_str(text).ok()
}
#[cfg(test)]
mod tests;
