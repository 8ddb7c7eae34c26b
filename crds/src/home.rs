//! Whether a namespace is a tenant's. The name alone says nothing: anybody who may make namespaces can choose it.

use k8s_openapi::api::core::v1::Namespace;

use crate::Tenant;
use crate::names::{ANNOTATION_TENANT_UID, LABEL_TENANT, tenant_of_namespace};

/// The tenant whose namespace this is: its name says so, and the label that only the operator can set agrees.
#[must_use]
pub fn tenant_of(namespace: &Namespace) -> Option<&str> {
    let label = namespace.metadata.labels.as_ref()?.get(LABEL_TENANT)?;
    let tenant = tenant_of_namespace(namespace.metadata.name.as_deref()?)?;
    (label == tenant).then_some(tenant)
}

/// Whether the namespace was made for an earlier Tenant of the name, which left it behind.
#[must_use]
pub fn is_of_former_tenant(namespace: &Namespace, tenant: &Tenant) -> bool {
    let annotations = namespace.metadata.annotations.as_ref();
    let made_for = annotations.and_then(|annotations| annotations.get(ANNOTATION_TENANT_UID));
    tenant_of(namespace).is_some() && made_for.is_some_and(|uid| Some(uid) != tenant.metadata.uid.as_ref())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    fn namespace(name: &str, label: Option<&str>) -> Namespace {
        let labels = label.map(|value| [(LABEL_TENANT.to_owned(), value.to_owned())].into());
        Namespace {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels,
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        }
    }

    #[test]
    fn a_namespace_is_a_tenants_only_where_name_and_label_agree() {
        for (name, label, tenant) in [
            ("tenant-acme", Some("acme"), Some("acme")),
            ("tenant-acme", None, None),
            ("tenant-acme", Some("other"), None),
            ("acme", Some("acme"), None),
            ("tenant-", Some(""), None),
            ("kube-system", Some("kube-system"), None),
        ] {
            assert_eq!(tenant_of(&namespace(name, label)), tenant, "{name} labelled {label:?}");
        }
    }

    #[test]
    fn a_namespace_that_an_earlier_tenant_of_the_name_left_behind_is_not_the_new_ones() {
        let mut tenant = Tenant::new("acme", crate::TenantSpec::default());
        tenant.metadata.uid = Some("new".to_owned());
        for (made_for, former) in [(None, false), (Some("new"), false), (Some("old"), true)] {
            let mut namespace = namespace("tenant-acme", Some("acme"));
            namespace.metadata.annotations =
                made_for.map(|uid| [(ANNOTATION_TENANT_UID.to_owned(), uid.to_owned())].into());
            assert_eq!(is_of_former_tenant(&namespace, &tenant), former, "{made_for:?}");
        }
    }
}
