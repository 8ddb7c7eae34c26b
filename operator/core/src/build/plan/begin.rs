//! A build that was not dispatched yet.

use imagefactory_crds::build::Phase;

use super::situation::Stop;
use super::{Action, LATER, Plan, SOON, Situation};
use crate::build::failure::PREPARING;
use crate::build::names::Stage;
use crate::build::objects;
use crate::build::observed::PodView;
use crate::build::status::Cause;
use crate::build::validated::Refusal;

/// Not dispatched yet.
pub(super) fn begin(situation: Situation<'_>) -> Plan {
    if situation.build.spec.cancelled {
        return situation.stops_as(&Stop::Cancelled);
    }
    let build = match situation.validated {
        Ok(build) => build,
        Err(refusal) => return situation.refuses(refusal),
    };
    if build.archived {
        return situation.refuses(&Refusal::archived(&build.identity.project));
    }
    if build.suspended {
        return situation.waits(
            "TenantSuspended",
            "The tenant is suspended; a platform administrator can lift it.",
        );
    }
    if !build.tenant_ready {
        return situation.waits("TenantNotReady", "The tenant's namespace is being put in place.");
    }
    if let Some(pod) = &situation.observed.pod {
        // Its Build is gone, or this one could not have the name: the pod is ended and makes room.
        let message = format!("Pod {} of an earlier Build of this name is still there.", pod.name);
        let actions = if pod.deleting { vec![] } else { vec![delete_pod(pod)] };
        return Plan {
            actions,
            again: Some(SOON),
            ..situation.waits("PodNameTaken", &message)
        };
    }
    let status = situation
        .started_draft(&build.identity.object_name(Stage::Build))
        .going_on(
            Phase::Preparing,
            &Cause {
                reason: "Preparing",
                message: PREPARING,
            },
        );
    let pod = objects::build_pod(build, situation.owner(), situation.settings);
    Plan {
        actions: vec![Action::CreatePod(Box::new(pod))],
        status: Some(status),
        again: Some(LATER),
        ..Plan::default()
    }
}

fn delete_pod(pod: &PodView) -> Action {
    Action::DeletePod {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
    }
}
