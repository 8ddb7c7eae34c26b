//! What each tenant uses: observe → count → status, of the Tenant and of its TenantSettings.
//!
//! A controller of its own, beside those of the two kinds: it reads stores alone, so that a build that comes or goes
//! costs no request but, at most once in ten seconds, the two writes.

mod error;
mod watches;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use imagefactory_core::project::throttle::{Due, PAUSE};
use imagefactory_core::tenant::usage::{Used, is_ageing, is_moving, usage};
use imagefactory_crds::names::{TENANT_SETTINGS, tenant_namespace};
use imagefactory_crds::usage::Usage;
use imagefactory_crds::{Build, QuarantineRequest, Tenant, TenantSettings, TenantSettingsStatus, TenantStatus};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use tokio_util::sync::CancellationToken;

use super::project::Ledger;
use crate::apply::{self, Write, is_namespace_terminating};
use crate::context::Context;
use crate::runner::{self, Outcome};
use crate::watches::Hubs;

pub use error::UsageError;

/// How soon to look again while it is not known what runs.
const SOON: Duration = Duration::from_secs(1);

/// How soon to look again at what is counted by the hour.
const AGEING: Duration = Duration::from_secs(60);

/// Runs the controller until `stop`.
pub async fn run(context: Arc<Context>, hubs: Hubs, stop: CancellationToken) {
    let ledger = Arc::new(Ledger::default());
    let reconcile = move |tenant, context| reconcile(tenant, context, ledger.clone());
    runner::run(watches::wiring(&hubs), context, stop, reconcile).await;
}

async fn reconcile(tenant: Arc<Tenant>, context: Arc<Context>, ledger: Arc<Ledger>) -> Result<Outcome, UsageError> {
    let name = tenant.name_any();
    // A leader that has just begun would say that nothing runs.
    let Some(slots) = context.dispatcher.slots_of(&name) else {
        return Ok(Outcome::waiting().again_after(SOON));
    };
    if let Due::In(delay) = ledger.take_turn((String::new(), name.clone()), context.now()) {
        return Ok(Outcome::unchanged().again_after(delay));
    }
    let found = context
        .stores
        .tenant_settings
        .get(&ObjectRef::new(TENANT_SETTINGS).within(&tenant_namespace(&name)));
    let counted = count(&tenant, found.as_deref(), slots, &context);
    let written = [
        write(&tenant, &counted, &context).await?,
        match &found {
            Some(settings) => write_settings(settings, &counted, &context).await?,
            None => Write::Unchanged,
        },
    ];
    let outcome = if written.contains(&Write::Written) {
        Outcome::changed()
    } else {
        Outcome::unchanged()
    };
    Ok(if is_moving(&counted) || written.contains(&Write::Outdated) {
        outcome.again_after(PAUSE.unsigned_abs())
    } else if is_ageing(&counted) {
        outcome.again_after(AGEING)
    } else {
        outcome
    })
}

fn count(tenant: &Tenant, settings: Option<&TenantSettings>, slots: u32, context: &Context) -> Usage {
    let namespace = tenant_namespace(&tenant.name_any());
    let builds = context.stores.builds_by_namespace.get(&namespace);
    let builds: Vec<&Build> = builds.iter().map(AsRef::as_ref).collect();
    usage(Used {
        tenant,
        settings_spec: settings.map(|settings| &settings.spec),
        builds: &builds,
        projects: context.stores.projects_by_namespace.count(&namespace),
        open_requests: open_requests(&namespace, context),
        now: context.now(),
        slots,
        settings: &context.settings,
    })
}

fn open_requests(namespace: &str, context: &Context) -> usize {
    let requests = context.stores.quarantine_requests_by_namespace.get(namespace);
    let is_open =
        |request: &&Arc<QuarantineRequest>| !request.status.as_ref().is_some_and(|status| status.is_settled());
    requests.iter().filter(is_open).count()
}

/// Only into a status that is there: what else stands in it is its own controller's, and stays as it was read.
async fn write(tenant: &Tenant, usage: &Usage, context: &Context) -> Result<Write, UsageError> {
    let Some(before) = tenant.status.as_ref().filter(|status| status.observed_generation >= 0) else {
        return Ok(Write::Outdated);
    };
    let status = TenantStatus {
        usage: Some(usage.clone()),
        ..before.clone()
    };
    let tenants: Api<Tenant> = Api::all(context.client.clone());
    Ok(apply::apply_status(&tenants, tenant, Some(before), &status).await?)
}

async fn write_settings(settings: &TenantSettings, usage: &Usage, context: &Context) -> Result<Write, UsageError> {
    let Some(before) = settings
        .status
        .as_ref()
        .filter(|status| status.observed_generation >= 0)
    else {
        return Ok(Write::Outdated);
    };
    let status = TenantSettingsStatus {
        usage: Some(usage.clone()),
        ..before.clone()
    };
    let namespace = settings.namespace().unwrap_or_default();
    let api: Api<TenantSettings> = Api::namespaced(context.client.clone(), &namespace);
    match apply::apply_status(&api, settings, Some(before), &status).await {
        Err(error) if is_namespace_terminating(error.cause()) => Ok(Write::Gone),
        written => Ok(written?),
    }
}
