//! The platform's certificate authorities, as pods in the tenant's namespace mount them.

use k8s_openapi::api::core::v1::ConfigMap;

use super::metadata;

/// Name of the ConfigMap.
pub const NAME: &str = "imagefactory-ca";
/// Key of the certificates.
pub const KEY: &str = "ca.crt";

/// The ConfigMap; none where the platform has no authorities of its own.
#[must_use]
pub fn ca_config_map(tenant: &str, bundle: Option<&str>) -> Option<ConfigMap> {
    bundle.filter(|pem| !pem.trim().is_empty()).map(|pem| ConfigMap {
        metadata: metadata(tenant, NAME),
        data: Some([(KEY.to_owned(), pem.to_owned())].into()),
        ..ConfigMap::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::fixtures;

    #[test]
    fn the_bundle_lies_under_its_key() {
        insta::assert_yaml_snapshot!(ca_config_map("acme", fixtures::settings().ca_bundle.as_deref()));
    }

    #[test]
    fn without_authorities_there_is_no_config_map() {
        assert_eq!(ca_config_map("acme", None), None);
        assert_eq!(ca_config_map("acme", Some(" \n")), None);
    }
}
