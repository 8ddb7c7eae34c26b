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

/// The plan, with the logs that are kept.
pub(super) fn complete(plan: Plan, situation: Situation<'_>, context: &Context) -> Plan {
    let build = situation.build;
    let Some(identity) = Identity::of(build).filter(|_| build.metadata.deletion_timestamp.is_none()) else {
        return plan;
    };
    let current = build.status.as_ref();
    let recorded = current.and_then(|status| status.logs.as_ref());
    look(situation, recorded, context);
    let keeper = &context.keeper;
    let location = keeper
        .archive()
        .location(&directory(&identity.tenant, &identity.project, &identity.uid));
    let logs = merged(recorded, &keeper.kept(&identity.uid), &location);
    match (&plan.status, current) {
        (Some(planned), _) if Some(planned) != current => {
            let ends = is_settled(Some(planned)) && !is_settled(current);
            if ends && keeper.is_busy(&identity.uid) && keeper.await_all(&identity.uid) {
                return held_back(plan);
            }
            if is_settled(Some(planned)) {
                let _ = keeper.await_all(&identity.uid);
            }
            with_logs(plan, logs)
        }
        // One write for all that came after the end.
        (_, Some(status)) if is_settled(current) && !keeper.await_all(&identity.uid) && status.logs != logs => Plan {
            status: Some(BuildStatus { logs, ..status.clone() }),
            ..plan
        },
        _ => plan,
    }
}

/// Has the keeper take in what ended, before its own watch may have.
fn look(situation: Situation<'_>, recorded: Option<&KeptLogs>, context: &Context) {
    let observed = situation.observed;
    let of_jobs = [&observed.scan, &observed.publish].into_iter().flatten();
    let views = observed.pod.iter().chain(of_jobs.filter_map(|job| job.pod.as_ref()));
    for PodView { namespace, name, .. } in views {
        if let Some(pod) = context.stores.pods.get(&ObjectRef::new(name).within(namespace)) {
            context.keeper.look(&pod, recorded);
        }
    }
}

fn held_back(plan: Plan) -> Plan {
    Plan {
        status: None,
        then: Vec::new(),
        note: None,
        again: Some(HELD),
        ..plan
    }
}

fn with_logs(plan: Plan, logs: Option<KeptLogs>) -> Plan {
    Plan {
        status: plan.status.map(|status| BuildStatus { logs, ..status }),
        ..plan
    }
}

#[cfg(test)]
mod tests;
