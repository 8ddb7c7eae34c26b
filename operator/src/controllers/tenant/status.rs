//! Says in the Tenant what came of its plan, and when to look again.

use std::time::Duration;

use imagefactory_core::tenant::readiness::{Readiness, Standing};
use imagefactory_core::tenant::resync::resync_after;
use imagefactory_core::tenant::status::{readiness, status};
use imagefactory_core::tenant::{Situation, TenantPlan};
use imagefactory_crds::Tenant;
use kube::Api;

use super::TenantError;
use super::act::{Acted, trouble};
use super::halt;
use crate::apply::{ApplyError, Write};
use crate::context::Context;
use crate::runner::Outcome;

/// How soon to look again once the operator has rights in a namespace. The API server takes some milliseconds to know.
const RIGHTS: Duration = Duration::from_millis(300);
/// How soon to look again after something was overtaken.
const SOON: Duration = Duration::from_secs(1);
/// How soon to look again at what goes away or may still come.
const LATER: Duration = Duration::from_secs(5);

/// The operator's rights were written down and the API server does not know them yet.
pub(super) fn rights_are_on_the_way() -> Outcome {
    Outcome::waiting().again_after(RIGHTS)
}

/// Writes the status if it changed. A failure to act is told in it and then returned.
pub(super) async fn report(
    situation: Situation<'_>,
    plan: &TenantPlan,
    acted: Result<Acted, ApplyError>,
    context: &Context,
) -> Result<Outcome, TenantError> {
    let acted = acted.map_err(TenantError::Act);
    match &acted {
        Ok(Acted::Overtaken) => return Ok(Outcome::waiting().again_after(SOON)),
        Err(error) if error.is_of_terminating_namespace() => return Ok(Outcome::waiting().again_after(SOON)),
        Err(error) if error.is_forbidden() && situation.observed.rights_are_fresh(situation.now) => {
            return Ok(rights_are_on_the_way());
        }
        Ok(Acted::Nothing | Acted::Written) | Err(_) => {}
    }
    let trouble = match &acted {
        Err(TenantError::Act(error)) => Some(trouble(error)),
        Ok(_) | Err(_) => None,
    };
    let Some(readiness) = readiness(situation, plan, trouble.as_ref()) else {
        return silent(acted);
    };
    let (tenant, status) = (situation.tenant, status(situation, plan, &readiness));
    let tenants: Api<Tenant> = Api::all(context.client.clone());
    let written = halt::write_status(&tenants, tenant, tenant.status.as_ref(), &status, context).await;
    // What failed first is what counts.
    let acted = acted?;
    let written = written.map_err(TenantError::Status)?;
    if written == Write::Outdated {
        return Ok(Outcome::waiting().again_after(SOON));
    }
    let changed = acted == Acted::Written || written == Write::Written;
    let outcome = if changed {
        Outcome::changed()
    } else {
        Outcome::unchanged()
    };
    Ok(outcome.again_after(again(plan, &readiness, context)))
}

/// Nothing is said of a Tenant that goes, or that is woken by what was written.
fn silent(acted: Result<Acted, TenantError>) -> Result<Outcome, TenantError> {
    Ok(match acted? {
        Acted::Written => Outcome::changed().again_after(LATER),
        Acted::Nothing | Acted::Overtaken => Outcome::unchanged(),
    })
}

fn again(plan: &TenantPlan, readiness: &Readiness, context: &Context) -> Duration {
    match plan {
        TenantPlan::Converge(convergence) if convergence.unfinished => RIGHTS,
        _ if readiness.standing == Standing::Retrying => LATER,
        _ => resync_after(
            context.settings.tenants.resync_seconds,
            context.stores.tenants.len(),
            rand::random(),
        ),
    }
}
