//! From members and custom roles to who holds which ClusterRole.

use std::collections::{BTreeMap, BTreeSet};

use imagefactory_crds::common::Subject;
use imagefactory_crds::tenant_settings::RoleCount;
use imagefactory_crds::{Tenant, TenantSettingsSpec};
use k8s_openapi::api::rbac::v1::Subject as RbacSubject;

use crate::tenant::objects::role_bindings::MemberRole;
use crate::tenant::subjects::{Admitted, Refused, Rules, admit};

/// Who holds what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Membership {
    /// Who holds each role, sorted, each subject once. A role that nobody holds is not listed.
    pub holders: BTreeMap<MemberRole, Vec<RbacSubject>>,
    /// How many subjects hold each role, owners included.
    pub counts: Vec<RoleCount>,
    /// Members that were left out.
    pub refused: Vec<Refused>,
    /// Roles that members have and that do not exist.
    pub unknown_roles: BTreeSet<String>,
}

/// Works out who holds what. Members are checked against what the Tenant allows; who is not allowed holds nothing.
#[must_use]
pub fn membership(spec: &TenantSettingsSpec, tenant: &Tenant) -> Membership {
    let rules = Rules::of(tenant);
    let mut by_role = BTreeMap::<&str, Vec<&Subject>>::new();
    for member in &spec.members {
        by_role.entry(member.role.as_str()).or_default().push(&member.subject);
    }
    let owners = admit(tenant.spec.owners.iter(), &rules).allowed;
    let mut membership = Membership::default();
    membership.count("Owner", owners.len());
    for built_in in ["Admin", "Member", "Viewer"] {
        membership.count(built_in, 0);
    }
    for role in &spec.roles {
        membership.count(&role.name, 0);
    }
    let mut held = BTreeMap::<MemberRole, BTreeSet<&Subject>>::new();
    for (role, subjects) in by_role {
        let Admitted { allowed, refused } = admit(subjects.iter().copied(), &rules);
        membership.refused.extend(refused);
        let given = roles_of(role, spec);
        if given.is_empty() {
            membership.unknown_roles.insert(role.to_owned());
            continue;
        }
        membership.count(role, allowed.len());
        for given in given {
            held.entry(given).or_default().extend(subjects.iter().copied());
        }
    }
    let admitted = held
        .into_iter()
        .map(|(role, subjects)| (role, admit(subjects.into_iter(), &rules).allowed));
    membership.holders = admitted.filter(|(_, allowed)| !allowed.is_empty()).collect();
    membership
}

impl Membership {
    fn count(&mut self, role: &str, subjects: usize) {
        let subjects = u32::try_from(subjects).unwrap_or(u32::MAX);
        match self.counts.iter_mut().find(|count| count.role == role) {
            Some(count) => count.count = count.count.saturating_add(subjects),
            None => self.counts.push(RoleCount {
                role: role.to_owned(),
                count: subjects,
            }),
        }
    }
}

/// What a role gives. Owner is none of them: owners stand in the Tenant.
fn roles_of(name: &str, spec: &TenantSettingsSpec) -> BTreeSet<MemberRole> {
    match name {
        "Admin" => BTreeSet::from([MemberRole::Admin]),
        "Member" => BTreeSet::from([MemberRole::Member]),
        "Viewer" => BTreeSet::from([MemberRole::Viewer]),
        "Owner" => BTreeSet::new(),
        custom => {
            let roles = spec.roles.iter().filter(|role| role.name.as_str() == custom);
            roles
                .flat_map(|role| &role.permissions)
                .copied()
                .map(MemberRole::Permission)
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use imagefactory_crds::tenant_settings::{CustomRole, Member, Permission};

    use super::*;
    use crate::tenant::fixtures::{self, group, service_account, user};

    fn member(subject: Subject, role: &str) -> Member {
        Member {
            subject,
            role: role.into(),
        }
    }

    fn holders(membership: &Membership, role: MemberRole) -> Vec<&str> {
        membership
            .holders
            .get(&role)
            .into_iter()
            .flatten()
            .map(|subject| subject.name.as_str())
            .collect()
    }

    fn spec(members: Vec<Member>) -> TenantSettingsSpec {
        let role = |name: &str, permissions: &[Permission]| CustomRole {
            name: name.into(),
            permissions: permissions.to_vec(),
        };
        let roles = vec![
            role("release", &[Permission::ViewProjects, Permission::CancelBuilds]),
            role("auditor", &[Permission::ViewProjects]),
        ];
        TenantSettingsSpec {
            members,
            roles,
            ..TenantSettingsSpec::default()
        }
    }

    #[test]
    fn a_permission_is_held_by_all_whose_custom_role_has_it() {
        let members = vec![
            member(user("a"), "release"),
            member(user("b"), "auditor"),
            member(user("a"), "auditor"),
        ];
        let membership = membership(&spec(members), &fixtures::tenant());
        assert_eq!(
            holders(&membership, MemberRole::Permission(Permission::ViewProjects)),
            ["a", "b"]
        );
        assert_eq!(
            holders(&membership, MemberRole::Permission(Permission::CancelBuilds)),
            ["a"]
        );
        assert_eq!(membership.holders.len(), 2, "nobody holds anything else");
    }

    #[test]
    fn every_role_is_counted_also_one_that_nobody_holds() {
        let members = vec![
            member(user("a"), "Admin"),
            member(user("a"), "Admin"),
            member(group("b"), "Viewer"),
            member(user("c"), "auditor"),
        ];
        let counts: Vec<_> = membership(&spec(members), &fixtures::tenant())
            .counts
            .into_iter()
            .map(|count| (count.role, count.count))
            .collect();
        let expected = [
            ("Owner", 3),
            ("Admin", 1),
            ("Member", 0),
            ("Viewer", 1),
            ("release", 0),
            ("auditor", 1),
        ];
        assert_eq!(counts, expected.map(|(role, count)| (role.to_owned(), count)));
    }

    #[test]
    fn hostile_members_hold_nothing_and_are_named() {
        let hostile = [
            user("system:admin"),
            group("system:masters"),
            group("system:authenticated"),
            service_account("default", "kube-system"),
            service_account("imagefactory-build", "tenant-acme"),
        ];
        let roles = ["Admin", "Member", "Viewer", "release", "auditor"];
        let members = hostile
            .iter()
            .flat_map(|subject| roles.map(|role| member(subject.clone(), role)));
        let membership = membership(&spec(members.collect()), &fixtures::tenant());
        assert_eq!(membership.holders, BTreeMap::new());
        assert_eq!(membership.refused.len(), hostile.len() * roles.len());
    }

    #[test]
    fn a_role_that_does_not_exist_and_the_role_owner_give_nothing() {
        let members = ["Owner", "owner", "nobody", "cluster-admin", ""].map(|role| member(user("eve"), role));
        let membership = membership(&spec(members.to_vec()), &fixtures::tenant());
        assert_eq!(membership.holders, BTreeMap::new());
        assert_eq!(membership.unknown_roles.len(), 5);
    }
}
