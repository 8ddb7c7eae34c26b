//! What a tenant's namespace holds. One file per object; each function returns a whole object.
//!
//! Every list that the API server replaces as a whole is written out, also when empty: a rule that somebody added
//! to a list that we left out would stay (a policy without `ingress` and one with `ingress: []` mean the same, but
//! only the second takes a stranger's rule away).

pub mod ca_config_map;
pub mod limit_range;
pub mod namespace;
pub mod network_policies;
pub mod resource_quota;
pub mod role_bindings;
pub mod service_account;
pub mod settings;

use std::collections::BTreeMap;

use imagefactory_crds::names::{LABEL_MANAGED_BY, LABEL_TENANT, MANAGED_BY, tenant_namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Kubernetes' own label for what an object is a part of.
pub const LABEL_PART_OF: &str = "app.kubernetes.io/part-of";

/// Labels of all that a tenant's namespace holds, and of the namespace.
#[must_use]
pub fn labels(tenant: &str) -> BTreeMap<String, String> {
    [
        (LABEL_TENANT, tenant),
        (LABEL_MANAGED_BY, MANAGED_BY),
        (LABEL_PART_OF, MANAGED_BY),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// Whether an object carries the labels of what the operator made for this tenant. Only such an object is ever deleted.
#[must_use]
pub fn is_ours(metadata: &ObjectMeta, tenant: &str) -> bool {
    let label = |key: &str| {
        metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(key))
            .map(String::as_str)
    };
    label(LABEL_TENANT) == Some(tenant) && label(LABEL_MANAGED_BY) == Some(MANAGED_BY)
}

fn metadata(tenant: &str, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(tenant_namespace(tenant)),
        labels: Some(labels(tenant)),
        ..ObjectMeta::default()
    }
}
