//! What a container in the tenant's namespace gets when it names no resources, and what it may use at most. Without the
//! first the quota would refuse it; the quota counts what is asked for, and so bounds nothing of the second.

use std::collections::BTreeMap;

use imagefactory_crds::common::ResourceList;
use k8s_openapi::api::core::v1::{LimitRange, LimitRangeItem, LimitRangeSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::metadata;
use crate::settings::TenantNamespaceSettings;
use crate::tenant::drift::{Drift, Wanted};

/// Name of the limit range.
pub const NAME: &str = "imagefactory-limits";

/// The limit range; none where the chart has neither defaults nor ceilings.
#[must_use]
pub fn limit_range(tenant: &str, settings: &TenantNamespaceSettings) -> Option<LimitRange> {
    let most = amounts(&settings.max_limits);
    // The API server takes a ceiling for the limit that is not named, and a limit for such a request. Saying so here keeps
    // its defaulting out of the comparison with what is there.
    let mut limits = most.clone();
    limits.extend(amounts(&settings.default_limits));
    let mut requests = limits.clone();
    requests.extend(amounts(&settings.default_requests));
    (!requests.is_empty()).then(|| LimitRange {
        metadata: metadata(tenant, NAME),
        spec: Some(LimitRangeSpec {
            limits: vec![LimitRangeItem {
                type_: "Container".to_owned(),
                default: (!limits.is_empty()).then_some(limits),
                default_request: Some(requests),
                max: (!most.is_empty()).then_some(most),
                ..LimitRangeItem::default()
            }],
        }),
    })
}

/// Whether the limit range that is there is the one that the settings ask for.
#[must_use]
pub fn is_current(found: Option<&LimitRange>, tenant: &str, settings: &TenantNamespaceSettings) -> bool {
    match (limit_range(tenant, settings), found) {
        (Some(wanted), Some(found)) => wanted.drift(found) == Drift::None,
        (wanted, found) => wanted.is_none() && found.is_none(),
    }
}

fn amounts(list: &ResourceList) -> BTreeMap<String, Quantity> {
    [
        ("cpu", &list.cpu),
        ("memory", &list.memory),
        ("ephemeral-storage", &list.ephemeral_storage),
    ]
    .into_iter()
    .filter_map(|(name, amount)| Some((name.to_owned(), amount.as_ref()?.into())))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::fixtures;

    #[test]
    fn a_request_that_is_not_named_is_the_limit() {
        insta::assert_yaml_snapshot!(limit_range("acme", &fixtures::settings().tenants));
    }

    #[test]
    fn a_limit_range_of_earlier_settings_is_not_current() {
        let mut settings = fixtures::settings().tenants;
        let before = limit_range("acme", &settings);
        assert!(is_current(before.as_ref(), "acme", &settings));
        settings.max_limits.memory = Some("16Gi".into());
        assert!(!is_current(before.as_ref(), "acme", &settings));
        assert!(!is_current(None, "acme", &settings));
    }

    #[test]
    fn a_ceiling_is_the_limit_of_what_names_none() {
        let mut settings = fixtures::settings().tenants;
        settings.default_limits.cpu = None;
        settings.max_limits = ResourceList {
            cpu: Some("8".into()),
            memory: Some("16Gi".into()),
            ephemeral_storage: None,
        };
        insta::assert_yaml_snapshot!(limit_range("acme", &settings));
    }

    #[test]
    fn without_defaults_there_is_no_limit_range() {
        let mut settings = fixtures::settings().tenants;
        settings.default_limits = ResourceList::default();
        settings.default_requests = ResourceList::default();
        assert_eq!(limit_range("acme", &settings), None);
    }

    #[test]
    fn requests_alone_set_no_limit() {
        let mut settings = fixtures::settings().tenants;
        settings.default_limits = ResourceList::default();
        settings.default_requests = ResourceList {
            cpu: Some("1".into()),
            ..ResourceList::default()
        };
        let item = limit_range("acme", &settings).unwrap().spec.unwrap().limits.remove(0);
        assert_eq!(item.default, None);
        assert_eq!(item.default_request.unwrap().len(), 1);
    }
}
