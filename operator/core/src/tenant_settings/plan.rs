//! What to do about TenantSettings: bind who holds a role, and unbind who does not any more.

use std::collections::BTreeSet;

use imagefactory_crds::names::TENANT_SETTINGS;
use imagefactory_crds::{Tenant, TenantSettings};
use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::RoleBinding;

use super::membership::{Membership, membership};
use crate::settings::Settings;
use crate::tenant::objects::is_ours;
use crate::tenant::objects::role_bindings::{self, MemberRole};
use crate::tenant::step::{Object, Step, keep};

/// Everything that a decision about TenantSettings is made from.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The TenantSettings.
    pub object: &'a TenantSettings,
    /// The Tenant whose namespace they lie in; none where the namespace is not a tenant's.
    pub tenant: Option<&'a Tenant>,
    /// Whether the namespace is going away, and everything in it.
    pub is_leaving: bool,
    /// Role bindings of the namespace that carry our labels.
    pub role_bindings: &'a [RoleBinding],
    /// What the platform decided.
    pub settings: &'a Settings,
    /// The time.
    pub now: Timestamp,
}

/// What to do about TenantSettings.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingsPlan {
    /// Nothing: they, their Tenant or their namespace are being deleted, or they are not the ones that count.
    Leave,
    /// Nothing: the namespace is not a tenant's, and nobody is given a role in it.
    Homeless,
    /// Carry the steps out, in order.
    Bind {
        /// The writes.
        steps: Vec<Step>,
        /// What they follow from.
        membership: Membership,
    },
}

/// Decides what to do.
#[must_use]
pub fn plan(situation: Situation<'_>) -> SettingsPlan {
    let Situation { object, tenant, .. } = situation;
    if situation.is_leaving {
        return SettingsPlan::Leave;
    }
    let Some(tenant) = tenant else {
        return SettingsPlan::Homeless;
    };
    // The schema admits one name. Two objects of this kind would take each other's bindings away.
    let counts = object.metadata.name.as_deref() == Some(TENANT_SETTINGS);
    if !counts || object.metadata.deletion_timestamp.is_some() || tenant.metadata.deletion_timestamp.is_some() {
        return SettingsPlan::Leave;
    }
    let membership = membership(&object.spec, tenant);
    SettingsPlan::Bind {
        steps: steps(situation, tenant, &membership),
        membership,
    }
}

fn steps(situation: Situation<'_>, tenant: &Tenant, membership: &Membership) -> Vec<Step> {
    let name = tenant.metadata.name.as_deref().unwrap_or_default();
    let found = |wanted: &str| {
        situation
            .role_bindings
            .iter()
            .find(|binding| binding.metadata.name.as_deref() == Some(wanted))
    };
    let mut ours: BTreeSet<String> = role_bindings::OF_THE_TENANT.map(str::to_owned).into();
    let mut steps = Vec::new();
    for role in MemberRole::all() {
        let binding_name = role.binding_name();
        let subjects = membership.holders.get(&role).cloned().unwrap_or_default();
        let wanted = role_bindings::member(name, situation.settings, role, subjects);
        steps.extend(keep(wanted, found(&binding_name), Object::RoleBinding, name));
        ours.insert(binding_name);
    }
    let left_over = situation.role_bindings.iter().filter(|binding| {
        is_ours(&binding.metadata, name) && !ours.contains(binding.metadata.name.as_deref().unwrap_or_default())
    });
    steps.extend(left_over.map(|binding| Step::Delete(Box::new(Object::RoleBinding(binding.clone())))));
    steps
}
