//! Quotas of count and rate: what a tenant may have, and how much it has. Caps on concurrency are no denials: what is beyond
//! them waits in the queue.
//!
//! At the door the use is what the Tenant's status says, which is some seconds old. The operator counts for itself and
//! fails what came in beyond the limit meanwhile, by the same functions.

use crate::Tenant;
use crate::denial::{Cause, Code};
use crate::usage::Usage;

use super::entitlement::{Withheld, name_of};
use super::standing::brief;

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limited {
    /// Projects that exist.
    Projects,
    /// Builds that exist.
    Builds,
    /// Builds created within an hour.
    BuildsPerHour,
    /// QuarantineRequests that have not come to their end.
    OpenQuarantineRequests,
}

impl Limited {
    /// The field of `spec.quota`.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::Projects => "projects",
            Self::Builds => "builds",
            Self::BuildsPerHour => "buildsPerHour",
            Self::OpenQuarantineRequests => "openQuarantineRequests",
        }
    }

    /// The limit that a Tenant sets.
    #[must_use]
    pub fn limit(self, tenant: &Tenant) -> Option<u32> {
        let quota = tenant.spec.quota.as_ref()?;
        match self {
            Self::Projects => quota.projects,
            Self::Builds => quota.builds,
            Self::BuildsPerHour => quota.builds_per_hour,
            Self::OpenQuarantineRequests => quota.open_quarantine_requests,
        }
    }

    /// The use that a Tenant's status tells.
    fn told(self, usage: &Usage) -> Option<u32> {
        match self {
            Self::Projects => Some(usage.projects),
            Self::Builds => Some(usage.builds.total),
            Self::BuildsPerHour => usage.builds_last_hour,
            Self::OpenQuarantineRequests => usage.open_quarantine_requests,
        }
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Projects => (
                "projects",
                "Delete one that is not needed any more, or ask a platform administrator for a higher spec.quota.projects of the Tenant.",
            ),
            Self::Builds => (
                "builds, those that have ended included,",
                "Delete some that have ended, set spec.retention of the Project, or ask a platform administrator for a higher spec.quota.builds of the Tenant.",
            ),
            Self::BuildsPerHour => (
                "builds within 60 minutes",
                "Create it again later, or ask a platform administrator for a higher spec.quota.buildsPerHour of the Tenant.",
            ),
            Self::OpenQuarantineRequests => (
                "quarantine requests open at a time",
                "Withdraw one, wait until one is decided, or ask a platform administrator for a higher spec.quota.openQuarantineRequests of the Tenant.",
            ),
        }
    }
}

/// Whether the tenant may have one more beside those that it has.
///
/// # Errors
/// The limit and the use.
pub fn one_more(what: Limited, tenant: &Tenant, used: u64) -> Result<(), Withheld> {
    let Some(limit) = what.limit(tenant).filter(|limit| used >= u64::from(*limit)) else {
        return Ok(());
    };
    let name = brief(name_of(Some(tenant)).unwrap_or_default());
    let (things, remediation) = what.words();
    Err(Withheld {
        code: Code::QuotaExceeded,
        message: format!("Tenant {name} may have {limit} {things} and has {used}."),
        remediation,
        causes: vec![Cause::of("Tenant", name), Cause::of("Quota", what.field())],
        capability: None,
    })
}

/// The same by what the Tenant's status tells of its use. What is not told yet is not refused for: the operator counts.
///
/// # Errors
/// The limit and the use.
pub fn one_more_as_told(what: Limited, tenant: &Tenant) -> Result<(), Withheld> {
    let usage = tenant.status.as_ref().and_then(|status| status.usage.as_ref());
    match usage.and_then(|usage| what.told(usage)) {
        Some(used) => one_more(what, tenant, used.into()),
        None if what.limit(tenant) == Some(0) => one_more(what, tenant, 0),
        None => Ok(()),
    }
}
