//! What was found of a tenant, before anything is decided.

use imagefactory_crds::Tenant;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, LimitRange, Namespace, ResourceQuota, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::RoleBinding;

use super::deletion::Remains;
use super::objects::role_bindings::OPERATOR;
use super::readiness::GRACE;
use crate::settings::Settings;

/// Everything that a decision about a Tenant is made from.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The Tenant.
    pub tenant: &'a Tenant,
    /// What was found.
    pub observed: &'a Observed,
    /// What the platform decided.
    pub settings: &'a Settings,
    /// The time.
    pub now: Timestamp,
}

impl<'a> Situation<'a> {
    /// The tenant's name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.tenant.metadata.name.as_deref().unwrap_or_default()
    }
}

/// What was found. Where the operator had no rights in the namespace yet, only the first fields are filled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Namespace of the tenant's name, ours or not.
    pub namespace: Option<Namespace>,
    /// Role bindings in it that carry our labels.
    pub role_bindings: Vec<RoleBinding>,
    /// Whether the tenant has its TenantSettings.
    pub has_settings: bool,
    /// Whether the ImagePolicy that [`policy_of`] names exists.
    pub has_policy: bool,
    /// What only the operator's rights in the namespace let it read.
    pub inside: Inside,
    /// What is left of a tenant that is being deleted; looked for only then.
    pub remains: Remains,
}

/// Objects that are read by name at each look. Nobody watches them: a watch for each kind over all namespaces would
/// need rights that the operator shall not have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inside {
    /// The quota.
    pub resource_quota: Option<ResourceQuota>,
    /// The limit range.
    pub limit_range: Option<LimitRange>,
    /// The policy against ingress.
    pub deny_ingress: Option<NetworkPolicy>,
    /// The policy for egress.
    pub egress: Option<NetworkPolicy>,
    /// The service account of build pods.
    pub service_account: Option<ServiceAccount>,
    /// The platform's certificate authorities.
    pub ca_config_map: Option<ConfigMap>,
}

impl Observed {
    /// Whether the operator was given its rights in the namespace so lately that the API server may not know yet.
    #[must_use]
    pub fn rights_are_fresh(&self, now: Timestamp) -> bool {
        let binding = self.role_binding(OPERATOR);
        let made = binding.and_then(|binding| binding.metadata.creation_timestamp.as_ref());
        made.is_some_and(|made| now.duration_since(made.0) < GRACE)
    }

    /// The role binding of that name.
    #[must_use]
    pub fn role_binding(&self, name: &str) -> Option<&RoleBinding> {
        self.role_bindings
            .iter()
            .find(|binding| binding.metadata.name.as_deref() == Some(name))
    }
}

/// The ImagePolicy that all images of the tenant must pass: its own, else the chart's default; none where neither is named.
#[must_use]
pub fn policy_of<'a>(tenant: &'a Tenant, settings: &'a Settings) -> Option<&'a str> {
    tenant
        .spec
        .policy_ref
        .as_ref()
        .map(|policy| policy.name.as_str())
        .or(settings.default_policy.as_deref())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::super::fixtures;
    use super::super::objects::role_bindings;
    use super::*;

    #[test]
    fn rights_are_fresh_for_a_moment_only() {
        let made = Timestamp::from_second(1000).unwrap();
        let mut binding = role_bindings::operator("acme", &fixtures::settings());
        binding.metadata.creation_timestamp = Some(Time(made));
        let observed = Observed {
            role_bindings: vec![binding],
            ..Observed::default()
        };
        assert!(observed.rights_are_fresh(made + SignedDuration::from_secs(3)));
        assert!(!observed.rights_are_fresh(made + SignedDuration::from_secs(30)));
        assert!(!Observed::default().rights_are_fresh(made));
    }

    #[test]
    fn the_tenants_own_policy_comes_before_the_charts() {
        let (mut tenant, mut settings) = (fixtures::tenant(), fixtures::settings());
        settings.default_policy = Some("default".to_owned());
        assert_eq!(policy_of(&tenant, &settings), Some("strict"));
        tenant.spec.policy_ref = None;
        assert_eq!(policy_of(&tenant, &settings), Some("default"));
        settings.default_policy = None;
        assert_eq!(policy_of(&tenant, &settings), None);
    }
}
