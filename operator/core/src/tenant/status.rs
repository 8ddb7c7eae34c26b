//! What a Tenant says of itself.
//!
//! A suspended tenant is `Ready`: its namespace is what the spec asks for, and so is that nothing new starts. The
//! reason says `Suspended`. Were it not `Ready`, whoever waits for a suspended tenant (`kubectl wait`, Flux, Helm)
//! would wait for ever.

use imagefactory_crds::TenantStatus;
use imagefactory_crds::entitlement::effective;
use imagefactory_crds::names::tenant_namespace;

use super::deletion;
use super::home::tenant_of;
use super::observed::{Situation, policy_of};
use super::plan::{Convergence, Refusal, TenantPlan, Waiting};
use super::readiness::{Readiness, Standing, Trouble, lacking};
use super::subjects::{SUBJECT_NOT_ALLOWED, describe};

/// Reason: all is in place.
pub const ACTIVE: &str = "Active";
/// Reason: all is in place, and new work waits.
pub const SUSPENDED: &str = "Suspended";
/// Reason: the namespace and what belongs in it are being made.
pub const PREPARING: &str = "Preparing";
/// Reason: a namespace of the tenant's name exists and is not ours.
pub const NAMESPACE_NOT_OURS: &str = "NamespaceNotOurs";
/// Reason: the namespace was made for an earlier Tenant of the name.
pub const NAMESPACE_OF_FORMER_TENANT: &str = "NamespaceOfFormerTenant";
/// Reason: the namespace is going away.
pub const NAMESPACE_TERMINATING: &str = "NamespaceTerminating";
/// Reason: the ImagePolicy that applies does not exist.
pub const POLICY_NOT_FOUND: &str = "PolicyNotFound";

/// The status that says where the tenant stands. What it uses stays as it was: that is counted elsewhere.
#[must_use]
pub fn status(situation: Situation<'_>, plan: &TenantPlan, readiness: &Readiness) -> TenantStatus {
    let Situation {
        tenant, settings, now, ..
    } = situation;
    let before = tenant
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    let namespace = tenant_namespace(situation.name());
    TenantStatus {
        observed_generation: tenant.metadata.generation.unwrap_or_default(),
        conditions: readiness.conditions(before, &tenant.metadata, now),
        namespace: has_namespace(situation, plan).then(|| namespace.as_str().into()),
        capabilities: effective(tenant.spec.capabilities.as_ref(), settings.onboarding),
        usage: tenant.status.as_ref().and_then(|status| status.usage.clone()),
    }
}

fn has_namespace(situation: Situation<'_>, plan: &TenantPlan) -> bool {
    let found = situation.observed.namespace.as_ref();
    match plan {
        TenantPlan::Converge(_) => true,
        TenantPlan::Delete(_) => found.is_some_and(|found| tenant_of(found) == Some(situation.name())),
        TenantPlan::Leave | TenantPlan::Hold(_) | TenantPlan::Refuse(_) | TenantPlan::Wait(_) => false,
    }
}

/// Where the tenant stands after a plan was carried out, or was not because of `trouble`. None where nothing is said of
/// it: it goes, or it is looked at again at once.
#[must_use]
pub fn readiness(situation: Situation<'_>, plan: &TenantPlan, trouble: Option<&Trouble>) -> Option<Readiness> {
    Some(match plan {
        TenantPlan::Leave | TenantPlan::Hold(_) => return None,
        TenantPlan::Delete(deletion) => match (trouble, deletion.waits) {
            (Some(trouble), _) => Readiness::from(trouble),
            (None, Some(waits)) => deletion::readiness(situation, waits),
            (None, None) => return None,
        },
        TenantPlan::Refuse(Refusal::NamespaceNotOurs) => namespace_not_ours(situation.name()),
        TenantPlan::Wait(waiting) => namespace_goes_away(situation.name(), *waiting),
        TenantPlan::Converge(convergence) => trouble.map_or_else(|| in_place(situation, convergence), Readiness::from),
    })
}

fn namespace_not_ours(name: &str) -> Readiness {
    let namespace = tenant_namespace(name);
    Readiness::new(
        Standing::Stalled,
        NAMESPACE_NOT_OURS,
        format!(
            "Namespace {namespace} exists and was not made by Image Factory, which never takes over a namespace. \
             Delete it after moving away what it holds, or delete this Tenant and make one of another name."
        ),
    )
}

fn namespace_goes_away(name: &str, waiting: Waiting) -> Readiness {
    let namespace = tenant_namespace(name);
    match waiting {
        Waiting::NamespaceTerminating => {
            let message = format!("Namespace {namespace} is being deleted; a new one is made when it is gone.");
            Readiness::new(Standing::Retrying, NAMESPACE_TERMINATING, message)
        }
        Waiting::NamespaceOfFormerTenant => {
            let message = format!(
                "Namespace {namespace} was made for an earlier Tenant of this name, which did not take it along. See \
                 that nobody needs what it holds and delete it; a new one is made when it is gone."
            );
            Readiness::new(Standing::Stalled, NAMESPACE_OF_FORMER_TENANT, message)
        }
    }
}

fn in_place(situation: Situation<'_>, convergence: &Convergence) -> Readiness {
    let Situation {
        tenant,
        observed,
        settings,
        now,
    } = situation;
    let namespace = tenant_namespace(situation.name());
    let policy = policy_of(tenant, settings);
    if convergence.unfinished {
        let message = format!("Namespace {namespace} and what belongs in it are being made.");
        return Readiness::new(Standing::InProgress, PREPARING, message);
    }
    if !convergence.refused_owners.is_empty() {
        let message = format!(
            "These owners were left out: {}. Correct spec.owners or spec.serviceAccountNamespaces.",
            describe(&convergence.refused_owners)
        );
        return Readiness::new(Standing::Stalled, SUBJECT_NOT_ALLOWED, message);
    }
    if let Some(policy) = policy.filter(|_| !observed.has_policy) {
        return lacking(
            &tenant.metadata,
            now,
            POLICY_NOT_FOUND,
            policy_not_found(situation, policy),
        );
    }
    let mut message = format!("Namespace {namespace} and all that belongs in it are in place.");
    if policy.is_none() {
        message.push_str(" No ImagePolicy applies, so nothing is published: name one in spec.policyRef.");
    }
    if tenant.spec.suspended {
        message.push_str(" New work waits until a platform administrator sets spec.suspended to false.");
        return Readiness::new(Standing::Ready, SUSPENDED, message);
    }
    Readiness::new(Standing::Ready, ACTIVE, message)
}

fn policy_not_found(situation: Situation<'_>, policy: &str) -> String {
    let own = situation.tenant.spec.policy_ref.is_some();
    let place = if own {
        "in spec.policyRef"
    } else {
        "as default in the chart's values"
    };
    format!("ImagePolicy {policy}, named {place}, does not exist, so nothing is published. Create it, or name another.")
}

#[cfg(test)]
mod tests;
