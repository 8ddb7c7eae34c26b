//! What is done about a Tenant that is being deleted: nothing of it goes while builds run, then everything in order.
//!
//! Jobs of its builds first (their logs are kept), then its namespace with all that it holds, and when that is gone the
//! finalizer, with which the Tenant goes. Each step is safe to repeat, and none rests on what an earlier look saw
//! (docs/decisions/0017).

use imagefactory_crds::Tenant;
use imagefactory_crds::names::{FINALIZER_TENANT, tenant_namespace};
use k8s_openapi::api::core::v1::Namespace;

use super::home::{is_of_former_tenant, is_terminating, tenant_of};
use super::observed::Situation;
use super::readiness::{Readiness, Standing};
use super::status::NAMESPACE_TERMINATING;
use super::step::{Object, Step};
use crate::partial::Job;

/// Reason: the Tenant is deleted when its builds have ended.
pub const BUILDS_RUNNING: &str = "BuildsRunning";
/// Reason: the Tenant is deleted when the logs of its builds are kept.
pub const LOGS_NOT_KEPT: &str = "LogsNotKept";
/// Reason: the Tenant is being deleted.
pub const DELETING: &str = "Deleting";

/// What is left of a tenant, beside its namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remains {
    /// Builds that run: a slot is theirs, or a pod or job of theirs lives. None where that is not known yet.
    pub running: Option<u32>,
    /// Pods whose logs are not kept yet.
    pub unkept: u32,
    /// Scan and publish jobs of the tenant in the work namespace, but for those with logs that are not kept yet.
    pub jobs: Vec<Job>,
}

/// What to do about a Tenant that is being deleted.
#[derive(Clone, Debug, PartialEq)]
pub struct Deletion {
    /// The writes, in order.
    pub steps: Vec<Step>,
    /// What is waited for after them; none when the finalizer goes, and the Tenant with it.
    pub waits: Option<WaitsFor>,
}

/// What keeps a Tenant from going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// It is not known yet what runs.
    Knowledge,
    /// So many builds run.
    Builds(u32),
    /// The logs of so many pods are not kept yet.
    Logs(u32),
    /// Jobs that are being deleted.
    Jobs,
    /// The namespace, which is being deleted.
    Namespace,
}

/// Whether our finalizer is on the Tenant.
#[must_use]
pub fn is_held(tenant: &Tenant) -> bool {
    let mut finalizers = tenant.metadata.finalizers.iter().flatten();
    finalizers.any(|finalizer| finalizer == FINALIZER_TENANT)
}

/// Decides what to do about a Tenant that is being deleted and that our finalizer holds.
pub(super) fn delete(situation: Situation<'_>) -> Deletion {
    // It holds what a person was asked to look at, and nothing in it was made for this Tenant.
    if (situation.observed.namespace.as_ref()).is_some_and(|found| is_of_former_tenant(found, situation.tenant)) {
        return let_go(situation);
    }
    let remains = &situation.observed.remains;
    let jobs = remains.jobs.iter().cloned().map(Box::new).map(Step::DeleteJob);
    let steps: Vec<Step> = jobs.collect();
    let waiting = |steps: Vec<Step>, waits: WaitsFor| Deletion {
        steps,
        waits: Some(waits),
    };
    match own_namespace(situation) {
        Some(namespace) if !is_terminating(namespace) => match (remains.running, remains.unkept) {
            (None, _) => waiting(Vec::new(), WaitsFor::Knowledge),
            (Some(0), 0) => {
                let namespace = Step::Delete(Box::new(Object::Namespace(namespace.clone())));
                waiting(steps.into_iter().chain([namespace]).collect(), WaitsFor::Namespace)
            }
            (Some(0), unkept) => waiting(steps, WaitsFor::Logs(unkept)),
            (Some(running), _) => waiting(Vec::new(), WaitsFor::Builds(running)),
        },
        // Somebody deleted it by hand, or we did: its Builds go with it, and nobody waits for their jobs.
        Some(_) => waiting(steps, WaitsFor::Namespace),
        None if !steps.is_empty() => waiting(steps, WaitsFor::Jobs),
        None if remains.unkept > 0 => waiting(steps, WaitsFor::Logs(remains.unkept)),
        None => let_go(situation),
    }
}

fn let_go(situation: Situation<'_>) -> Deletion {
    Deletion {
        steps: vec![Step::LetGo(Box::new(situation.tenant.clone()))],
        waits: None,
    }
}

/// The tenant's namespace; none where there is none, or where one of its name is a stranger's, which is not touched.
fn own_namespace<'a>(situation: Situation<'a>) -> Option<&'a Namespace> {
    let found = situation.observed.namespace.as_ref();
    found.filter(|found| tenant_of(found) == Some(situation.name()))
}

/// Where a Tenant stands that is being deleted.
pub(super) fn readiness(situation: Situation<'_>, waits: WaitsFor) -> Readiness {
    let namespace = tenant_namespace(situation.name());
    let (reason, message) = match waits {
        WaitsFor::Knowledge => (
            DELETING,
            "It is being found out what still runs in this tenant.".to_owned(),
        ),
        WaitsFor::Builds(number) => (BUILDS_RUNNING, builds_running(number, &namespace)),
        WaitsFor::Logs(pods) => (
            LOGS_NOT_KEPT,
            format!(
                "The Tenant is deleted when its builds' logs are kept; pods with logs that are not: {pods}. See that the object store works."
            ),
        ),
        WaitsFor::Jobs => (DELETING, "Jobs of this tenant's builds are being deleted.".to_owned()),
        WaitsFor::Namespace => (NAMESPACE_TERMINATING, namespace_goes(situation, &namespace)),
    };
    Readiness::new(Standing::Retrying, reason, message)
}

fn builds_running(number: u32, namespace: &str) -> String {
    let builds = if number == 1 {
        "1 build runs"
    } else {
        &format!("{number} builds run")
    };
    format!(
        "{builds} in this tenant, which is deleted when they have ended; nothing new starts. Wait, or cancel them: \
         kubectl patch build NAME -n {namespace} --type merge -p '{{\"spec\":{{\"cancelled\":true}}}}'"
    )
}

/// What Kubernetes says keeps a namespace from going, if it says so.
fn namespace_goes(situation: Situation<'_>, namespace: &str) -> String {
    let status = situation
        .observed
        .namespace
        .as_ref()
        .and_then(|found| found.status.as_ref());
    let conditions = status
        .and_then(|status| status.conditions.as_ref())
        .into_iter()
        .flatten();
    let stuck = conditions
        .filter(|condition| condition.status == "True")
        .find(|condition| condition.type_ == "NamespaceFinalizersRemaining");
    let why = stuck.and_then(|condition| condition.message.as_deref());
    let why = why.map_or_else(String::new, |why| format!(" Kubernetes waits: {}", why.escape_debug()));
    format!("Namespace {namespace} is being deleted with all that it holds; this Tenant goes after it.{why}")
}

#[cfg(test)]
mod search;
#[cfg(test)]
mod tests;
