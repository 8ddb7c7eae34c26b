//! Whether a namespace is a tenant's. The name alone says nothing: anybody who may make namespaces can choose it.

pub use imagefactory_crds::home::{is_of_former_tenant, tenant_of};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::readiness::{Readiness, lacking};

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
