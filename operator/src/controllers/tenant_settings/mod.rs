//! TenantSettings: observe → plan → act → status.
//!
//! Role bindings follow from members and custom roles; `imagefactory_core::tenant_settings` decides which. The spec is
//! never written.

mod error;
mod status;
mod watches;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use imagefactory_core::tenant_settings::{SettingsPlan, Situation, plan};
use imagefactory_crds::TenantSettings;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::ResourceExt;
use tokio_util::sync::CancellationToken;

use super::tenant::act;
use super::tenant::home::{Home, home};
use crate::context::Context;
use crate::runner::{self, Outcome};
use crate::watches::Hubs;

pub use error::TenantSettingsError;

/// Runs the controller until `stop`.
pub async fn run(context: Arc<Context>, hubs: Hubs, stop: CancellationToken) {
    runner::run(watches::wiring(&hubs), context, stop, reconcile).await;
}

async fn reconcile(object: Arc<TenantSettings>, context: Arc<Context>) -> Result<Outcome, TenantSettingsError> {
    // Reads: stores alone.
    let namespace = object.namespace().unwrap_or_default();
    let Home { tenant, is_leaving } = home(&namespace, &context.stores);
    let role_bindings = bindings_in(&namespace, &context);
    let situation = Situation {
        object: &object,
        tenant: tenant.as_deref(),
        is_leaving,
        role_bindings: &role_bindings,
        settings: &context.settings,
        now: context.now(),
    };
    let plan = plan(situation);
    // Writes.
    let steps = match &plan {
        SettingsPlan::Bind { steps, .. } => steps.as_slice(),
        SettingsPlan::Leave | SettingsPlan::Homeless => &[],
    };
    let acted = act::carry_out(steps, &context.client).await;
    status::report(situation, &plan, acted, &context).await
}

fn bindings_in(namespace: &str, context: &Context) -> Vec<RoleBinding> {
    let bindings = context.stores.role_bindings.state();
    let here = bindings
        .iter()
        .filter(|binding| binding.metadata.namespace.as_deref() == Some(namespace));
    here.map(|binding| (**binding).clone()).collect()
}
