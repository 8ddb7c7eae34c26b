//! All reads of the tenant controller.
//!
//! Namespaces and role bindings are watched. What else a tenant's namespace holds is read by name at each look: to
//! watch it the operator would need to read those kinds in every namespace of the cluster.

use std::fmt::Debug;

use imagefactory_core::tenant::deletion::{Remains, is_held};
use imagefactory_core::tenant::home::{is_terminating, tenant_of};
use imagefactory_core::tenant::objects::{
    ca_config_map, limit_range, network_policies, resource_quota, role_bindings, service_account,
};
use imagefactory_core::tenant::observed::{Inside, Observed, policy_of};
use imagefactory_crds::Tenant;
use imagefactory_crds::names::{TENANT_SETTINGS, tenant_namespace};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::{TenantError, remains};
use crate::context::Context;

/// What is there of a tenant. None while the API server does not know yet that the operator may look.
pub(super) async fn observe(tenant: &Tenant, context: &Context) -> Result<Option<Observed>, TenantError> {
    match (tenant.metadata.deletion_timestamp.is_some(), is_held(tenant)) {
        (true, true) => return remains::observe(tenant, context).await.map(Some),
        (_, false) => return Ok(Some(Observed::default())),
        (false, true) => {}
    }
    let mut observed = outside(tenant, context).await?;
    if !may_look_inside(tenant, &observed) {
        return Ok(Some(observed));
    }
    match inside(&tenant_namespace(&tenant.name_any()), context).await {
        Ok(inside) => observed.inside = inside,
        Err(error) if error.is_forbidden() && observed.rights_are_fresh(context.now()) => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(Some(observed))
}

/// What can be seen without rights in the namespace.
async fn outside(tenant: &Tenant, context: &Context) -> Result<Observed, TenantError> {
    let stores = &context.stores;
    let namespace = tenant_namespace(&tenant.name_any());
    let binding = |name: &&str| stores.role_bindings.get(&ObjectRef::new(name).within(&namespace));
    let policy = policy_of(tenant, &context.settings);
    Ok(Observed {
        role_bindings: role_bindings::OF_THE_TENANT
            .iter()
            .filter_map(binding)
            .map(|found| (*found).clone())
            .collect(),
        has_settings: stores
            .tenant_settings
            .get(&ObjectRef::new(TENANT_SETTINGS).within(&namespace))
            .is_some(),
        has_policy: policy.is_some_and(|policy| stores.policies.get(&ObjectRef::new(policy)).is_some()),
        namespace: find_namespace(&namespace, context).await?,
        inside: Inside::default(),
        remains: Remains::default(),
    })
}

/// The namespace. One that is not in the store is asked for: a stranger's does not carry our label and is not watched.
pub(super) async fn find_namespace(name: &str, context: &Context) -> Result<Option<Namespace>, TenantError> {
    if let Some(found) = context.stores.namespaces.get(&ObjectRef::new(name)) {
        return Ok(Some((*found).clone()));
    }
    read(&Api::<Namespace>::all(context.client.clone()), name).await
}

/// Whether the namespace is the tenant's and stays, and the operator was given its rights there.
fn may_look_inside(tenant: &Tenant, observed: &Observed) -> bool {
    let is_at_home = |found: &Namespace| tenant_of(found) == Some(&tenant.name_any()) && !is_terminating(found);
    observed.namespace.as_ref().is_some_and(is_at_home) && observed.role_binding(role_bindings::OPERATOR).is_some()
}

async fn inside(namespace: &str, context: &Context) -> Result<Inside, TenantError> {
    let (resource_quota, limit_range, deny_ingress, egress, service_account, ca_config_map) = tokio::try_join!(
        read_in(namespace, resource_quota::NAME, context),
        read_in(namespace, limit_range::NAME, context),
        read_in(namespace, network_policies::DENY_INGRESS, context),
        read_in(namespace, network_policies::EGRESS, context),
        read_in(namespace, service_account::NAME, context),
        read_in(namespace, ca_config_map::NAME, context),
    )?;
    Ok(Inside {
        resource_quota,
        limit_range,
        deny_ingress,
        egress,
        service_account,
        ca_config_map,
    })
}

async fn read_in<K>(namespace: &str, name: &str, context: &Context) -> Result<Option<K>, TenantError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    read(&Api::<K>::namespaced(context.client.clone(), namespace), name).await
}

pub(super) async fn read<K>(api: &Api<K>, name: &str) -> Result<Option<K>, TenantError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    api.get_opt(name).await.map_err(|source| TenantError::Observe {
        kind: K::kind(&()).into_owned(),
        name: name.to_owned(),
        source: Box::new(source),
    })
}
