//! Nothing begins in a project that the tenant has beyond its quota: no build, no scan, no request.

use imagefactory_core::project::within_quota;
use imagefactory_crds::Tenant;
use imagefactory_crds::admission::entitlement::Withheld;
use imagefactory_crds::admission::quota::Limited;

use crate::context::Context;

/// Whether the tenant may have the project of that name in that namespace. Of one that is not there nothing is said.
///
/// # Errors
/// It is one of those beyond the quota.
pub(in crate::controllers) fn within_projects_quota(
    (namespace, name): (&str, &str),
    tenant: &Tenant,
    context: &Context,
) -> Result<(), Withheld> {
    if Limited::Projects.limit(tenant).is_none() {
        return Ok(());
    }
    let projects = context.stores.projects_by_namespace.get(namespace);
    let own = projects
        .iter()
        .find(|project| project.metadata.name.as_deref() == Some(name));
    own.map_or(Ok(()), |own| {
        within_quota(own, projects.iter().map(AsRef::as_ref), tenant)
    })
}
