//! Which events wake which TenantSettings.

use imagefactory_core::tenant::objects::role_bindings;
use imagefactory_crds::TenantSettings;
use imagefactory_crds::names::{TENANT_SETTINGS, tenant_namespace};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use crate::runner::Wiring;
use crate::watches::Hubs;

/// TenantSettings are woken by themselves, by their Tenant (owners, capabilities, namespaces of service accounts), by
/// their namespace, and by the bindings that follow from them.
pub(super) fn wiring(hubs: &Hubs) -> Wiring<TenantSettings> {
    Wiring::new("tenant-settings", &hubs.tenant_settings)
        .also_on(
            hubs.tenants
                .leads_to(|tenant| [settings_in(&tenant_namespace(&tenant.name_any()))]),
        )
        .also_on(
            hubs.namespaces
                .leads_to(|namespace| [settings_in(&namespace.name_any())]),
        )
        .also_on(hubs.role_bindings.leads_to(|binding| bound_settings(&binding)))
}

fn settings_in(namespace: &str) -> ObjectRef<TenantSettings> {
    ObjectRef::new(TENANT_SETTINGS).within(namespace)
}

fn bound_settings(binding: &RoleBinding) -> Option<ObjectRef<TenantSettings>> {
    let of_the_tenant = role_bindings::OF_THE_TENANT.contains(&binding.name_any().as_str());
    binding
        .namespace()
        .filter(|_| !of_the_tenant)
        .map(|namespace| settings_in(&namespace))
}
