//! Whether a namespace is a tenant's. The name alone says nothing: anybody who may make namespaces can choose it.

use imagefactory_crds::Tenant;
use imagefactory_crds::names::{ANNOTATION_TENANT_UID, LABEL_TENANT, tenant_of_namespace};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::readiness::{Readiness, lacking};

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

/// Whether the namespace is going away. Nothing can be made in it any more.
#[must_use]
pub fn is_terminating(namespace: &Namespace) -> bool {
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    namespace.metadata.deletion_timestamp.is_some() || phase == Some("Terminating")
}

/// Reason: the object's namespace is not a tenant's.
pub const NOT_A_TENANT_NAMESPACE: &str = "NotATenantNamespace";

/// The readiness of an object in a namespace that is not a tenant's, or whose Tenant was not seen yet.
#[must_use]
pub fn homeless(object: &ObjectMeta, now: Timestamp) -> Readiness {
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let message = format!(
        "Namespace {namespace} belongs to no Tenant, so nothing is done here. Make this object in the namespace of a \
         Tenant, tenant-<name>."
    );
    lacking(object, now, NOT_A_TENANT_NAMESPACE, message)
}

#[cfg(test)]
mod tests {
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
}
