//! Says in the TenantSettings what came of their plan.

use std::time::Duration;

use imagefactory_core::tenant::readiness::Standing;
use imagefactory_core::tenant_settings::status::{readiness, status};
use imagefactory_core::tenant_settings::{SettingsPlan, Situation};
use imagefactory_crds::TenantSettings;
use kube::{Api, ResourceExt};

use super::TenantSettingsError;
use crate::apply::{ApplyError, Write, is_namespace_terminating};
use crate::context::Context;
use crate::controllers::tenant::act::{Acted, trouble};
use crate::controllers::tenant::halt;
use crate::controllers::tenant::home::is_out_of_reach;
use crate::runner::Outcome;

/// How soon to look again after the settings turned out to have changed since they were read.
const SOON: Duration = Duration::from_secs(1);
/// How soon to look again at what may still come.
const LATER: Duration = Duration::from_secs(5);
/// How soon to look again at what was left alone, should what is going away stay after all.
const WHEN_LEFT_ALONE: Duration = Duration::from_secs(60);

/// Writes the status if it changed. A failure to act is told in it and then returned.
pub(super) async fn report(
    situation: Situation<'_>,
    plan: &SettingsPlan,
    acted: Result<Acted, ApplyError>,
    context: &Context,
) -> Result<Outcome, TenantSettingsError> {
    if acted
        .as_ref()
        .is_err_and(|error| is_namespace_terminating(error.cause()))
    {
        return Ok(Outcome::waiting());
    }
    let trouble = acted.as_ref().err().map(trouble);
    let Some(readiness) = readiness(situation, plan, trouble.as_ref()) else {
        return Ok(Outcome::waiting().again_after(WHEN_LEFT_ALONE));
    };
    let (object, status) = (situation.object, status(situation, plan, &readiness));
    let api: Api<TenantSettings> = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    let written = halt::write_status(&api, object, object.status.as_ref(), &status, context).await;
    // What failed first is what counts.
    let acted = acted.map_err(TenantSettingsError::Act)?;
    let written = match written {
        Err(error) if situation.tenant.is_none() && is_out_of_reach(&error) => return Ok(Outcome::waiting()),
        written => written.map_err(TenantSettingsError::Status)?,
    };
    let changed = acted == Acted::Written || written == Write::Written;
    let outcome = if changed {
        Outcome::changed()
    } else {
        Outcome::unchanged()
    };
    Ok(if written == Write::Outdated {
        outcome.again_after(SOON)
    } else if readiness.standing == Standing::Retrying {
        outcome.again_after(LATER)
    } else {
        outcome
    })
}
