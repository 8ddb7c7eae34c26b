//! Writes the status of a kind that configures, and the event of an object that came to a halt: the only event that
//! such kinds have beside those of errors, which the runner writes.

use imagefactory_core::tenant::readiness::came_to_a_halt;
use imagefactory_crds::{
    ImagePolicyStatus, ProjectStatus, QuarantineRequestStatus, SorRecordStatus, TenantSettingsStatus, TenantStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource};
use serde::Serialize;
use tracing::{debug, info};

use crate::apply::{self, ApplyError, Writable, Write};
use crate::context::Context;
use crate::runner::{MAX_NOTE, chain, cut};

/// A status with conditions.
pub(in crate::controllers) trait Conditioned: Serialize + PartialEq {
    /// Its conditions.
    fn conditions(&self) -> &[Condition];
}

macro_rules! conditioned {
    ($($status:ty),+) => {$(
        impl Conditioned for $status {
            fn conditions(&self) -> &[Condition] {
                &self.conditions
            }
        }
    )+};
}

conditioned!(
    TenantStatus,
    TenantSettingsStatus,
    ProjectStatus,
    ImagePolicyStatus,
    SorRecordStatus,
    QuarantineRequestStatus
);

/// Writes the status if it differs from what the object has, and tells of an object that came to a halt.
pub(in crate::controllers) async fn write_status<K: Writable, S: Conditioned>(
    api: &Api<K>,
    object: &K,
    before: Option<&S>,
    now: &S,
    context: &Context,
) -> Result<Write, ApplyError> {
    let write = apply::apply_status(api, object, before, now).await?;
    let old = before.map(S::conditions).unwrap_or_default();
    if let Some(stalled) = came_to_a_halt(old, now.conditions()).filter(|_| write == Write::Written) {
        tell(object, stalled, context).await;
    }
    Ok(write)
}

async fn tell<K: Resource<DynamicType = ()>>(object: &K, stalled: &Condition, context: &Context) {
    let reference = object.object_ref(&());
    let (namespace, name) = (reference.namespace.as_deref(), reference.name.as_deref());
    info!(
        kind = &*K::kind(&()),
        namespace,
        name,
        reason = stalled.reason,
        "object came to a halt"
    );
    let event = Event {
        type_: EventType::Warning,
        reason: stalled.reason.clone(),
        note: Some(cut(&stalled.message, MAX_NOTE).to_owned()),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    // An event is a courtesy: what keeps it from being written must not keep work from being done.
    if let Err(error) = context.recorder.publish(&event, &reference).await {
        debug!(error = chain(&error), "event could not be written");
    }
}
