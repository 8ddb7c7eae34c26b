//! What a person may do in a tenant: by the roles that the Tenant and its settings give, and for which projects.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::ObjectName;
use crate::subjects::{Rules, means};
use crate::tenant_settings::{Member, MemberRole, Permission, given_by, is_delegated};
use crate::{Tenant, TenantSettingsSpec};

use super::Requester;

/// Something that a role lets people do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// What custom roles can hold too.
    Permission(Permission),
    /// Create Secrets and write ConfigMaps: owners and admins.
    WriteSources,
    /// Create and delete projects: owners.
    OwnProjects,
}

impl Right {
    /// The word in messages and causes.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Permission(permission) => format!("{permission:?}"),
            Self::WriteSources => "WriteSources".to_owned(),
            Self::OwnProjects => "OwnProjects".to_owned(),
        }
    }
}

/// A role that everybody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BuiltIn {
    /// See and read.
    Viewer,
    /// Start work.
    Member,
    /// Run the tenant.
    Admin,
    /// All of it, projects included. From `Tenant.spec.owners` alone.
    Owner,
}

const VIEWER: &[Right] = &[
    Right::Permission(Permission::ViewProjects),
    Right::Permission(Permission::ViewAnalytics),
    Right::Permission(Permission::ReadAudit),
];
const MEMBER: &[Right] = &[
    Right::Permission(Permission::ViewProjects),
    Right::Permission(Permission::CreateBuilds),
];
const ADMIN: &[Right] = &[
    Right::Permission(Permission::ViewProjects),
    Right::Permission(Permission::CreateBuilds),
    Right::Permission(Permission::CancelBuilds),
    Right::Permission(Permission::ManageProjects),
    Right::Permission(Permission::ManageTeam),
    Right::Permission(Permission::ViewAnalytics),
    Right::Permission(Permission::ReadAudit),
    Right::Permission(Permission::EditSettings),
    Right::WriteSources,
];
/// What owners have beside what admins have.
const OWNER: &[Right] = &[Right::Permission(Permission::ManageBilling), Right::OwnProjects];

impl BuiltIn {
    /// All of them, the one that may most first.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Member, Self::Viewer];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "Viewer",
            Self::Member => "Member",
            Self::Admin => "Admin",
            Self::Owner => "Owner",
        }
    }

    /// What it gives (product.md, Roles). None of them approves or releases.
    pub fn rights(self) -> impl Iterator<Item = Right> {
        let (most, more): (&[Right], &[Right]) = match self {
            Self::Viewer => (VIEWER, &[]),
            Self::Member => (MEMBER, &[]),
            Self::Admin => (ADMIN, &[]),
            Self::Owner => (ADMIN, OWNER),
        };
        most.iter().chain(more).copied()
    }
}

/// For which projects something holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// For all, those included that are made later.
    All,
    /// For these.
    Only(BTreeSet<String>),
}

impl Scope {
    /// What a member's list of projects says: an empty one means all.
    #[must_use]
    pub fn of(projects: &[ObjectName]) -> Self {
        if projects.is_empty() {
            Self::All
        } else {
            Self::Only(projects.iter().map(|project| project.0.clone()).collect())
        }
    }

    /// Whether it holds for a project.
    #[must_use]
    pub fn holds(&self, project: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(projects) => projects.contains(project),
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Only(mut one), Self::Only(other)) => {
                one.extend(other);
                Self::Only(one)
            }
            _ => Self::All,
        }
    }

    /// What of it another does not have; none if that has all of it.
    #[must_use]
    pub fn beyond(&self, other: Option<&Self>) -> Option<Self> {
        match (self, other) {
            (_, Some(Self::All)) => None,
            (Self::All, _) => Some(Self::All),
            (Self::Only(projects), None) => Some(Self::Only(projects.clone())),
            (Self::Only(projects), Some(Self::Only(other))) => {
                let more: BTreeSet<_> = projects.difference(other).cloned().collect();
                (!more.is_empty()).then_some(Self::Only(more))
            }
        }
    }
}

/// Rights, and for which projects each is held.
pub type Rights = BTreeMap<Right, Scope>;

/// Adds a right.
pub(super) fn add(rights: &mut Rights, right: Right, scope: Scope) {
    let sum = match rights.remove(&right) {
        Some(held) => held.and(scope),
        None => scope,
    };
    rights.insert(right, sum);
}

/// What a person holds in a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The highest of the built-in roles that the person has.
    pub role: Option<BuiltIn>,
    /// Everything that all roles of the person give.
    pub rights: Rights,
}

/// What a user holds in a tenant, himself and by his groups. Subjects that may not be given a role give nothing.
#[must_use]
pub fn permissions_of(user: &Requester, tenant: &Tenant, settings: Option<&TenantSettingsSpec>) -> Held {
    let rules = Rules::of(tenant);
    let mut held = Held::default();
    let is_meant = |subject| means(subject, &user.name, &user.groups, &rules);
    if tenant.spec.owners.iter().any(is_meant) {
        held.add(BuiltIn::Owner, &Scope::All);
    }
    let Some(spec) = settings else {
        return held;
    };
    for member in spec.members.iter().filter(|member| is_meant(&member.subject)) {
        for given in given_by(&member.role, spec).into_iter().flatten() {
            if is_delegated(given, tenant) {
                held.add_given(given, &Scope::of(&member.projects));
            }
        }
    }
    held
}

impl Held {
    fn add(&mut self, role: BuiltIn, scope: &Scope) {
        self.role = self.role.max(Some(role));
        for right in role.rights() {
            add(&mut self.rights, right, scope.clone());
        }
    }

    fn add_given(&mut self, given: MemberRole, scope: &Scope) {
        match given {
            MemberRole::Admin => self.add(BuiltIn::Admin, scope),
            MemberRole::Member => self.add(BuiltIn::Member, scope),
            MemberRole::Viewer => self.add(BuiltIn::Viewer, scope),
            MemberRole::Permission(permission) => {
                add(&mut self.rights, Right::Permission(permission), scope.clone());
            }
        }
    }
}

/// What a member entry gives as it is written, whether its subject may be given a role or not.
#[must_use]
pub(super) fn written_in(member: &Member, spec: &TenantSettingsSpec) -> Rights {
    let mut held = Held::default();
    for given in given_by(&member.role, spec).into_iter().flatten() {
        held.add_given(given, &Scope::of(&member.projects));
    }
    held.rights
}
