//! The tenant's namespace, with the Pod Security level that its pods are held to.

use imagefactory_crds::Tenant;
use imagefactory_crds::names::tenant_namespace;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_core::Resource;

use super::labels;

/// Pod Security: what is refused, and what is only warned of and audited (trust.md, Pods).
const POD_SECURITY: [(&str, &str); 6] = [
    ("pod-security.kubernetes.io/enforce", "baseline"),
    ("pod-security.kubernetes.io/enforce-version", "latest"),
    ("pod-security.kubernetes.io/warn", "restricted"),
    ("pod-security.kubernetes.io/warn-version", "latest"),
    ("pod-security.kubernetes.io/audit", "restricted"),
    ("pod-security.kubernetes.io/audit-version", "latest"),
];

/// The namespace. The Tenant owns it, so that garbage collection takes it away after the Tenant.
#[must_use]
pub fn namespace(tenant: &Tenant) -> Namespace {
    let name = tenant.metadata.name.as_deref().unwrap_or_default();
    let mut labels = labels(name);
    labels.extend(POD_SECURITY.map(|(key, value)| (key.to_owned(), value.to_owned())));
    Namespace {
        metadata: ObjectMeta {
            name: Some(tenant_namespace(name)),
            labels: Some(labels),
            owner_references: tenant.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    }
}

#[cfg(test)]
mod tests {
    use crate::tenant::fixtures;

    #[test]
    fn the_namespace_enforces_baseline_and_is_owned_by_the_tenant() {
        insta::assert_yaml_snapshot!(super::namespace(&fixtures::tenant()));
    }
}
