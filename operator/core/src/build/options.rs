//! What a build may be given beside its source: what its method honours, where it may pull from, where it may run.
//!
//! A part of [`validate`](super::validated::validate); the Tenant and the platform's settings decide.

use imagefactory_crds::build::support::{CODE_NOT_SUPPORTED, first_unsupported};
use imagefactory_crds::build::{CacheMode, FailureClass, Method, Placement};
use imagefactory_crds::{Build, Project, Tenant, TenantSettings};

use super::validated::Refusal;
use crate::reference::lies_under;
use crate::settings::Settings;

/// Refuses a field that the method can't honour.
pub(super) fn check_method(build: &Build, method: Method) -> Result<(), Refusal> {
    match first_unsupported(&build.spec, method) {
        None => Ok(()),
        Some(unsupported) => Err(Refusal::denial(
            CODE_NOT_SUPPORTED,
            &unsupported.message(method),
            "Leave the field out, or choose another method, in a new Build.",
        )),
    }
}

/// Prefixes that everything the build pulls must lie under: what the platform allows to all, what the Tenant lists, and
/// what the tenant has published with the platform's credential.
pub(super) fn pull_prefixes(tenant: &Tenant, tenant_name: &str, settings: &Settings) -> Vec<String> {
    let platform = settings.builds.pull_prefixes.iter().cloned();
    let listed = tenant.spec.registries.iter().map(|prefix| prefix.0.clone());
    let own = std::iter::once(format!("{}/{tenant_name}", settings.output.prefix));
    platform.chain(listed).chain(own).collect()
}

/// Refuses what the spec itself names to be pulled from outside the prefixes; what a Dockerfile names, `prepare` checks.
pub(super) fn check_pulls(build: &Build, prefixes: &[String], settings: &Settings) -> Result<(), Refusal> {
    let spec = &build.spec;
    let oci = spec.source.as_ref().and_then(|source| source.oci.as_ref());
    let named = (spec.custom.iter().map(|custom| custom.image.as_str()))
        .chain(oci.map(|oci| oci.image.as_str()))
        .chain(spec.registry_mirrors.iter().map(|mirror| mirror.mirror.as_str()));
    for reference in named {
        let repository = reference.split('@').next().unwrap_or_default();
        let allowed = prefixes
            .iter()
            .any(|prefix| lies_under(without_tag(repository), prefix));
        if !allowed || lies_under(without_tag(repository), &settings.staging.prefix) {
            return Err(Refusal::failure(
                FailureClass::Source,
                "RegistryNotAllowed",
                format!(
                    "The tenant may not pull {reference}. It may pull what lies under {}.",
                    prefixes.join(", ")
                ),
                "Name an image under one of these prefixes in a new Build, or ask a platform administrator to list the registry in the Tenant.",
            ));
        }
    }
    Ok(())
}

fn without_tag(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

/// The build's own placement, field by field before the project's and the tenant's defaults; refused unless the
/// platform or the Tenant allows every part of it.
pub(super) fn choose_placement(
    build: &Build,
    project: &Project,
    tenant_settings: Option<&TenantSettings>,
    tenant: &Tenant,
    settings: &Settings,
) -> Result<Placement, Refusal> {
    let of_project = project
        .spec
        .build_defaults
        .as_ref()
        .and_then(|defaults| defaults.placement.as_ref());
    let of_tenant = tenant_settings
        .and_then(|settings| settings.spec.build_defaults.as_ref())
        .and_then(|defaults| defaults.placement.as_ref());
    let merged = [build.spec.placement.as_ref(), of_project, of_tenant]
        .into_iter()
        .flatten()
        .fold(Placement::default(), |merged, next| merged.or(next));
    let mut allowed = vec![&settings.builds.placement];
    allowed.extend(tenant.spec.placement.as_ref());
    match merged.first_not_allowed(&allowed) {
        None => Ok(merged),
        Some((field, value)) => Err(Refusal::failure(
            FailureClass::Source,
            "PlacementNotAllowed",
            format!("placement.{field} {value} is not allowed in this tenant."),
            "Leave it out in a new Build, or ask a platform administrator to allow it in the Tenant.",
        )),
    }
}

/// Whether the project's cache is used. A method that has none never does.
pub(super) fn choose_cache(
    build: &Build,
    project: &Project,
    tenant_settings: Option<&TenantSettings>,
    method: Method,
    settings: &Settings,
) -> CacheMode {
    let of_project = project.spec.build_defaults.as_ref().and_then(|defaults| defaults.cache);
    let of_tenant = tenant_settings
        .and_then(|settings| settings.spec.build_defaults.as_ref())
        .and_then(|defaults| defaults.cache);
    match method {
        Method::Custom => CacheMode::Off,
        Method::Kaniko | Method::Buildx | Method::Docker => {
            (build.spec.cache.or(of_project).or(of_tenant)).map_or(settings.builds.cache, |cache| cache.mode)
        }
    }
}
