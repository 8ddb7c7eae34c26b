//! What a role of TenantSettings gives. The operator binds by it and the webhook decides by it.

use std::collections::BTreeSet;

use super::{CustomRole, Permission, TenantSettingsSpec};
use crate::Tenant;

/// A role that TenantSettings give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberRole {
    /// The role Admin.
    Admin,
    /// The role Member.
    Member,
    /// The role Viewer.
    Viewer,
    /// A permission that a custom role holds.
    Permission(Permission),
}

impl MemberRole {
    /// Every role that TenantSettings can give.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Admin, Self::Member, Self::Viewer]
            .into_iter()
            .chain(Permission::ALL.into_iter().map(Self::Permission))
    }

    /// The part of binding's and ClusterRole's names that is this role's own.
    #[must_use]
    pub fn suffix(self) -> String {
        match self {
            Self::Admin => "admin".to_owned(),
            Self::Member => "member".to_owned(),
            Self::Viewer => "viewer".to_owned(),
            Self::Permission(permission) => format!("permission-{}", permission.slug()),
        }
    }

    /// Name of its binding.
    #[must_use]
    pub fn binding_name(self) -> String {
        format!("imagefactory-{}", self.suffix())
    }
}

/// What a role gives; none for one that does not exist. Owner is such a one: owners stand in the Tenant.
#[must_use]
pub fn given_by(role: &str, spec: &TenantSettingsSpec) -> Option<BTreeSet<MemberRole>> {
    match role {
        "Admin" => Some(BTreeSet::from([MemberRole::Admin])),
        "Member" => Some(BTreeSet::from([MemberRole::Member])),
        "Viewer" => Some(BTreeSet::from([MemberRole::Viewer])),
        custom => {
            let is_it = |role: &&CustomRole| role.name.as_str() == custom && !is_built_in(custom);
            let mut roles = spec.roles.iter().filter(is_it).peekable();
            roles.peek()?;
            let permissions = roles.flat_map(|role| &role.permissions).copied();
            Some(permissions.map(MemberRole::Permission).collect())
        }
    }
}

/// Whether a name is a built-in role's, in any case. The schema admits no custom role of such a name.
fn is_built_in(name: &str) -> bool {
    ["owner", "admin", "member", "viewer"].contains(&name.to_ascii_lowercase().as_str())
}

/// Whether who is given it holds it in this tenant: approving and releasing only where the Tenant delegates them.
#[must_use]
pub fn is_delegated(given: MemberRole, tenant: &Tenant) -> bool {
    match given {
        MemberRole::Permission(permission) => !permission.needs_delegation() || tenant.spec.delegate_approval,
        MemberRole::Admin | MemberRole::Member | MemberRole::Viewer => true,
    }
}
