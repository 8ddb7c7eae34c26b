//! Who may do what in the tenant's namespace: bindings to ClusterRoles that the chart installs.
//!
//! The roles are the chart's, so that an administrator reads in one place what they grant; the operator holds
//! `bind` on those names and on no others.

pub use imagefactory_crds::tenant_settings::MemberRole;
use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};

use super::metadata;
use crate::settings::Settings;

/// The operator's own rights in the namespace. Everything else there needs this one.
pub const OPERATOR: &str = "imagefactory-operator";
/// The right to place the staging credential.
pub const CREDENTIALS: &str = "imagefactory-credentials";
/// The role Owner.
pub const OWNER: &str = "imagefactory-owner";
/// Bindings that follow from the Tenant. All others of ours follow from TenantSettings.
pub const OF_THE_TENANT: [&str; 3] = [OPERATOR, CREDENTIALS, OWNER];

/// API group of RBAC.
pub const RBAC: &str = "rbac.authorization.k8s.io";

/// Binds the operator's service account.
#[must_use]
pub fn operator(tenant: &str, settings: &Settings) -> RoleBinding {
    let account = service_account(&settings.operator_service_account, &settings.release_namespace);
    binding(tenant, OPERATOR, &role(settings, "tenant-operator"), vec![account])
}

/// Binds the service account that places the staging credential.
#[must_use]
pub fn credentials(tenant: &str, settings: &Settings) -> RoleBinding {
    let account = service_account(&settings.credentials_service_account, &settings.work_namespace);
    binding(
        tenant,
        CREDENTIALS,
        &role(settings, "tenant-credentials"),
        vec![account],
    )
}

/// Binds the tenant's owners; none where there are none.
#[must_use]
pub fn owner(tenant: &str, settings: &Settings, owners: Vec<Subject>) -> Option<RoleBinding> {
    (!owners.is_empty()).then(|| binding(tenant, OWNER, &role(settings, "owner"), owners))
}

/// Binds who holds a role; none where nobody does.
#[must_use]
pub fn member(tenant: &str, settings: &Settings, given: MemberRole, subjects: Vec<Subject>) -> Option<RoleBinding> {
    (!subjects.is_empty()).then(|| {
        binding(
            tenant,
            &given.binding_name(),
            &role(settings, &given.suffix()),
            subjects,
        )
    })
}

fn role(settings: &Settings, suffix: &str) -> String {
    format!("{}-{suffix}", settings.cluster_role_prefix)
}

fn binding(tenant: &str, name: &str, cluster_role: &str, subjects: Vec<Subject>) -> RoleBinding {
    RoleBinding {
        metadata: metadata(tenant, name),
        role_ref: RoleRef {
            api_group: RBAC.to_owned(),
            kind: "ClusterRole".to_owned(),
            name: cluster_role.to_owned(),
        },
        subjects: Some(subjects),
    }
}

fn service_account(name: &str, namespace: &str) -> Subject {
    Subject {
        api_group: None,
        kind: "ServiceAccount".to_owned(),
        name: name.to_owned(),
        namespace: Some(namespace.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::fixtures;
    use crate::tenant::subjects::{Rules, admit};

    fn owners() -> Vec<Subject> {
        admit(fixtures::tenant().spec.owners.iter(), &Rules::of(&fixtures::tenant())).allowed
    }

    #[test]
    fn the_factorys_own_accounts_are_bound_from_their_namespaces() {
        let settings = fixtures::settings();
        insta::assert_yaml_snapshot!([operator("acme", &settings), credentials("acme", &settings)]);
    }

    #[test]
    fn owners_are_bound_to_the_charts_role() {
        insta::assert_yaml_snapshot!(owner("acme", &fixtures::settings(), owners()));
    }

    #[test]
    fn each_role_of_tenant_settings_has_a_binding_and_a_cluster_role_of_its_own() {
        let settings = fixtures::settings();
        let names: Vec<_> = MemberRole::all()
            .filter_map(|role| member("acme", &settings, role, owners()))
            .map(|binding| format!("{} → {}", binding.metadata.name.unwrap(), binding.role_ref.name))
            .collect();
        insta::assert_yaml_snapshot!(names);
    }

    #[test]
    fn nobody_is_not_bound() {
        let settings = fixtures::settings();
        assert_eq!(owner("acme", &settings, Vec::new()), None);
        assert_eq!(member("acme", &settings, MemberRole::Admin, Vec::new()), None);
    }
}
