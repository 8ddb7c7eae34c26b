//! The tenant's namespace, with the Pod Security level that its pods are held to.

use imagefactory_crds::Tenant;
use imagefactory_crds::names::{ANNOTATION_TENANT_UID, tenant_namespace};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

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

/// The namespace. It says which Tenant it was made for. That is no owner reference: garbage collection would take the
/// namespace away at once where a Tenant is deleted in the foreground, under the builds that run (docs/decisions/0017).
#[must_use]
pub fn namespace(tenant: &Tenant) -> Namespace {
    let name = tenant.metadata.name.as_deref().unwrap_or_default();
    let mut labels = labels(name);
    let uid = tenant.metadata.uid.clone();
    labels.extend(POD_SECURITY.map(|(key, value)| (key.to_owned(), value.to_owned())));
    Namespace {
        metadata: ObjectMeta {
            name: Some(tenant_namespace(name)),
            labels: Some(labels),
            annotations: uid.map(|uid| [(ANNOTATION_TENANT_UID.to_owned(), uid)].into()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    }
}

#[cfg(test)]
mod tests {
    use crate::tenant::fixtures;

    #[test]
    fn the_namespace_enforces_baseline_and_says_which_tenant_it_was_made_for() {
        insta::assert_yaml_snapshot!(super::namespace(&fixtures::tenant()));
    }
}
