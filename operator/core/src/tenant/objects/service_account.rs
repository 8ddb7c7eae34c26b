//! The service account of build pods. It holds no right and hands out no token.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::metadata;

/// Name of the service account.
pub const NAME: &str = "imagefactory-build";

/// The service account.
#[must_use]
pub fn service_account(tenant: &str) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(tenant, NAME),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_build_service_account_mounts_no_token() {
        insta::assert_yaml_snapshot!(super::service_account("acme"));
    }
}
