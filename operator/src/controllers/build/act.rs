//! Carries a plan out: one arm per action, each safe to repeat.

use std::time::Duration;

use imagefactory_core::build::observed::AT_ONCE;
use imagefactory_core::build::plan::{Rejection, Situation, after_rejection};
use imagefactory_core::build::{Action, Plan};
use imagefactory_core::partial::{Job, Pod};
use imagefactory_core::tenant::objects::limit_range;
use imagefactory_crds::{Build, names};
use k8s_openapi::api::core::v1::LimitRange;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};

use super::unseen::Unseen;
use super::{BuildError, report};
use crate::apply::{self, ApplyError, Created, Write};
use crate::context::Context;
use crate::janitor;
use crate::runner::Outcome;

/// How soon to look again after something turned out to have changed since it was read.
const SOON: Duration = Duration::from_secs(1);

/// How soon to ask again for what the API server would not have now.
pub(in crate::controllers) const REFUSED: Duration = Duration::from_secs(5);

/// Actions, status with its event, what rests on the status: in this order.
pub(super) async fn act(
    situation: Situation<'_>,
    plan: Plan,
    context: &Context,
    unseen: &Unseen,
) -> Result<Outcome, BuildError> {
    let mut changed = false;
    for action in &plan.actions {
        match once(action, situation.build, context, unseen).await {
            // What was planned rests on what is no longer so.
            Ok(Write::Outdated) => return Ok(Outcome::waiting().again_after(SOON)),
            Ok(write) => changed |= write == Write::Written,
            Err(error) => match refusal(action, &error) {
                Some(Refused::Later) => return Ok(Outcome::waiting().again_after(REFUSED)),
                Some(Refused::AboveLimitRange(_)) if limits_lag(situation, context).await => {
                    return Ok(Outcome::waiting().again_after(REFUSED));
                }
                Some(Refused::AboveLimitRange(message)) => {
                    return reject(situation, &Rejection::Pod(message), context, unseen).await;
                }
                Some(Refused::For(rejection)) => return reject(situation, &rejection, context, unseen).await,
                None => return Err(BuildError::Act(error)),
            },
        }
    }
    match write_status(situation, &plan, context, unseen).await? {
        Write::Written => changed = true,
        Write::Unchanged => {}
        Write::Gone | Write::Outdated => return Ok(Outcome::waiting().again_after(SOON)),
    }
    for action in &plan.then {
        let write = once(action, situation.build, context, unseen).await;
        changed |= write.map_err(BuildError::Act)? == Write::Written;
    }
    let outcome = if changed {
        Outcome::changed()
    } else {
        Outcome::unchanged()
    };
    Ok(plan.again.map_or(outcome, |delay| outcome.again_after(delay)))
}

/// The API server would not have an object: the build waits for room for its pod, or fails.
async fn reject(
    situation: Situation<'_>,
    rejection: &Rejection,
    context: &Context,
    unseen: &Unseen,
) -> Result<Outcome, BuildError> {
    let slot = match rejection {
        Rejection::NoRoom(_) => context.dispatcher.refused(situation.build),
        Rejection::Pod(_) | Rejection::Job(_) => situation.slot,
    };
    let plan = after_rejection(Situation { slot, ..situation }, rejection);
    let _ = write_status(situation, &plan, context, unseen).await?;
    Ok(plan
        .again
        .map_or(Outcome::waiting(), |delay| Outcome::waiting().again_after(delay)))
}

async fn write_status(
    situation: Situation<'_>,
    plan: &Plan,
    context: &Context,
    unseen: &Unseen,
) -> Result<Write, BuildError> {
    let Some(status) = &plan.status else {
        return Ok(Write::Unchanged);
    };
    let build = situation.build;
    let builds: Api<Build> = Api::namespaced(context.client.clone(), &build.namespace().unwrap_or_default());
    let write = apply::apply_status(&builds, build, build.status.as_ref(), status)
        .await
        .map_err(BuildError::Status)?;
    if write == Write::Written {
        unseen.wrote(build);
        report::settled(situation, status, context);
        report::turned(situation.build, status, context);
        report::used(situation.build, status, context);
        report::note(build, plan.note.as_ref(), context).await;
    }
    Ok(write)
}

