//! What TenantSettings say of themselves.

use imagefactory_crds::TenantSettingsStatus;
use imagefactory_crds::common::Subject;
use imagefactory_crds::entitlement::effective;
use imagefactory_crds::tenant_settings::Permission;

use super::membership::Membership;
use super::plan::{SettingsPlan, Situation};
use crate::tenant::home::homeless;
use crate::tenant::readiness::{Readiness, Standing, Trouble};
use crate::tenant::status::ACTIVE;
use crate::tenant::subjects::{SUBJECT_NOT_ALLOWED, describe, enumerate, named};

/// Reason: a member has a role that does not exist.
pub const ROLE_NOT_FOUND: &str = "RoleNotFound";
/// Reason: a custom role holds a permission that the Tenant does not delegate.
pub const APPROVAL_NOT_DELEGATED: &str = "ApprovalNotDelegated";

/// The status that says where the settings stand.
#[must_use]
pub fn status(situation: Situation<'_>, plan: &SettingsPlan, readiness: &Readiness) -> TenantSettingsStatus {
    let Situation {
        object,
        tenant,
        settings,
        now,
        ..
    } = situation;
    let before = object
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    let capabilities = tenant.map(|tenant| effective(tenant.spec.capabilities.as_ref(), settings.onboarding));
    TenantSettingsStatus {
        observed_generation: object.metadata.generation.unwrap_or_default(),
        conditions: readiness.conditions(before, &object.metadata, now),
        members_by_role: match plan {
            SettingsPlan::Bind { membership, .. } => membership.counts.clone(),
            SettingsPlan::Leave | SettingsPlan::Homeless => Vec::new(),
        },
        capabilities: capabilities.unwrap_or_default(),
        usage: object.status.as_ref().and_then(|status| status.usage.clone()),
    }
}

/// Where the settings stand after a plan was carried out, or was not because of `trouble`. None where nothing is said
/// of them any more.
#[must_use]
pub fn readiness(situation: Situation<'_>, plan: &SettingsPlan, trouble: Option<&Trouble>) -> Option<Readiness> {
    match plan {
        SettingsPlan::Leave => None,
        SettingsPlan::Homeless => Some(homeless(&situation.object.metadata, situation.now)),
        SettingsPlan::Bind { membership, .. } => Some(trouble.map_or_else(|| bound(membership), Readiness::from)),
    }
}

fn bound(membership: &Membership) -> Readiness {
    if !membership.refused.is_empty() {
        let message = format!(
            "These members were left out: {}. Members are users, groups that do not begin with system:, and service \
             accounts of namespaces that the Tenant names.",
            describe(&membership.refused)
        );
        return Readiness::new(Standing::Stalled, SUBJECT_NOT_ALLOWED, message);
    }
    if !membership.roleless.is_empty() {
        let who = |(subject, role): &(Subject, String)| format!("{} with role {role:?}", named(subject));
        let message = format!(
            "These members were left out: {}. A role is Admin, Member, Viewer or one of spec.roles.",
            enumerate(membership.roleless.iter().map(who))
        );
        return Readiness::new(Standing::Stalled, ROLE_NOT_FOUND, message);
    }
    if !membership.undelegated.is_empty() {
        let which = |(role, permission): &(String, Permission)| format!("role {role:?} asks for {permission:?}");
        let message = format!(
            "Not delegated: {}. Who holds such a role holds the rest of it. Take it out of the role, or ask a platform \
             administrator to set delegateApproval in the Tenant.",
            enumerate(membership.undelegated.iter().map(which))
        );
        return Readiness::new(Standing::Stalled, APPROVAL_NOT_DELEGATED, message);
    }
    Readiness::new(Standing::Ready, ACTIVE, "The members' roles are in place.")
}
