//! Names that more than one part of the product must agree on: labels, annotations, field managers, namespaces.

use crate::GROUP;

/// Label on everything that belongs to a tenant: the tenant's name. On a Namespace it means "made by us".
pub const LABEL_TENANT: &str = "imagefactory.dev/tenant";
/// Annotation on a tenant's Namespace: uid of the Tenant that it was made for, so that another Tenant of the name does
/// not take it over.
pub const ANNOTATION_TENANT_UID: &str = "imagefactory.dev/tenant-uid";
/// Finalizer on a Tenant: it goes after its namespace, and its namespace after its builds.
pub const FINALIZER_TENANT: &str = "imagefactory.dev/tenant";
/// Label: name of the Project.
pub const LABEL_PROJECT: &str = "imagefactory.dev/project";
/// Label: name of the Build.
pub const LABEL_BUILD: &str = "imagefactory.dev/build";
/// Label: name of the ImageScan, on what is made for one; nothing carries this label and that of a Build.
pub const LABEL_IMAGE_SCAN: &str = "imagefactory.dev/image-scan";
/// Label: uid of the Build or ImageScan, so that a new one of the same name is told from the old one.
pub const LABEL_BUILD_UID: &str = "imagefactory.dev/build-uid";
/// Label: number of the attempt, from 1.
pub const LABEL_ATTEMPT: &str = "imagefactory.dev/attempt";
/// Label: what an object does (`build`, `scan`, `publish`).
pub const LABEL_STAGE: &str = "imagefactory.dev/stage";
/// Label of a SorRecord that the operator fetched: from what, as in `http`. Only platform administrators and the operator
/// write SorRecords.
pub const LABEL_SOR_SOURCE: &str = "imagefactory.dev/sor-source";
/// Annotation of a build's pod: what it was made for, as the Build's `status.resolvedSpec`. Nobody but the operator writes pods.
pub const ANNOTATION_RESOLVED_SPEC: &str = "imagefactory.dev/resolved-spec";
/// Annotation: user name of who asked for a run, as the webhook stamps it when the object is made.
pub const ANNOTATION_REQUESTED_BY: &str = "imagefactory.dev/requested-by";
/// Annotation: names of what a destructive act may destroy, comma-separated.
pub const ANNOTATION_CONFIRM: &str = "imagefactory.dev/confirm";
/// Kubernetes' own label for who manages an object.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`LABEL_MANAGED_BY`] on all that the operator makes.
pub const MANAGED_BY: &str = "image-factory";

/// The field manager of everything that the operator applies, status included.
pub const FIELD_MANAGER: &str = "imagefactory.dev/operator";
/// The field manager of the role that places staging credentials in tenant namespaces.
pub const FIELD_MANAGER_CREDENTIALS: &str = "imagefactory.dev/credentials";
/// The field manager of `caBundle` in the webhook configurations.
pub const FIELD_MANAGER_CERTIFICATES: &str = "imagefactory.dev/webhook-certificates";

/// Prefix of names in tenant namespaces that tenants can neither write nor refer to (trust.md, Credentials).
pub const RESERVED_PREFIX: &str = "imagefactory-";
/// The one TenantSettings of a tenant.
pub const TENANT_SETTINGS: &str = "settings";

/// Namespace of a tenant.
#[must_use]
pub fn tenant_namespace(tenant: &str) -> String {
    format!("tenant-{tenant}")
}

/// Tenant of a namespace, by name alone. Whether the namespace is ours, its label says.
#[must_use]
pub fn tenant_of_namespace(namespace: &str) -> Option<&str> {
    namespace.strip_prefix("tenant-").filter(|tenant| !tenant.is_empty())
}

/// `imagefactory.dev/v1alpha1`
#[must_use]
pub fn api_version() -> String {
    format!("{GROUP}/{}", crate::VERSION)
}

/// Whether a tenant may write or refer to an object of this name.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    name.starts_with(RESERVED_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenant_is_found_again_from_its_namespace() {
        assert_eq!(tenant_of_namespace(&tenant_namespace("acme")), Some("acme"));
        assert_eq!(tenant_of_namespace("tenant-"), None);
        assert_eq!(tenant_of_namespace("kube-system"), None);
    }
}
