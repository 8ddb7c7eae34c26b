//! Tenants: observe → plan → act → status.
//!
//! What a tenant's namespace holds and what to do about it, `imagefactory_core::tenant` decides. This module reads what
//! the decision needs, carries it out, and says what came of it. A Tenant that is being deleted keeps our finalizer until
//! nothing of it is left.

pub(in crate::controllers) mod act;
mod error;
pub(in crate::controllers) mod halt;
pub(in crate::controllers) mod home;
mod observe;
mod remains;
mod status;
mod watches;

#[cfg(test)]
pub(in crate::controllers) mod mock;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_deletion;

use std::sync::Arc;

use imagefactory_core::tenant::{Situation, plan};
use imagefactory_crds::Tenant;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::runner::{self, Outcome};
use crate::watches::Hubs;

pub use error::TenantError;
pub(crate) use watches::digest;

/// Runs the controller until `stop`.
pub async fn run(context: Arc<Context>, hubs: Hubs, stop: CancellationToken) {
    runner::run(watches::wiring(&hubs, &context.settings), context, stop, reconcile).await;
}

async fn reconcile(tenant: Arc<Tenant>, context: Arc<Context>) -> Result<Outcome, TenantError> {
    // Reads: stores, and by GET what nobody watches.
    let Some(observed) = observe::observe(&tenant, &context).await? else {
        return Ok(status::rights_are_on_the_way());
    };
    let situation = Situation {
        tenant: &tenant,
        observed: &observed,
        settings: &context.settings,
        now: context.now(),
    };
    let plan = plan(situation);
    // Writes.
    let acted = act::carry_out(plan.steps(), &context.client).await;
    status::report(situation, &plan, acted, &context).await
}
