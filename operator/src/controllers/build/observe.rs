//! All reads of the build controller: from the watches' stores, but for doubts that only the API server can settle.

use std::iter;
use std::sync::Arc;

use imagefactory_core::build::names::{Identity, Stage, stage_of};
use imagefactory_core::build::observed::Course;
use imagefactory_core::build::status::is_settled;
use imagefactory_core::build::{Earlier, JobView, Observed, PodView, References, is_to_begin};
use imagefactory_core::partial::{Job, Pod};
use imagefactory_core::policy::Policies;
use imagefactory_core::tenant::home::is_terminating;
use imagefactory_crds::build::ResolvedSpec;
use imagefactory_crds::names::{ANNOTATION_RESOLVED_SPEC, LABEL_BUILD_UID, TENANT_SETTINGS};
use imagefactory_crds::{Build, Project, Tenant, TenantSettings};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};

use super::BuildError;
use super::unseen::Unseen;
use crate::context::Context;
use crate::controllers::jobs::{explained, seen, with_its_pod};
use crate::controllers::whole::whole;

/// What exists for a build.
pub(super) async fn observe(build: &Build, context: &Context) -> Result<Observed, BuildError> {
    let Some(identity) = Identity::of(build) else {
        return Ok(Observed::default());
    };
    let course = Course {
        settled: is_settled(build.status.as_ref()),
        cancelled: build.spec.cancelled || build.metadata.deletion_timestamp.is_some(),
    };
    Ok(Observed {
        pod: pod(build, &identity, context).await?,
        scan: explained(job(&identity, Stage::Scan, context), &identity.uid, course, context).await?,
        publish: explained(
            publish_job(build, &identity, context).await?,
            &identity.uid,
            course,
            context,
        )
        .await?,
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
    let pod = match shown(&name, &before, context) {
        Some(pod) => Some(pod),
        None => asked_for(&name, &before, context).await?,
    };
    let is_ours = |pod: &PodView| pod.build_uid.as_deref() == Some(&before.uid);
    Ok(pod.filter(is_ours).map(Earlier::Pod))
}

/// The pod of that name as the store has it.
fn stored(name: &str, identity: &Identity, context: &Context) -> Option<PodView> {
    let key = ObjectRef::new(name).within(&identity.namespace);
    context.stores.pods.get(&key).map(|pod| PodView::of(&pod))
}

/// The same, if it was made for this very Build: a store that lags may still have that of an earlier Build of the same name.
fn shown(name: &str, identity: &Identity, context: &Context) -> Option<PodView> {
    stored(name, identity, context).filter(|pod| pod.build_uid.as_deref() == Some(&identity.uid))
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
    let status = build.status.as_ref();
    let was_made = status.is_some_and(|status| {
        status.start_time.is_some() && status.next_attempt_at.is_none() && status.staged.is_none()
    });
    if !was_made || is_settled(status) {
        return Ok(stored(&name, identity, context));
    }
    match shown(&name, identity, context) {
        Some(pod) => Ok(Some(pod)),
        None => asked_for(&name, identity, context).await,
    }
}

/// Whether the pod or a job of this attempt was made a moment ago and is not in the store yet: its event will wake the build.
pub(super) fn awaits_what_it_made(build: &Build, context: &Context, unseen: &Unseen) -> bool {
    Identity::of(build).is_some_and(|identity| {
        [Stage::Build, Stage::Scan, Stage::Publish].into_iter().any(|stage| {
            let name = identity.object_name(stage);
            let is_shown = || match stage {
                Stage::Build => shown(&name, &identity, context).is_some(),
                Stage::Scan | Stage::Publish => job(&identity, stage, context).is_some(),
            };
            unseen.has_made(build, &name) && !is_shown()
        })
    })
}

/// The job of that stage: in the work namespace, or in the tenant's where its own credential publishes.
fn job(identity: &Identity, stage: Stage, context: &Context) -> Option<JobView> {
    let name = identity.object_name(stage);
    let find = |namespace: &str| seen(namespace, &name, (&identity.uid, stage), context);
    find(&context.settings.work_namespace).or_else(|| find(&identity.namespace))
}

/// The job that publishes. One that may have been made and is not in the store is asked for: a build that is refused while
/// its image gets its name must not end as if there were none.
async fn publish_job(build: &Build, identity: &Identity, context: &Context) -> Result<Option<JobView>, BuildError> {
    let shown = job(identity, Stage::Publish, context);
    let status = build.status.as_ref();
    let may_be_made = status.is_some_and(|status| {
        let is_publishable = status.verdict.as_ref().is_some_and(|verdict| verdict.publishable);
        is_publishable && status.next_attempt_at.is_none() && !is_settled(Some(status))
    });
    if shown.is_some() || !may_be_made {
        return Ok(shown);
    }
    let name = identity.object_name(Stage::Publish);
    for namespace in [&context.settings.work_namespace, &identity.namespace] {
        let jobs: Api<Job> = Api::namespaced(context.client.clone(), namespace);
        let found = jobs.get_opt(&name).await.map_err(|source| BuildError::Observe {
            name: name.clone(),
            source: Box::new(source),
        })?;
        if let Some(found) = found {
            return Ok(Some(
                with_its_pod(JobView::of(&found, iter::empty()), &identity.uid, context).await?,
            ));
        }
    }
    Ok(None)
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
        begun_with: None,
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
    let holder = inputs_of(build, first.as_deref()).and_then(find);
    (first, holder)
}

/// The name of the Build whose spec holds what the record of a rerun refers to, or that of the Build that it names.
fn inputs_of<'a>(build: &'a Build, first: Option<&'a Build>) -> Option<&'a str> {
    let record = |build: &'a Build| build.status.as_ref()?.resolved_spec.as_deref();
    let recorded = record(build).or_else(|| record(first?))?;
    recorded.inputs_of.as_deref()
}

/// Adds what only the API server tells: what the pod was made for, where the status does not say so, and in the place of what the
/// stores keep of the Builds that a rerun takes its inputs from the whole of them, where an attempt is yet to be begun.
pub(super) async fn read_inputs(found: &mut Found, build: &Build, context: &Context) -> Result<(), BuildError> {
    found.begun_with = begun_with(build, context).await?;
    if build.spec.rerun_of.is_none() || !is_to_begin(build) {
        return Ok(());
    }
    if let Some(first) = found.rerun_of.take() {
        found.rerun_of = whole(&*first, context).await?.map(Arc::new);
    }
    let Some(holder) = inputs_of(build, found.rerun_of.as_deref()) else {
        return Ok(());
    };
    let namespace = build.namespace().unwrap_or_default();
    let holder = context.stores.builds.get(&ObjectRef::new(holder).within(&namespace));
    found.inputs_of = match holder {
        Some(holder) => whole(&*holder, context).await?.map(Arc::new),
        None => None,
    };
    Ok(())
}

/// What the build's pod says that it was made for, where the status does not say it: a process died between the two. The
/// store keeps no annotations, so the API server is asked.
async fn begun_with(build: &Build, context: &Context) -> Result<Option<ResolvedSpec>, BuildError> {
    let status = build.status.as_ref();
    if status.is_some_and(|status| status.resolved_spec.is_some()) || is_settled(status) {
        return Ok(None);
    }
    let Some(identity) = Identity::of(build) else {
        return Ok(None);
    };
    let name = identity.object_name(Stage::Build);
    if shown(&name, &identity, context).is_none() {
        return Ok(None);
    }
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &identity.namespace);
    let pod = pods.get_opt(&name).await.map_err(|source| BuildError::Observe {
        name,
        source: Box::new(source),
    })?;
    let ours = pod.filter(|pod| pod.labels().get(LABEL_BUILD_UID) == Some(&identity.uid));
    let text = ours.and_then(|mut pod| pod.annotations_mut().remove(ANNOTATION_RESOLVED_SPEC));
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

#[cfg(test)]
mod tests;
