//! The one entry: which rules a write is held to.

use super::{Decision, Request, Subject, World, Write};
use crate::denial::{Cause, Code, Denial};
use crate::entitlement::{self, Capability};

/// Decides about one write. Pure: the same request in the same world has the same answer.
#[must_use]
pub fn decide(request: &Request, world: &World<'_>) -> Decision {
    let denial = match &request.subject {
        Subject::Build(Write::Create(_)) => capability(Capability::Build, world).err(),
        _ => None,
    };
    Decision {
        denial,
        ..Decision::default()
    }
}

/// Whether tenant and project have a capability.
///
/// # Errors
/// The denial, in the words of product.md.
pub fn capability(capability: Capability, world: &World<'_>) -> Result<(), Denial> {
    let tenant = world.tenant;
    let written = tenant.and_then(|tenant| tenant.spec.capabilities.as_ref());
    if tenant.is_some() && entitlement::tenant_may(capability, written, world.onboarding) {
        return Ok(());
    }
    let message = format!("{} {}", capability.message_when_off(), entitlement::REMEDIATION);
    let mut denial =
        Denial::new(Code::TenantCapabilityNotEntitled, message).because(Cause::of("Capability", capability.key()));
    if let Some(name) = tenant.and_then(|tenant| tenant.metadata.name.as_deref()) {
        denial = denial.because(Cause::of("Tenant", name));
    }
    denial.capability = Some(capability);
    Err(denial)
}
