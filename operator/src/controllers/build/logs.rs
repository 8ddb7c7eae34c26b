//! Adds to a plan what is known of logs: no write of its own while the build goes on, and its end is written together
//! with the logs of the containers that ended it.

use std::time::Duration;

use imagefactory_core::build::logs::{directory, merged};
use imagefactory_core::build::names::Identity;
use imagefactory_core::build::plan::Situation;
use imagefactory_core::build::status::is_settled;
use imagefactory_core::build::{Plan, PodView};
use imagefactory_crds::BuildStatus;
use imagefactory_crds::build::KeptLogs;
use kube::runtime::reflector::ObjectRef;

use crate::context::Context;

/// How soon to look again at a build whose end was held back, if nothing wakes it.
const HELD: Duration = Duration::from_secs(1);

/// A status that tells of logs.
pub(in crate::controllers) trait Told: Clone + PartialEq {
    /// Whether it says that the run has ended.
    fn is_settled(&self) -> bool;
    /// The logs that it tells of.
    fn logs(&mut self) -> &mut Option<Box<KeptLogs>>;
}

impl Told for BuildStatus {
    fn is_settled(&self) -> bool {
        is_settled(Some(self))
    }

    fn logs(&mut self) -> &mut Option<Box<KeptLogs>> {
        &mut self.logs
    }
}

/// The logs of a run.
pub(in crate::controllers) struct Of<'a> {
    /// Uid of the Build or ImageScan.
    pub(in crate::controllers) uid: &'a str,
    /// Where its logs lie, beneath all logs.
    pub(in crate::controllers) directory: String,
    /// What its status says is kept.
    pub(in crate::controllers) recorded: Option<&'a KeptLogs>,
}

/// The plan of a build, with the logs that are kept.
pub(super) fn complete(plan: Plan, situation: Situation<'_>, context: &Context) -> Plan {
    let build = situation.build;
    let Some(identity) = Identity::of(build) else {
        return plan;
    };
    let current = build.status.as_ref();
    let of = Of {
        uid: &identity.uid,
        directory: directory(&identity.tenant, &identity.project, &identity.uid),
        recorded: current.and_then(|status| status.logs.as_deref()),
    };
    let observed = situation.observed;
    let of_jobs = [&observed.scan, &observed.publish].into_iter().flatten();
    let views = observed.pod.iter().chain(of_jobs.filter_map(|job| job.pod.as_ref()));
    look(views, of.recorded, context);
    with_kept(plan, &of, current, context)
}

/// The plan of whatever run, with the logs that are kept.
pub(in crate::controllers) fn with_kept<S: Told>(
    plan: Plan<S>,
    of: &Of<'_>,
    current: Option<&S>,
    context: &Context,
) -> Plan<S> {
    let keeper = &context.keeper;
    let location = keeper.archive().location(&of.directory);
    let logs = merged(of.recorded, &keeper.kept(of.uid), &location);
    let was_settled = current.is_some_and(S::is_settled);
    match (&plan.status, current) {
        (Some(planned), _) if Some(planned) != current => {
            let ends = planned.is_settled() && !was_settled;
            if ends && keeper.is_busy(of.uid) && keeper.await_all(of.uid) {
                return held_back(plan);
            }
            if planned.is_settled() {
                let _ = keeper.await_all(of.uid);
            }
            with_logs(plan, logs)
        }
        // One write for all that came after the end.
        (_, Some(status)) if was_settled && !keeper.await_all(of.uid) && of.recorded != logs.as_ref() => with_logs(
            Plan {
                status: Some(status.clone()),
                ..plan
            },
            logs,
        ),
        _ => plan,
    }
}

/// Has the keeper take in what ended, before its own watch may have.
pub(in crate::controllers) fn look<'a>(
    views: impl Iterator<Item = &'a PodView>,
    recorded: Option<&KeptLogs>,
    context: &Context,
) {
    for PodView { namespace, name, .. } in views {
        if let Some(pod) = context.stores.pods.get(&ObjectRef::new(name).within(namespace)) {
            context.keeper.look(&pod, recorded);
        }
    }
}

fn held_back<S>(plan: Plan<S>) -> Plan<S> {
    Plan {
        status: None,
        then: Vec::new(),
        note: None,
        again: Some(HELD),
        ..plan
    }
}

fn with_logs<S: Told>(mut plan: Plan<S>, logs: Option<KeptLogs>) -> Plan<S> {
    if let Some(status) = &mut plan.status {
        *status.logs() = logs.map(Box::new);
    }
    plan
}

#[cfg(test)]
mod tests;
