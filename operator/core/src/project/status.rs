//! What a Project says of itself.
//!
//! An archived project is `Ready`: that nothing new starts is what its spec asks for. The reason says `Archived`. One beyond
//! the tenant's quota is not: it says the code that the door would have refused it with.

use imagefactory_crds::admission::entitlement::Withheld;
use imagefactory_crds::{Project, ProjectStatus};
use jiff::Timestamp;

use super::counts::Counted;
use crate::tenant::home::homeless;
use crate::tenant::readiness::{Readiness, Standing, lacking};
use crate::tenant::status::{ACTIVE, POLICY_NOT_FOUND};

/// Reason: nothing new starts in the project.
pub const ARCHIVED: &str = "Archived";

/// Everything that a Project's status is made from.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The Project.
    pub project: &'a Project,
    /// Whether it lies in the namespace of a Tenant.
    pub has_tenant: bool,
    /// Whether its namespace is going away, and everything in it.
    pub is_leaving: bool,
    /// Whether the ImagePolicy exists that it names, if it names one.
    pub has_policy: bool,
    /// Why the tenant may not have it, if it has as many before it as it may have.
    pub over_quota: Option<&'a Withheld>,
    /// Its builds, where it is time to count them.
    pub counted: Option<&'a Counted>,
    /// The time.
    pub now: Timestamp,
}

/// The status that says where the project stands. Counts stay as they are until it is time for new ones; conditions
/// do not wait for that.
#[must_use]
pub fn status(situation: Situation<'_>, readiness: &Readiness) -> ProjectStatus {
    let Situation {
        project,
        has_tenant,
        counted,
        now,
        ..
    } = situation;
    let old = project.status.clone().unwrap_or_default();
    let (builds, last_build) = match counted {
        _ if !has_tenant => (None, None),
        Some(counted) => (Some(counted.builds), counted.last_build.clone()),
        None => (old.builds, old.last_build),
    };
    ProjectStatus {
        observed_generation: project.metadata.generation.unwrap_or_default(),
        conditions: readiness.conditions(&old.conditions, &project.metadata, now),
        builds,
        last_build,
    }
}

/// Where the project stands. None for one that is being deleted, alone or with its namespace: nothing is said of it any more.
#[must_use]
pub fn readiness(situation: Situation<'_>) -> Option<Readiness> {
    let Situation {
        project,
        has_tenant,
        has_policy,
        now,
        ..
    } = situation;
    if situation.is_leaving || project.metadata.deletion_timestamp.is_some() {
        return None;
    }
    if !has_tenant {
        return Some(homeless(&project.metadata, now));
    }
    if let Some(Withheld {
        code,
        message,
        remediation,
        ..
    }) = situation.over_quota
    {
        let message = format!("{message} {remediation} Nothing is built in this project meanwhile.");
        return Some(lacking(&project.metadata, now, code.as_str(), message));
    }
    if project.spec.archived {
        let message = "The project is archived: nothing new starts, and everything that exists is kept.";
        return Some(Readiness::new(Standing::Ready, ARCHIVED, message));
    }
    Some(match project.spec.policy_ref.as_ref().filter(|_| !has_policy) {
        Some(policy) => {
            let name = &policy.name;
            let message = format!(
                "ImagePolicy {name}, named in spec.policyRef, does not exist, so nothing is published. Name one that \
                 does, or ask a platform administrator to create it."
            );
            lacking(&project.metadata, now, POLICY_NOT_FOUND, message)
        }
        None => Readiness::new(Standing::Ready, ACTIVE, "Builds can start."),
    })
}
