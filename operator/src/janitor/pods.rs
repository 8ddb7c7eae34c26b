//! Removes pods of builds that were settled a while ago, and never one whose logs are not safe.

use std::collections::HashMap;
use std::sync::Arc;

use imagefactory_core::build::logs::has_stayed;
use imagefactory_core::build::sweep::MadeFor;
use imagefactory_core::partial::{Job, Pod};
use jiff::SignedDuration;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use tracing::{info, warn};

use crate::apply::{self, Write};
use crate::context::Context;
use crate::keeper;
use crate::watches::{LABEL_JOB, of_job};

pub(super) async fn sweep(context: &Context) {
    let keep = SignedDuration::from_secs(context.settings.builds.pod_ttl_seconds);
    for pod in context.stores.pods.state() {
        if is_due(&pod, context, keep) && is_safe(&pod, context) {
            remove(&pod, context).await;
        }
    }
}

fn is_due(pod: &Pod, context: &Context, keep: SignedDuration) -> bool {
    let Some(made_for) = made_for(pod) else {
        return false;
    };
    super::known(&made_for, context, |known| has_stayed(pod, known, context.now(), keep))
}

fn made_for(pod: &Pod) -> Option<MadeFor> {
    let origin = imagefactory_core::build::logs::Origin::of(pod)?;
    Some(MadeFor {
        work: origin.work,
        namespace: origin.build_namespace(),
        name: origin.build,
        uid: origin.build_uid,
    })
}

/// Whether no log is lost with the pod. One that the keeper does not know of yet, it learns of here.
pub(crate) fn is_safe(pod: &Pod, context: &Context) -> bool {
    let recorded = keeper::recorded(&context.stores, pod);
    context.keeper.look(pod, recorded.as_ref());
    context.keeper.is_safe(pod, recorded.as_ref())
}

/// Pods by the job that made them: to be looked up once for all jobs.
pub(super) struct OfJobs(HashMap<(String, String), Vec<Arc<Pod>>>);

impl OfJobs {
    pub(super) fn all(context: &Context) -> Self {
        let mut pods = HashMap::<_, Vec<_>>::new();
        for pod in context.stores.pods.state() {
            if let Some(job) = pod.labels().get(LABEL_JOB) {
                let key = (pod.namespace().unwrap_or_default(), job.clone());
                pods.entry(key).or_default().push(pod);
            }
        }
        Self(pods)
    }

    /// Whether no log is lost with a job.
    pub(super) fn are_safe(&self, job: &Job, context: &Context) -> bool {
        let pods = self.0.get(&(job.namespace().unwrap_or_default(), job.name_any()));
        pods.into_iter().flatten().all(|pod| is_safe(pod, context))
    }
}

async fn remove(pod: &Pod, context: &Context) {
    let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
    match apply::delete_if_present(&Api::<Pod>::namespaced(context.client.clone(), &namespace), pod).await {
        Ok(Write::Written) => info!(pod = name, namespace, "pod of a settled build removed"),
        Ok(Write::Unchanged | Write::Gone | Write::Outdated) => {}
        Err(error) => warn!(%error, pod = name, namespace, "pod was not removed"),
    }
}

/// Whether the job of that name may be deleted with its pods, as far as their logs go.
pub(crate) fn job_may_go(namespace: &str, name: &str, context: &Context) -> bool {
    let pods = context.stores.pods_by_job.get(&of_job(namespace, name));
    pods.iter().all(|pod| is_safe(pod, context))
}

/// Whether the pod of that name and uid may be deleted, as far as its logs go.
pub(crate) fn may_go(namespace: &str, name: &str, uid: &str, context: &Context) -> bool {
    let pod = context.stores.pods.get(&ObjectRef::new(name).within(namespace));
    pod.filter(|pod| pod.uid().as_deref() == Some(uid))
        .is_none_or(|pod| is_safe(&pod, context))
}