/// Performs it, but for a job that was made a moment ago and that the watch has not shown yet. For a Build or an ImageScan.
pub(in crate::controllers) async fn once<K: ResourceExt>(
    action: &Action,
    of: &K,
    context: &Context,
    unseen: &Unseen,
) -> Result<Write, ApplyError> {
    let name = match action {
        Action::CreateJob(job) if unseen.has_made(of, &job.name_any()) => return Ok(Write::Unchanged),
        Action::CreateJob(job) => job.name_any(),
        Action::CreatePod(pod) => pod.name_any(),
        _ => return perform(action, context).await,
    };
    let write = perform(action, context).await?;
    unseen.made(of, name);
    Ok(write)
}

/// Carries one action out; safe to repeat.
async fn perform(action: &Action, context: &Context) -> Result<Write, ApplyError> {
    match action {
        Action::CreatePod(pod) => create(&**pod, context).await,
        Action::CreateJob(job) => create(&**job, context).await,
        Action::EndPod { namespace, name, uid } => end_pod(namespace, name, uid, context).await,
        // Asked for again until its logs are safe.
        Action::DeletePod {
            namespace, name, uid, ..
        } if !janitor::may_go(namespace, name, uid, context) => Ok(Write::Unchanged),
        Action::DeletePod {
            namespace,
            name,
            uid,
            resource_version,
        } => delete_pod((namespace, name), uid, resource_version.as_ref(), context).await,
        Action::DeleteJob { namespace, name, .. } if !janitor::job_may_go(namespace, name, context) => {
            Ok(Write::Unchanged)
        }
        Action::DeleteJob { namespace, name, uid } => delete::<Job>(namespace, name, uid, context).await,
    }
}

/// Names are deterministic: one that is there already was made before a crash, or is an earlier build's and will be
/// seen as such.
async fn create<K>(object: &K, context: &Context) -> Result<Write, ApplyError>
where
    K: apply::Writable + Resource<Scope = kube::core::NamespaceResourceScope>,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    Ok(match apply::create_if_absent(&api, object).await? {
        Created::New => Write::Written,
        Created::Existing => Write::Unchanged,
    })
}

async fn end_pod(namespace: &str, name: &str, uid: &str, context: &Context) -> Result<Write, ApplyError> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    match context.stores.pods.get(&ObjectRef::new(name).within(namespace)) {
        Some(pod) if pod.uid().as_deref() == Some(uid) => apply::patch_deadline(&api, &pod, AT_ONCE).await,
        Some(_) | None => Ok(Write::Gone),
    }
}

async fn delete_pod(
    (namespace, name): (&str, &str),
    uid: &str,
    resource_version: Option<&String>,
    context: &Context,
) -> Result<Write, ApplyError> {
    let mut pod = Pod::default();
    pod.metadata.name = Some(name.to_owned());
    pod.metadata.uid = Some(uid.to_owned());
    pod.metadata.resource_version = resource_version.cloned();
    apply::delete_as_read(&Api::namespaced(context.client.clone(), namespace), &pod).await
}

async fn delete<K>(namespace: &str, name: &str, uid: &str, context: &Context) -> Result<Write, ApplyError>
where
    K: apply::Readable + Resource<Scope = kube::core::NamespaceResourceScope> + Default,
{
    let mut object = K::default();
    object.meta_mut().name = Some(name.to_owned());
    object.meta_mut().uid = Some(uid.to_owned());
    apply::delete_if_present(&Api::<K>::namespaced(context.client.clone(), namespace), &object).await
}

/// What the API server's refusal of an object means for the build or scan.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::controllers) enum Refused {
    /// It waits for room, or ends.
    For(Rejection),
    /// A LimitRange lets no container use as much as the pod may. Ours follows the platform's settings, and a moment late.
    AboveLimitRange(String),
    /// It is tried again soon: a quota has no room for a job, which is the platform's to give.
    Later,
}

/// What a refusal means. To end or to delete is never refused for what that asks for; RBAC's refusals are ours to mend, and
/// errors like any other.
pub(in crate::controllers) fn refusal(action: &Action, error: &ApplyError) -> Option<Refused> {
    let kube::Error::Api(status) = error.cause() else {
        return None;
    };
    let (is_pod, of): (bool, fn(String) -> Rejection) = match action {
        Action::CreatePod(_) => (true, Rejection::Pod),
        Action::CreateJob(_) => (false, Rejection::Job),
        _ => return None,
    };
    let (cause, message) = (error.cause(), || status.message.clone());
    if apply::is_quota_exceeded(cause) {
        return Some(if is_pod {
            Refused::For(Rejection::NoRoom(message()))
        } else {
            Refused::Later
        });
    }
    if is_pod && apply::is_above_limit_range(cause) {
        return Some(Refused::AboveLimitRange(message()));
    }
    let by_admission = status.is_forbidden()
        && !status.message.contains("cannot create resource")
        && !apply::is_namespace_terminating(cause);
    (by_admission || apply::is_invalid(cause)).then(|| Refused::For(of(message())))
}

