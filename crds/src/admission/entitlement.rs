//! What a tenant and its project may at all, whoever asks. The webhook asks here at the door, and the operator asks the
//! very same functions again before a pod exists and before an image is published.

use jiff::Timestamp;

use crate::build::{AllowedPlacement, NamedSecret, Placement};
use crate::denial::{Cause, Code, Denial};
use crate::entitlement::{Capability, OnboardingPolicy, REMEDIATION, project_leaves, tenant_may};
use crate::sor_record::{self, NotRegistered};
use crate::{Project, SorRecord, Tenant};

use super::standing::brief;

/// Something that is not given, with what to do about it apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// Code of the denial.
    pub code: Code,
    /// What is withheld.
    pub message: String,
    /// What to do about it.
    pub remediation: &'static str,
    /// What it is about.
    pub causes: Vec<Cause>,
    /// The capability that is off.
    pub capability: Option<Capability>,
}

impl From<Withheld> for Denial {
    fn from(withheld: Withheld) -> Self {
        let message = format!("{} {}", withheld.message, withheld.remediation);
        Self {
            causes: withheld.causes,
            capability: withheld.capability,
            ..Self::new(withheld.code, message)
        }
    }
}

/// Whether builds are on for the tenant and the project. No tenant has no capability; a project that is not known yet
/// takes nothing away.
///
/// # Errors
/// What is off, for whom.
pub fn may_build(
    tenant: Option<&Tenant>,
    project: Option<&Project>,
    onboarding: OnboardingPolicy,
) -> Result<(), Withheld> {
    may(Capability::Build, tenant, project, onboarding)
}

/// Whether a capability is on for the tenant and the project.
///
/// # Errors
/// What is off, for whom.
pub fn may(
    capability: Capability,
    tenant: Option<&Tenant>,
    project: Option<&Project>,
    onboarding: OnboardingPolicy,
) -> Result<(), Withheld> {
    let written = tenant.and_then(|tenant| tenant.spec.capabilities.as_ref());
    let of_tenant = tenant.is_some() && tenant_may(capability, written, onboarding);
    let of_project = project.is_none_or(|project| project_leaves(capability, project.spec.capabilities.as_ref()));
    let mut causes = vec![Cause::of("Capability", capability.key())];
    causes.extend(name_of(tenant).map(|name| Cause::of("Tenant", brief(name))));
    let (message, remediation) = match (of_tenant, of_project) {
        (true, true) => return Ok(()),
        (false, _) => (capability.message_when_off(), REMEDIATION),
        (true, false) => {
            causes.extend(name_of(project).map(|name| Cause::of("Project", brief(name))));
            off_for_project(capability)
        }
    };
    Err(Withheld {
        code: Code::TenantCapabilityNotEntitled,
        message: message.to_owned(),
        remediation,
        causes,
        capability: Some(capability),
    })
}

fn off_for_project(capability: Capability) -> (&'static str, &'static str) {
    let message = match capability {
        Capability::Build => "Image build is turned off for this project.",
        Capability::QuarantineRequest => "Quarantine request is turned off for this project.",
        Capability::OnDemandImageScanning => "On-demand image scanning is turned off for this project.",
        Capability::QuarantineRelease => "Quarantine release is turned off for this project.",
    };
    (
        message,
        "Ask an owner or admin of the tenant to turn it on in the Project's spec.capabilities.",
    )
}

/// Whether the tenant takes new work. What is queued waits while it does not, and what runs finishes.
///
/// # Errors
/// That it is suspended, and who can lift it.
pub fn not_suspended(tenant: &Tenant) -> Result<(), Withheld> {
    if !tenant.spec.suspended {
        return Ok(());
    }
    let name = brief(name_of(Some(tenant)).unwrap_or_default());
    Err(Withheld {
        code: Code::TenantSuspended,
        message: format!("Tenant {name} is suspended: no new work is taken on."),
        remediation: "A platform administrator can lift it, with spec.suspended of the Tenant; contact yours.",
        causes: vec![Cause::of("Tenant", name)],
        capability: None,
    })
}

/// Whether the project takes new work.
///
/// # Errors
/// That it is archived, and what to do.
pub fn not_archived(project: &Project) -> Result<(), Withheld> {
    if project.spec.archived {
        Err(archived(name_of(Some(project)).unwrap_or_default()))
    } else {
        Ok(())
    }
}

/// A project of that name is archived: nothing new starts in it.
#[must_use]
pub fn archived(project: &str) -> Withheld {
    let name = brief(project);
    Withheld {
        code: Code::ProjectArchived,
        message: format!("Project {name} is archived; nothing new starts in it."),
        remediation: "Ask an owner or admin of the tenant to set spec.archived of the Project to false, or name another project.",
        causes: vec![Cause {
            field: "spec.projectRef.name".to_owned(),
            ..Cause::of("Project", name)
        }],
        capability: None,
    }
}

/// The record that a quarantine request rests on, among all that are known or all of that id.
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

/// Whether builds of the tenant may run where a Build asks to: what the chart's values allow to all, and what the Tenant
/// allows to its own. Without a Tenant there is nothing but the former.
///
/// # Errors
/// The first part that is not allowed.
pub fn may_run_at(wanted: &Placement, tenant: Option<&Tenant>, platform: &AllowedPlacement) -> Result<(), Withheld> {
    let mut allowed = vec![platform];
    allowed.extend(tenant.and_then(|tenant| tenant.spec.placement.as_ref()));
    let Some((field, value)) = wanted.first_not_allowed(&allowed) else {
        return Ok(());
    };
    let path = format!("spec.placement.{field}");
    let name = brief(name_of(tenant).unwrap_or_default());
    Err(Withheld {
        code: Code::InvalidObject,
        message: format!("{path} {} is not allowed in tenant {name}.", brief(&value)),
        remediation: "Leave it out, or ask a platform administrator to allow it in the Tenant.",
        causes: vec![Cause::field(path, "is not allowed")],
        capability: None,
    })
}

/// Whether what a tenant writes may refer to these Secrets. Those that the product's own images are pulled with lie beside the
/// tenant's, and what names one hands it to tenant code.
///
/// # Errors
/// The first field that names one of the platform's.
pub fn may_name(named: &[NamedSecret<'_>], platform: &[String]) -> Result<(), Withheld> {
    let is_platforms = |secret: &&NamedSecret<'_>| platform.iter().any(|own| own == secret.name);
    let Some(NamedSecret { field, name }) = named.iter().find(is_platforms) else {
        return Ok(());
    };
    Err(Withheld {
        code: Code::InvalidObject,
        message: format!(
            "{field} names {}, which is reserved for the factory: it pulls the product's own images.",
            brief(name)
        ),
        remediation: "Refer to a Secret of your own.",
        causes: vec![Cause::field(field.clone(), "is reserved for the factory")],
        capability: None,
    })
}

pub(super) fn name_of<K: kube_core::Resource>(object: Option<&K>) -> Option<&str> {
    object.and_then(|object| object.meta().name.as_deref())
}
