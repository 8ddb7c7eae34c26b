//! Whether a request may be made at all: capability, project, registration. What the webhook asks, asked again by the
//! operator while the request waits.

use jiff::Timestamp;

use crate::denial::{Cause, Code, Denial};
use crate::entitlement::{self, Capability, OnboardingPolicy};
use crate::sor_record::{self, NotRegistered};
use crate::{Project, SorRecord, Tenant};

/// Whether the tenant has the capability to request quarantine.
///
/// # Errors
/// The denial, in the words of product.md.
pub fn capability(tenant: &Tenant, onboarding: OnboardingPolicy) -> Result<(), Denial> {
    let capability = Capability::QuarantineRequest;
    if entitlement::tenant_may(capability, tenant.spec.capabilities.as_ref(), onboarding) {
        return Ok(());
    }
    let message = format!("{} {}", capability.message_when_off(), entitlement::REMEDIATION);
    let mut denial =
        Denial::new(Code::TenantCapabilityNotEntitled, message).because(Cause::of("Capability", capability.key()));
    if let Some(name) = tenant.metadata.name.as_deref() {
        denial = denial.because(Cause::of("Tenant", name));
    }
    denial.capability = Some(capability);
    Err(denial)
}

/// Whether something new may begin in the project.
///
/// # Errors
/// The denial.
pub fn not_archived(project: &Project) -> Result<(), Denial> {
    if !project.spec.archived {
        return Ok(());
    }
    let name = project.metadata.name.as_deref().unwrap_or_default();
    let message = format!(
        "Project {name} is archived: nothing new starts in it. Ask an owner or admin of the tenant to set spec.archived of \
         the Project to false, or name another project."
    );
    let cause = Cause {
        field: "spec.projectRef.name".to_owned(),
        ..Cause::of("Project", name)
    };
    Err(Denial::new(Code::ProjectArchived, message).because(cause))
}

/// The record that a request rests on, among all that are known or all of that id.
///
/// # Errors
/// Why it does not count, and the denial that says so.
pub fn registered<'a>(
    tenant: &str,
    id: Option<&str>,
    records: impl IntoIterator<Item = &'a SorRecord>,
    now: Timestamp,
) -> Result<&'a SorRecord, (NotRegistered, Denial)> {
    sor_record::check(tenant, id, records, now).map_err(|cause| (cause, cause.denial(tenant, id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::Capabilities;
    use crate::{ProjectSpec, TenantSpec};

    fn tenant(on: Option<bool>) -> Tenant {
        let capabilities = Capabilities {
            quarantine_request: on,
            ..Capabilities::default()
        };
        Tenant::new(
            "acme",
            TenantSpec {
                capabilities: Some(capabilities),
                ..TenantSpec::default()
            },
        )
    }

    #[test]
    fn without_the_capability_the_denial_has_the_words_of_the_contract() {
        let onboarding = OnboardingPolicy { build: true };
        assert_eq!(capability(&tenant(Some(true)), onboarding), Ok(()));
        for off in [None, Some(false)] {
            let denial = capability(&tenant(off), onboarding).unwrap_err();
            assert_eq!(denial.code, Code::TenantCapabilityNotEntitled);
            assert_eq!(
                denial.message,
                "Quarantine request is not enabled for this tenant. Contact your administrator to request access."
            );
            assert_eq!(denial.capability, Some(Capability::QuarantineRequest));
        }
    }

    #[test]
    fn nothing_new_starts_in_an_archived_project() {
        let project = |archived| {
            Project::new(
                "web",
                ProjectSpec {
                    archived,
                    ..ProjectSpec::default()
                },
            )
        };
        assert_eq!(not_archived(&project(false)), Ok(()));
        let denial = not_archived(&project(true)).unwrap_err();
        assert_eq!(denial.code, Code::ProjectArchived);
        assert!(denial.message.contains("web"), "{}", denial.message);
    }
}
