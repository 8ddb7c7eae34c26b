//! The job that an attempt was made a part of, with its pod: for Builds and ImageScans alike.

use imagefactory_core::build::names::Stage;
use imagefactory_core::build::observed::Course;
use imagefactory_core::build::{JobView, PodView};
use imagefactory_core::partial::{Job, Pod};
use imagefactory_crds::names::{LABEL_BUILD_UID, LABEL_STAGE};
use kube::api::ListParams;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};

use crate::context::Context;
use crate::watches::{LABEL_JOB, of_job};

/// The job of that name, and its pod if it is of that run and stage, as the watches show them.
pub(super) fn seen(namespace: &str, name: &str, (uid, stage): (&str, Stage), context: &Context) -> Option<JobView> {
    let job = (context.stores.jobs).get(&ObjectRef::<Job>::new(name).within(namespace))?;
    let is_its_pod = |pod: &Pod| {
        let labels = pod.labels();
        let has = |label: &str, value: &str| labels.get(label).map(String::as_str) == Some(value);
        has(LABEL_BUILD_UID, uid) && has(LABEL_STAGE, stage.as_str())
    };
    let mut pods = context.stores.pods_by_job.get(&of_job(namespace, name));
    pods.retain(|pod| is_its_pod(pod));
    Some(JobView::of(&job, pods.iter().map(AsRef::as_ref)))
}

/// The job with its pod as the API server has it, where something rests on that and the watches may lag. One that was
/// made for another run stays as it is.
///
/// # Errors
/// The API server did not say.
pub(super) async fn explained(
    job: Option<JobView>,
    uid: &str,
    of: Course,
    context: &Context,
) -> Result<Option<JobView>, Unexplained> {
    let is_asked = |job: &JobView| job.build_uid.as_deref() == Some(uid) && job.asks_for_pod(of);
    match job {
        Some(job) if is_asked(&job) => Ok(Some(with_its_pod(job, uid, context).await?)),
        job => Ok(job),
    }
}

/// The job with its pod as the API server has it.
///
/// # Errors
/// The API server did not say.
pub(super) async fn with_its_pod(mut job: JobView, uid: &str, context: &Context) -> Result<JobView, Unexplained> {
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &job.namespace);
    let its = ListParams::default().labels(&format!("{LABEL_JOB}={},{LABEL_BUILD_UID}={uid}", job.name));
    let found = match pods.list(&its).await {
        Ok(found) => found,
        Err(source) => return Err(Unexplained { name: job.name, source }),
    };
    let made = |pod: &&Pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    job.pod = found.iter().max_by_key(made).map(PodView::of);
    Ok(job)
}

/// The API server did not say what pod a job has, or how a run stands.
pub(super) struct Unexplained {
    /// Name of the job or run.
    pub(super) name: String,
    /// What it said instead.
    pub(super) source: kube::Error,
}
