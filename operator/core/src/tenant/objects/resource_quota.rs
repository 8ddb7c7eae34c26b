//! What the tenant's running pods may ask for together.

use std::collections::BTreeMap;

use imagefactory_crds::tenant::Quota;
use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::metadata;

/// Name of the quota.
pub const NAME: &str = "imagefactory-quota";
/// What the factory may limit. Only pods that have not ended count towards these.
pub const LIMITED: [&str; 4] = ["requests.cpu", "requests.memory", "requests.ephemeral-storage", "pods"];

/// The quota: the tenant's own limits, the chart's for those that it does not name; none where neither names any.
#[must_use]
pub fn resource_quota(tenant: &str, own: Option<&Quota>, default: &Quota) -> Option<ResourceQuota> {
    let hard = hard(own, default);
    (!hard.is_empty()).then(|| ResourceQuota {
        metadata: metadata(tenant, NAME),
        spec: Some(ResourceQuotaSpec {
            hard: Some(hard),
            ..ResourceQuotaSpec::default()
        }),
        status: None,
    })
}

fn hard(own: Option<&Quota>, default: &Quota) -> BTreeMap<String, Quantity> {
    let [cpu, memory, storage, pods] = LIMITED;
    let quantity = |read: fn(&Quota) -> Option<&imagefactory_crds::quantity::Quantity>| {
        own.and_then(read).or_else(|| read(default)).map(Quantity::from)
    };
    let count = own
        .and_then(|quota| quota.pods)
        .or(default.pods)
        .map(|count| Quantity(count.to_string()));
    [
        (cpu, quantity(|quota| quota.cpu.as_ref())),
        (memory, quantity(|quota| quota.memory.as_ref())),
        (storage, quantity(|quota| quota.ephemeral_storage.as_ref())),
        (pods, count),
    ]
    .into_iter()
    .filter_map(|(name, amount)| Some((name.to_owned(), amount?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::fixtures;

    #[test]
    fn the_tenants_limits_come_before_the_charts() {
        let own = Quota {
            cpu: Some("12".into()),
            pods: Some(7),
            ..Quota::default()
        };
        let default = fixtures::settings().tenants.default_quota;
        insta::assert_yaml_snapshot!(resource_quota("acme", Some(&own), &default));
    }

    #[test]
    fn without_any_limit_there_is_no_quota() {
        assert_eq!(resource_quota("acme", None, &Quota::default()), None);
        assert_eq!(resource_quota("acme", Some(&Quota::default()), &Quota::default()), None);
    }

    #[test]
    fn a_limit_of_zero_is_a_limit() {
        let quota = resource_quota(
            "acme",
            Some(&Quota {
                pods: Some(0),
                ..Quota::default()
            }),
            &Quota::default(),
        );
        let hard = quota.unwrap().spec.unwrap().hard.unwrap();
        assert_eq!(hard["pods"], Quantity("0".to_owned()));
    }
}
