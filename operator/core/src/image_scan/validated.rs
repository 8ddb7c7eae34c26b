//! From the raw spec and what it refers to, to a scan that can be planned, or to the reason why not.
//!
//! The same function runs before a job exists and at every look while one runs, so that an entitlement that was withdrawn
//! meanwhile is seen. What the webhook asks at the door is asked here by the very same functions.

use std::sync::Arc;

use imagefactory_crds::admission::entitlement;
use imagefactory_crds::build::FailureClass;
use imagefactory_crds::entitlement::Capability;
use imagefactory_crds::image_scan::place::scannable;
use imagefactory_crds::image_scan::{Placed, PlatformPrefixes};
use imagefactory_crds::{ImageScan, Project, Tenant};
use jiff::SignedDuration;

use super::Identity;
use crate::build::Refusal;
use crate::build::validated::{Leaving, choose_policies, leaving, not_in_place, parse_duration};
use crate::dispatch::{self, TenantLimits};
use crate::policy::Policies;
use crate::settings::Settings;
use crate::step::AppliedPolicy;

/// The objects that an ImageScan refers to, as they were found.
#[derive(Clone, Copy, Debug)]
pub struct References<'a> {
    /// Tenant of the namespace.
    pub tenant: Option<&'a Tenant>,
    /// Project that the scan names.
    pub project: Option<&'a Project>,
    /// Every ImagePolicy by name.
    pub policies: &'a Policies,
    /// The namespace is going away, and everything in it.
    pub is_leaving: bool,
}

/// A scan that can be planned.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    /// Who it is.
    pub identity: Identity,
    /// The image, and with which credential it is read.
    pub placed: Placed,
    /// Its digest: the one that was found once, else the one that is named. None where the tag is yet to be resolved.
    pub digest: Option<String>,
    /// Policies that apply; all must pass.
    pub policies: Vec<Arc<AppliedPolicy>>,
    /// Longest run, less what earlier attempts took.
    pub timeout: SignedDuration,
    /// What goes away, if something does.
    pub leaving: Option<Leaving>,
    /// New work of the tenant waits.
    pub suspended: bool,
    /// Nothing new starts in the project; what runs finishes.
    pub archived: bool,
    /// Why the tenant's namespace is not in place, as the Tenant says it; none where it is.
    pub not_ready: Option<String>,
    /// What the tenant may run at a time.
    pub limits: TenantLimits,
}

/// Checks an ImageScan against everything that it refers to.
///
/// # Errors
/// The first reason why it can't be carried out, entitlement before everything that the tenant could mend itself.
pub fn validate(scan: &ImageScan, references: References<'_>, settings: &Settings) -> Result<Validated, Refusal> {
    let (identity, tenant) = find_tenant(scan, references)?;
    let project = find_project(&identity, references)?;
    entitlement::may(
        Capability::OnDemandImageScanning,
        Some(tenant),
        Some(project),
        settings.onboarding,
    )
    .map_err(|withheld| Refusal::withheld(&withheld))?;
    let placed = scannable(&scan.spec, tenant, &platform(settings)).map_err(|withheld| Refusal::withheld(&withheld))?;
    let status = scan.status.as_ref();
    let recorded = status.and_then(|status| status.digest.as_ref());
    Ok(Validated {
        digest: recorded
            .map(|digest| digest.0.clone())
            .or_else(|| placed.image.digest.clone()),
        placed,
        policies: choose_policies(
            scan.spec.policy_ref.as_ref(),
            project,
            tenant,
            references.policies,
            settings,
        )?,
        timeout: timeout(scan, settings)?,
        leaving: leaving(tenant, references.is_leaving),
        suspended: entitlement::not_suspended(tenant).is_err(),
        archived: entitlement::not_archived(project).is_err(),
        not_ready: not_in_place(tenant),
        limits: dispatch::limits(tenant, settings),
        identity,
    })
}

/// The platform's registries, as the rules want them.
fn platform(settings: &Settings) -> PlatformPrefixes {
    PlatformPrefixes {
        staging: settings.staging.prefix.clone(),
        output: settings.output.prefix.clone(),
    }
}

fn timeout(scan: &ImageScan, settings: &Settings) -> Result<SignedDuration, Refusal> {
    let whole = scan.spec.timeout.as_ref().unwrap_or(&settings.builds.default_timeout);
    let used = scan.status.as_ref().and_then(|status| status.used_seconds);
    let used = SignedDuration::from_secs(used.unwrap_or_default().into());
    let left = parse_duration(whole)?.saturating_sub(used);
    Ok(left.max(SignedDuration::from_secs(1)))
}

fn find_tenant<'a>(scan: &ImageScan, references: References<'a>) -> Result<(Identity, &'a Tenant), Refusal> {
    Identity::of(scan).zip(references.tenant).ok_or_else(|| {
        Refusal::not_found(
            "TenantNotFound",
            format!(
                "Namespace {} belongs to no tenant.",
                scan.metadata.namespace.as_deref().unwrap_or_default()
            ),
            "Create the ImageScan in the namespace of a tenant, tenant-<name>.",
        )
    })
}

fn find_project<'a>(identity: &Identity, references: References<'a>) -> Result<&'a Project, Refusal> {
    references.project.ok_or_else(|| Refusal {
        class: Some(FailureClass::Source),
        ..Refusal::not_found(
            "ProjectNotFound",
            format!(
                "Project {} does not exist in namespace {}.",
                identity.project, identity.namespace
            ),
            "Create the Project, or name another in spec.projectRef of a new ImageScan.",
        )
    })
}
