//! What a Build takes that says nothing itself: the project's, else the tenant's, else the chart's.

use imagefactory_crds::build::{BuildInputs, Cache, Method};
use imagefactory_crds::common::BuildDefaults;
use imagefactory_crds::{Project, TenantSettings};

use super::{merge, resources};
use crate::settings::Settings;

/// Fills in every default. What has none stays empty: a stage, more retries than the platform's own budget, a policy.
pub(super) fn fill(
    said: BuildInputs,
    project: &Project,
    tenant_settings: Option<&TenantSettings>,
    settings: &Settings,
) -> BuildInputs {
    let none = BuildDefaults::default();
    let of_project = project.spec.build_defaults.as_ref().unwrap_or(&none);
    let of_tenant = tenant_settings
        .and_then(|settings| settings.spec.build_defaults.as_ref())
        .unwrap_or(&none);
    let method = said.method.unwrap_or_default();
    let of_chart = || Cache {
        mode: settings.builds.cache,
    };
    let cache = (said.cache)
        .or_else(|| has_cache(method).then(|| of_project.cache.or(of_tenant.cache).unwrap_or_else(of_chart)));
    let source = match (&said.source, &said.recipe) {
        (None, None) => project.spec.source.clone().map(Box::new),
        (_, _) => said.source,
    };
    BuildInputs {
        source,
        method: Some(method),
        cache,
        proxy: said.proxy.or_else(|| settings.builds.proxy.clone().map(Box::new)),
        placement: merge::placement(&[
            said.placement.as_deref(),
            of_project.placement.as_ref(),
            of_tenant.placement.as_ref(),
        ])
        .map(Box::new),
        resources: resources::merged(
            &[
                said.resources.as_deref(),
                of_project.resources.as_ref(),
                of_tenant.resources.as_ref(),
                Some(&settings.builds.default_resources),
            ],
            &settings.tenants.default_limits,
        )
        .map(Box::new),
        timeout: (said.timeout)
            .or_else(|| of_project.timeout.clone())
            .or_else(|| of_tenant.timeout.clone())
            .or_else(|| Some(settings.builds.default_timeout.clone())),
        priority: said.priority.or(Some(0)),
        ..said
    }
}

/// A builder of the tenant's has no cache, so no default gives it one.
fn has_cache(method: Method) -> bool {
    match method {
        Method::Kaniko | Method::Buildx | Method::Docker => true,
        Method::Custom => false,
    }
}
