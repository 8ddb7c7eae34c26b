//! The tenant's TenantSettings, as they are made when there are none. Their spec is never written again.

use imagefactory_crds::names::TENANT_SETTINGS;
use imagefactory_crds::{TenantSettings, TenantSettingsSpec};

use super::metadata;

/// Empty settings.
#[must_use]
pub fn tenant_settings(tenant: &str) -> TenantSettings {
    TenantSettings {
        metadata: metadata(tenant, TENANT_SETTINGS),
        spec: TenantSettingsSpec::default(),
        status: None,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn new_settings_say_nothing() {
        insta::assert_yaml_snapshot!(super::tenant_settings("acme"));
    }
}