/// Whether the namespace's LimitRange of ours is not yet what the settings say. If that can't be known, it may be.
async fn limits_lag(situation: Situation<'_>, context: &Context) -> bool {
    let namespace = situation.build.namespace().unwrap_or_default();
    let tenant = names::tenant_of_namespace(&namespace).unwrap_or_default();
    let ranges: Api<LimitRange> = Api::namespaced(context.client.clone(), &namespace);
    let found = ranges.get_opt(limit_range::NAME).await;
    !found.is_ok_and(|found| limit_range::is_current(found.as_ref(), tenant, &context.settings.tenants))
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;
    use crate::testing::{context, object, server};
    use crate::watches::{Guarded, Hubs};

    #[tokio::test]
    async fn a_job_is_deleted_only_when_the_logs_of_its_pods_are_kept() {
        let (client, mut server) = server();
        let hubs = Hubs::default();
        let context = context(client, &hubs);
        let ended = json!({"terminated": {"exitCode": 0, "containerID": "containerd://1"}});
        let pod: Pod = object(json!({
            "metadata": {"name": "scan-b-1-x", "namespace": "image-factory-work", "uid": "pod", "labels": {
                "imagefactory.dev/tenant": "acme", "imagefactory.dev/project": "web",
                "imagefactory.dev/build": "hello", "imagefactory.dev/build-uid": "b",
                "imagefactory.dev/attempt": "1", "imagefactory.dev/stage": "scan", "job-name": "scan-b-1",
            }},
            "status": {"phase": "Succeeded", "containerStatuses": [
                {"name": "evaluate", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": ended},
            ]},
        }));
        hubs.pods.take(Event::Apply(Guarded(Ok(pod.clone()))));
        let action = Action::DeleteJob {
            namespace: "image-factory-work".to_owned(),
            name: "scan-b-1".to_owned(),
            uid: "job".to_owned(),
        };
        assert_eq!(perform(&action, &context).await.unwrap(), Write::Unchanged);
        assert!(server.is_quiet_for(Duration::from_millis(20)).await);
        context.keeper.keep_now(&pod);
        let deleting = tokio::spawn(async move { perform(&action, &context).await });
        let asked = server
            .expect("DELETE /apis/batch/v1/namespaces/image-factory-work/jobs/scan-b-1")
            .await;
        asked.answer(200, &json!({"metadata": {}}));
        assert_eq!(deleting.await.unwrap().unwrap(), Write::Written);
    }

    #[tokio::test]
    async fn what_a_refusal_means_depends_on_what_was_to_be_made() {
        let (pod, job) = (
            || Action::CreatePod(Box::new(object(json!({"metadata": {"name": "p", "namespace": "n"}})))),
            || Action::CreateJob(Box::new(object(json!({"metadata": {"name": "j", "namespace": "n"}})))),
        );
        let full = "pods \"p\" is forbidden: exceeded quota: q, requested: pods=1";
        let above = "pods \"p\" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi";
        let policy = "admission webhook \"images.example.com\" denied the request: not signed";
        let rbac = "pods is forbidden: User \"u\" cannot create resource \"pods\"";
        for (action, message, means) in [
            (pod(), full, Some(Refused::For(Rejection::NoRoom(full.to_owned())))),
            (pod(), above, Some(Refused::AboveLimitRange(above.to_owned()))),
            (pod(), policy, Some(Refused::For(Rejection::Pod(policy.to_owned())))),
            (pod(), rbac, None),
            (job(), full, Some(Refused::Later)),
            (job(), policy, Some(Refused::For(Rejection::Job(policy.to_owned())))),
            (job(), rbac, None),
        ] {
            let (client, mut server) = server();
            let context = context(client, &Hubs::default());
            let answered = async { server.asked().await.fail(403, "Forbidden", message) };
            let (performed, ()) = tokio::join!(perform(&action, &context), answered);
            assert_eq!(refusal(&action, &performed.unwrap_err()), means, "{message}");
        }
    }
}
