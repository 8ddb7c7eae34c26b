//! Whether a project is one of those that its tenant may have. The door refuses what is created beyond the limit; two that
//! come at once, and what comes while nobody stands at the door, are found here.

use imagefactory_crds::admission::entitlement::Withheld;
use imagefactory_crds::admission::quota::{Limited, one_more};
use imagefactory_crds::{Project, Tenant};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Refuses a project that has as many of its tenant's before it as the tenant may have: those that were created earlier, and
/// of those of the same second the first by name. So one that is deleted makes room for the next, and no other moves.
///
/// # Errors
/// The limit, and how many there are before it.
pub fn within_quota<'a>(
    project: &Project,
    all: impl IntoIterator<Item = &'a Project>,
    tenant: &Tenant,
) -> Result<(), Withheld> {
    let place = place(project);
    let before = all.into_iter().filter(|other| self::place(other) < place).count();
    one_more(Limited::Projects, tenant, u64::try_from(before).unwrap_or(u64::MAX))
}

fn place(project: &Project) -> (Option<&Time>, Option<&str>) {
    let metadata = &project.metadata;
    (metadata.creation_timestamp.as_ref(), metadata.name.as_deref())
}
