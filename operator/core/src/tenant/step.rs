//! What is to be done in a tenant's namespace, as data. The operator has one arm for each step and knows nothing
//! about why.

use imagefactory_crds::{Tenant, TenantSettings};
use k8s_openapi::api::core::v1::{ConfigMap, LimitRange, Namespace, ResourceQuota, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_core::Resource;

use super::drift::{Drift, Wanted};
use super::objects::is_ours;
use crate::partial::Job;

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Put our finalizer on the Tenant: before anything is made for it.
    Hold(Box<Tenant>),
    /// Take our finalizer off the Tenant, as it was observed: after everything is gone.
    LetGo(Box<Tenant>),
    /// Delete this very job, as it was observed, with its pods.
    DeleteJob(Box<Job>),
    /// Create the namespace. A plain create and never an apply: one that is there already is not adopted.
    CreateNamespace(Box<Namespace>),
    /// Apply the object.
    Apply(Box<Object>),
    /// Delete this very object, as it was observed.
    Delete(Box<Object>),
    /// Create the settings if there are none. Nothing that is there is touched.
    CreateSettings(Box<TenantSettings>),
}

/// An object that the factory keeps in a tenant's namespace, or the namespace.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// The namespace. It carries the uid that was observed, so that another one of its name is not touched.
    Namespace(Namespace),
    /// A role binding.
    RoleBinding(RoleBinding),
    /// The quota.
    ResourceQuota(ResourceQuota),
    /// The limit range.
    LimitRange(LimitRange),
    /// A network policy.
    NetworkPolicy(NetworkPolicy),
    /// The service account of build pods.
    ServiceAccount(ServiceAccount),
    /// The platform's certificate authorities.
    ConfigMap(ConfigMap),
}

impl Object {
    /// Its metadata.
    #[must_use]
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Namespace(object) => &object.metadata,
            Self::RoleBinding(object) => &object.metadata,
            Self::ResourceQuota(object) => &object.metadata,
            Self::LimitRange(object) => &object.metadata,
            Self::NetworkPolicy(object) => &object.metadata,
            Self::ServiceAccount(object) => &object.metadata,
            Self::ConfigMap(object) => &object.metadata,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }
}

/// The steps that make `actual` what is `wanted`. What can't be changed is deleted first.
pub(crate) fn put_right<K: Wanted + Clone>(wanted: K, actual: Option<&K>, wrap: fn(K) -> Object) -> Vec<Step> {
    let delete = |found: &K| Step::Delete(Box::new(wrap(found.clone())));
    match actual.map_or(Drift::Apply, |actual| wanted.drift(actual)) {
        Drift::None => Vec::new(),
        Drift::Apply => vec![Step::Apply(Box::new(wrap(wanted)))],
        Drift::Recreate => actual
            .map(delete)
            .into_iter()
            .chain([Step::Apply(Box::new(wrap(wanted)))])
            .collect(),
    }
}

/// The steps that keep what is `wanted`, or take away what is not: only what carries our labels.
pub(crate) fn keep<K: Wanted + Resource + Clone>(
    wanted: Option<K>,
    actual: Option<&K>,
    wrap: fn(K) -> Object,
    tenant: &str,
) -> Vec<Step> {
    match (wanted, actual) {
        (Some(wanted), actual) => put_right(wanted, actual, wrap),
        (None, Some(actual)) if is_ours(actual.meta(), tenant) => {
            vec![Step::Delete(Box::new(wrap(actual.clone())))]
        }
        (None, _) => Vec::new(),
    }
}
