//! What to do about a Tenant: refuse, wait, or put its namespace right.

use imagefactory_crds::Tenant;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::RoleBinding;

use super::deletion::{Deletion, delete, is_held};
use super::home::{is_of_former_tenant, is_terminating, tenant_of};
use super::objects::{
    ca_config_map, limit_range, namespace, network_policies, resource_quota, role_bindings, service_account,
    settings as settings_object,
};
use super::observed::{Observed, Situation};
use super::step::{Object, Step, keep, put_right};
use super::subjects::{Refused, Rules, admit};

/// What to do about a Tenant.
#[derive(Clone, Debug, PartialEq)]
pub enum TenantPlan {
    /// Nothing: it is being deleted, and nothing of ours holds it.
    Leave,
    /// Take away what is left of it, in order: it is being deleted.
    Delete(Deletion),
    /// Put our finalizer on it, and look again.
    Hold(Vec<Step>),
    /// Nothing, until a person acts.
    Refuse(Refusal),
    /// Nothing yet.
    Wait(Waiting),
    /// Carry the steps out, in order.
    Converge(Convergence),
}

/// Why nothing is done until a person acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A namespace of the tenant's name exists and is not ours. It is never adopted.
    NamespaceNotOurs,
}

/// Why nothing can be done yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The tenant's namespace is going away.
    NamespaceTerminating,
    /// The namespace was made for an earlier Tenant of the same name, which did not take it along.
    NamespaceOfFormerTenant,
}

/// Steps that put a tenant's namespace right.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Convergence {
    /// The writes, in order.
    pub steps: Vec<Step>,
    /// Whether there is more to look at once these are done: without the operator's own rights in the namespace it can
    /// neither read nor write what lies there.
    pub unfinished: bool,
    /// Owners that were left out.
    pub refused_owners: Vec<Refused>,
}

/// Decides what to do. Order: namespace, the operator's own rights, then the rest.
#[must_use]
pub fn plan(situation: Situation<'_>) -> TenantPlan {
    let tenant = situation.tenant;
    match (tenant.metadata.deletion_timestamp.is_some(), is_held(tenant)) {
        (true, false) => return TenantPlan::Leave,
        (true, true) => return TenantPlan::Delete(delete(situation)),
        (false, false) => return TenantPlan::Hold(vec![Step::Hold(Box::new(tenant.clone()))]),
        (false, true) => {}
    }
    match &situation.observed.namespace {
        None => {}
        Some(found) if tenant_of(found) != Some(situation.name()) => {
            return TenantPlan::Refuse(Refusal::NamespaceNotOurs);
        }
        Some(found) if is_terminating(found) => return TenantPlan::Wait(Waiting::NamespaceTerminating),
        Some(found) if is_of_former_tenant(found, tenant) => {
            return TenantPlan::Wait(Waiting::NamespaceOfFormerTenant);
        }
        Some(_) => {}
    }
    TenantPlan::Converge(converge(situation))
}

impl TenantPlan {
    /// The writes, in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        match self {
            Self::Leave | Self::Refuse(_) | Self::Wait(_) => &[],
            Self::Hold(steps) => steps,
            Self::Delete(deletion) => &deletion.steps,
            Self::Converge(convergence) => &convergence.steps,
        }
    }
}

fn converge(situation: Situation<'_>) -> Convergence {
    let Situation {
        tenant,
        observed,
        settings,
        ..
    } = situation;
    let name = situation.name();
    let owners = admit(tenant.spec.owners.iter(), &Rules::of(tenant));
    let mut steps = namespace_steps(tenant, observed.namespace.as_ref());
    let rights = binding_steps(role_bindings::operator(name, settings), observed);
    let unfinished = !rights.is_empty();
    steps.extend(rights);
    if !unfinished {
        steps.extend(binding_steps(role_bindings::credentials(name, settings), observed));
        let owner = role_bindings::owner(name, settings, owners.allowed);
        steps.extend(keep(
            owner,
            observed.role_binding(role_bindings::OWNER),
            Object::RoleBinding,
            name,
        ));
        steps.extend(inside_steps(situation));
    }
    if !observed.has_settings {
        steps.push(Step::CreateSettings(Box::new(settings_object::tenant_settings(name))));
    }
    Convergence {
        steps,
        unfinished,
        refused_owners: owners.refused,
    }
}

fn namespace_steps(tenant: &Tenant, found: Option<&Namespace>) -> Vec<Step> {
    let mut wanted = namespace::namespace(tenant);
    let Some(found) = found else {
        return vec![Step::CreateNamespace(Box::new(wanted))];
    };
    wanted.metadata.uid.clone_from(&found.metadata.uid);
    put_right(wanted, Some(found), Object::Namespace)
}

fn binding_steps(wanted: RoleBinding, observed: &Observed) -> Vec<Step> {
    let actual = observed.role_binding(wanted.metadata.name.as_deref().unwrap_or_default());
    put_right(wanted, actual, Object::RoleBinding)
}

/// The walls first. The service account comes last: no build pod can be created without it, so none starts before the
/// walls are up.
fn inside_steps(situation: Situation<'_>) -> Vec<Step> {
    let (name, namespaces, inside) = (
        situation.name(),
        &situation.settings.tenants,
        &situation.observed.inside,
    );
    let own_quota = situation.tenant.spec.quota.as_ref();
    let quota = resource_quota::resource_quota(name, own_quota, &namespaces.default_quota);
    let limits = limit_range::limit_range(name, namespaces);
    let authorities = ca_config_map::ca_config_map(name, situation.settings.ca_bundle.as_deref());
    [
        put_right(
            network_policies::deny_ingress(name),
            inside.deny_ingress.as_ref(),
            Object::NetworkPolicy,
        ),
        put_right(
            network_policies::egress(name, &namespaces.egress),
            inside.egress.as_ref(),
            Object::NetworkPolicy,
        ),
        keep(quota, inside.resource_quota.as_ref(), Object::ResourceQuota, name),
        keep(limits, inside.limit_range.as_ref(), Object::LimitRange, name),
        keep(authorities, inside.ca_config_map.as_ref(), Object::ConfigMap, name),
        put_right(
            service_account::service_account(name),
            inside.service_account.as_ref(),
            Object::ServiceAccount,
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests;
