//! As whom somebody asks: the factory itself, the platform, or a person with what he holds in the tenant.

use super::rights::{BuiltIn, Held, Right, Scope, permissions_of};
use super::{Persons, Requester};
use crate::denial::{Cause, Code, Denial};
use crate::{Tenant, TenantSettingsSpec};

/// Kubernetes' group of those whom RBAC is not asked about.
const MASTERS: &str = "system:masters";
/// Kubernetes' own accounts that take away what belongs to something that is gone. Nothing is asked of them.
const CLEANERS: [&str; 2] = [
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:serviceaccount:kube-system:namespace-controller",
];
/// Items that a message names; the rest it counts.
const NAMED: usize = 5;

/// As whom somebody asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The factory's own accounts, and Kubernetes' that clean up: no rule about persons holds for them.
    Factory,
    /// Platform administrators, and the accounts of GitOps controllers that they name.
    Platform,
    /// Somebody with what he holds in the tenant, which may be nothing.
    Person(Held),
}

/// Something that a right is needed for.
#[derive(Clone, Copy, Debug)]
pub struct Need<'a> {
    /// The right.
    pub right: Right,
    /// What for, as in `cancel a build`.
    pub purpose: &'a str,
    /// In which project, where it is in one.
    pub project: Option<&'a str>,
    /// Name of the tenant.
    pub tenant: &'a str,
}

impl Standing {
    /// As whom a user asks in a tenant.
    #[must_use]
    pub fn of(
        user: &Requester,
        tenant: Option<&Tenant>,
        settings: Option<&TenantSettingsSpec>,
        persons: &Persons,
    ) -> Self {
        if persons.own_accounts.contains(&user.name) || CLEANERS.contains(&user.name.as_str()) {
            return Self::Factory;
        }
        let is_platform = |group: &String| group == MASTERS || persons.platform_groups.contains(group);
        if persons.gitops_accounts.contains(&user.name) || user.groups.iter().any(is_platform) {
            return Self::Platform;
        }
        Self::Person(tenant.map_or_else(Held::default, |tenant| permissions_of(user, tenant, settings)))
    }

    /// Whether rules about persons hold.
    #[must_use]
    pub fn is_factory(&self) -> bool {
        *self == Self::Factory
    }

    /// For which projects a right is held; none if for none.
    #[must_use]
    pub fn scope(&self, right: Right) -> Option<Scope> {
        match self {
            Self::Factory | Self::Platform => Some(Scope::All),
            Self::Person(held) => held.rights.get(&right).cloned(),
        }
    }

    /// Asks for a right.
    ///
    /// # Errors
    /// `permission_denied`, with the right that is lacking and the roles that have it.
    pub fn require(&self, need: Need<'_>, settings: Option<&TenantSettingsSpec>) -> Result<(), Denial> {
        let Need {
            right,
            purpose,
            project,
            tenant,
        } = need;
        let name = right.name();
        let message = match (self.scope(right), project) {
            (Some(Scope::All), _) | (Some(_), None) => return Ok(()),
            (Some(scope), Some(project)) if scope.holds(project) => return Ok(()),
            (Some(Scope::Only(projects)), Some(project)) => format!(
                "To {purpose} you need the permission {name} for project {}; in tenant {tenant} you hold it for {} alone.",
                brief(project),
                enumerate(projects.iter().map(String::as_str))
            ),
            (None, _) => format!("To {purpose} you need the permission {name} in tenant {tenant}."),
        };
        let roles = roles_with(right, settings.filter(|_| self.holds_anything()));
        let message = format!("{message} Roles that have it: {roles}.");
        let denial = Denial::new(Code::PermissionDenied, message)
            .because(Cause::of("Permission", name))
            .because(Cause::of("Tenant", tenant));
        Err(match project {
            Some(project) => denial.because(Cause::of("Project", brief(project))),
            None => denial,
        })
    }

    /// Asks for an administrator of the platform; `what` is what only they do, as in `write Tenants`.
    ///
    /// # Errors
    /// `permission_denied`.
    pub fn require_platform(&self, what: &str) -> Result<(), Denial> {
        match self {
            Self::Factory | Self::Platform => Ok(()),
            Self::Person(_) => {
                let message = format!(
                    "Only platform administrators {what}: members of the groups that the chart's values name, and GitOps accounts that they name. No role of a tenant can."
                );
                Err(Denial::new(Code::PermissionDenied, message)
                    .because(Cause::of("Permission", "PlatformAdministrator")))
            }
        }
    }

    /// Custom roles of a tenant are told to those alone who have a role there.
    fn holds_anything(&self) -> bool {
        match self {
            Self::Factory | Self::Platform => true,
            Self::Person(held) => !held.rights.is_empty(),
        }
    }
}

fn roles_with(right: Right, settings: Option<&TenantSettingsSpec>) -> String {
    let built_in = BuiltIn::ALL
        .into_iter()
        .filter(|role| role.rights().any(|held| held == right));
    let custom = settings.into_iter().flat_map(|spec| &spec.roles).filter(|role| {
        let mut rights = role.permissions.iter().map(|permission| Right::Permission(*permission));
        rights.any(|held| held == right)
    });
    let built_in = built_in.map(|role| role.as_str().to_owned());
    let names: Vec<String> = built_in.chain(custom.map(|role| brief(&role.name))).collect();
    if names.is_empty() {
        "no built-in one".to_owned()
    } else {
        names.join(", ")
    }
}

/// The first few names, and the number of the others.
pub(super) fn enumerate<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<_> = names.collect();
    let first: Vec<_> = all.iter().take(NAMED).map(|name| brief(name)).collect();
    let more = match all.len().saturating_sub(NAMED) {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    format!("{}{more}", first.join(", "))
}

/// A name as a message carries it: what the schema admits is left as it is, all else escaped and cut.
pub(super) fn brief(name: &str) -> String {
    const LONGEST: usize = 96;
    let mut escaped = String::with_capacity(name.len());
    for letter in name.chars() {
        if matches!(letter, '\'' | '"') {
            escaped.push(letter);
        } else {
            escaped.extend(letter.escape_debug());
        }
    }
    if escaped.chars().count() <= LONGEST {
        escaped
    } else {
        let begin: String = escaped.chars().take(LONGEST).collect();
        format!("{begin}…")
    }
}
