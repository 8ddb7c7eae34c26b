//! Which events wake which tenants.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use imagefactory_core::settings::Settings;
use imagefactory_core::tenant::objects::role_bindings;
use imagefactory_core::tenant::observed::policy_of;
use imagefactory_core::tenant::status::POLICY_NOT_FOUND;
use imagefactory_crds::conditions::{READY, find};
use imagefactory_crds::names::{LABEL_TENANT, tenant_of_namespace};
use imagefactory_crds::{ImagePolicy, Tenant, TenantSettings, TenantStatus};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::runner::Wiring;
use crate::watches::{Hubs, News};

/// A tenant is woken by itself, by its namespace, by the bindings that follow from it, by settings that are gone, and
/// by an ImagePolicy that came or went.
pub(super) fn wiring(hubs: &Hubs, settings: &Arc<Settings>) -> Wiring<Tenant> {
    let (settings, tenants) = (settings.clone(), hubs.tenants.store());
    let (policies, tenant_settings) = (hubs.policies.store(), hubs.tenant_settings.store());
    let news = News::of(hubs.tenants.store(), digest);
    Wiring::new("tenant", &hubs.tenants)
        .only(move |tenant| news.is_news(tenant))
        .also_on(
            hubs.namespaces
                .leads_to(|namespace| tenant_of_namespace(&namespace.name_any()).map(ObjectRef::new)),
        )
        .also_on(hubs.role_bindings.leads_to(|binding| bound_tenant(&binding)))
        .also_on(
            hubs.tenant_settings
                .leads_to(move |touched| robbed_tenant(&touched, &tenant_settings)),
        )
        .also_on(hubs.policies.leads_to(move |policy| {
            let exists = policies.get(&ObjectRef::from_obj(&*policy)).is_some();
            tenants_to_tell(&policy, exists, &tenants, &settings)
        }))
}

/// Everything that anybody decides by of a Tenant: what it uses is told, and nothing follows from it.
pub(crate) fn digest(tenant: &Tenant) -> u64 {
    let metadata = &tenant.metadata;
    let status = tenant
        .status
        .clone()
        .map(|status| TenantStatus { usage: None, ..status });
    let read = (
        metadata.generation,
        metadata.deletion_timestamp.is_some(),
        &metadata.finalizers,
        status,
    );
    let mut hasher = DefaultHasher::new();
    serde_json::to_string(&read).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

fn bound_tenant(binding: &RoleBinding) -> Option<ObjectRef<Tenant>> {
    let follows = role_bindings::OF_THE_TENANT.contains(&binding.name_any().as_str());
    binding
        .labels()
        .get(LABEL_TENANT)
        .filter(|_| follows)
        .map(|tenant| ObjectRef::new(tenant))
}

/// The tenant whose settings are gone: it gets new ones.
fn robbed_tenant(touched: &TenantSettings, store: &Store<TenantSettings>) -> Option<ObjectRef<Tenant>> {
    if store.get(&ObjectRef::from_obj(touched)).is_some() {
        return None;
    }
    tenant_of_namespace(&touched.namespace()?).map(ObjectRef::new)
}

/// Tenants that the policy applies to and that say otherwise than `exists`.
fn tenants_to_tell(
    policy: &ImagePolicy,
    exists: bool,
    tenants: &Store<Tenant>,
    settings: &Settings,
) -> Vec<ObjectRef<Tenant>> {
    let name = policy.name_any();
    let misses_it = |tenant: &Tenant| {
        let ready = tenant
            .status
            .as_ref()
            .and_then(|status| find(&status.conditions, READY));
        ready.is_some_and(|ready| ready.reason == POLICY_NOT_FOUND)
    };
    let concerned = |tenant: &Tenant| policy_of(tenant, settings) == Some(&name) && misses_it(tenant) == exists;
    tenants
        .state()
        .iter()
        .filter(|tenant| concerned(tenant))
        .map(|tenant| ObjectRef::from_obj(&**tenant))
        .collect()
}
