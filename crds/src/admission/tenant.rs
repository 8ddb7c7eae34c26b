//! Tenants: platform administrators write them, and one always has an owner.

use super::case::{Case, Verdict, warning};
use super::{Write, confirm, stamp};
use crate::Tenant;
use crate::denial::{Cause, Code, Denial};
use crate::subjects::{Rules, fault};
use crate::tenant::Capabilities;

pub(super) fn decide(write: &Write<Tenant>, case: &Case<'_>) -> Verdict {
    stamp::check(write, case.user)?;
    match write {
        Write::Create(new) => {
            case.standing.require_platform("create Tenants")?;
            keep_an_owner(None, new)?;
            Ok(warnings(None, new))
        }
        Write::Update { old, new } if old.spec != new.spec => {
            case.standing.require_platform("change Tenants")?;
            keep_an_owner(Some(old), new)?;
            give_a_reason(old, new)?;
            Ok(warnings(Some(old), new))
        }
        Write::Update { .. } => Ok(Vec::new()),
        Write::Delete(old) => {
            case.standing.require_platform("delete Tenants")?;
            if !case.goes_anyway() {
                confirm::deletion(&**old, &lost(old))?;
            }
            Ok(Vec::new())
        }
    }
}

fn lost(tenant: &Tenant) -> String {
    let usage = tenant.status.as_ref().and_then(|status| status.usage.as_ref());
    let counts = usage.map(|usage| {
        let builds = &usage.builds;
        format!(
            ": {} projects, {} builds ({} running, {} queued), the access of {} people and groups",
            usage.projects, builds.total, builds.running, builds.queued, usage.members
        )
    });
    let counts = counts.unwrap_or_default();
    format!("its namespace goes with everything in it{counts}; Secrets that the tenant made go too; images stay.")
}

/// Nothing may take away the last owner who can be one.
fn keep_an_owner(old: Option<&Tenant>, new: &Tenant) -> Result<(), Denial> {
    let owned = |tenant: &Tenant| {
        let rules = Rules::of(tenant);
        tenant.spec.owners.iter().any(|owner| fault(owner, &rules).is_none())
    };
    if owned(new) || old.is_some_and(|old| !owned(old)) {
        return Ok(());
    }
    let message = "spec.owners would hold nobody who can be an owner: name a user, a group that does not begin with system:, or a service account of a namespace that spec.serviceAccountNamespaces lists. The last owner is kept.";
    Err(Denial::new(Code::InvalidObject, message).because(Cause::field("spec.owners", "would hold no valid owner")))
}

/// The schema asks for it too; this holds where the schema was not asked.
fn give_a_reason(old: &Tenant, new: &Tenant) -> Result<(), Denial> {
    let Some(before) = &old.spec.capabilities else {
        return Ok(());
    };
    let after = new.spec.capabilities.as_ref();
    let has_new_reason = after.is_some_and(|after| after.change_reason != before.change_reason);
    if has_new_reason || after.is_some_and(|after| switches(after) == switches(before)) {
        return Ok(());
    }
    let field = "spec.capabilities.changeReason";
    let message = format!("A change of capabilities must carry a new {field}.");
    Err(Denial::new(Code::InvalidObject, message).because(Cause::field(field, "must be new")))
}

fn switches(written: &Capabilities) -> [Option<bool>; 4] {
    [
        written.build,
        written.quarantine_request,
        written.on_demand_image_scanning,
        written.quarantine_release,
    ]
}

fn warnings(old: Option<&Tenant>, new: &Tenant) -> Vec<String> {
    let asks = |tenant: &Tenant| {
        tenant
            .spec
            .capabilities
            .as_ref()
            .and_then(|written| written.quarantine_request)
    };
    let mut warnings = Vec::new();
    if asks(new) == Some(true) && old.and_then(asks) != Some(true) {
        warnings.push(warning(
            "quarantineRequest is turned on: the tenant can ask for images from outside to be let in",
        ));
    }
    let rules = Rules::of(new);
    let ineffective = new.spec.owners.iter().enumerate();
    let ineffective = ineffective.filter_map(|(index, owner)| fault(owner, &rules).map(|why| (index, why)));
    warnings.extend(
        ineffective
            .take(4)
            .map(|(index, why)| warning(&format!("spec.owners[{index}] {why}: it is no owner"))),
    );
    warnings
}
