//! From members and custom roles to who holds which ClusterRole.

use std::collections::{BTreeMap, BTreeSet};

use imagefactory_crds::common::Subject;
use imagefactory_crds::tenant_settings::{MemberRole, Permission, RoleCount, given_by, is_delegated};
use imagefactory_crds::{Tenant, TenantSettingsSpec};
use k8s_openapi::api::rbac::v1::Subject as RbacSubject;

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
    /// Members whose role does not exist, with that role. They hold nothing.
    pub roleless: Vec<(Subject, String)>,
    /// Custom roles and those of their permissions that the Tenant does not delegate. Nobody holds these by them.
    pub undelegated: Vec<(String, Permission)>,
    /// How many subjects hold a role, owners included, each counted once.
    pub subjects: u32,
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
    let mut everybody: BTreeSet<&Subject> = tenant.spec.owners.iter().collect();
    let mut membership = Membership {
        undelegated: undelegated(spec, tenant),
        ..Membership::default()
    };
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
        let Some(given) = given_by(role, spec) else {
            let nobody = subjects.iter().map(|subject| ((*subject).clone(), role.to_owned()));
            membership.roleless.extend(nobody);
            continue;
        };
        membership.count(role, allowed.len());
        everybody.extend(subjects.iter().copied());
        for given in given.into_iter().filter(|given| is_delegated(*given, tenant)) {
            held.entry(given).or_default().extend(subjects.iter().copied());
        }
    }
    membership.subjects = u32::try_from(admit(everybody.into_iter(), &rules).allowed.len()).unwrap_or(u32::MAX);
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

fn undelegated(spec: &TenantSettingsSpec, tenant: &Tenant) -> Vec<(String, Permission)> {
    let asked = spec.roles.iter().flat_map(|role| {
        let permissions = role.permissions.iter().copied();
        permissions.map(|permission| (role.name.0.clone(), permission))
    });
    asked
        .filter(|(_, permission)| !is_delegated(MemberRole::Permission(*permission), tenant))
        .collect()
}

#[cfg(test)]
mod tests {
    use imagefactory_crds::tenant_settings::{CustomRole, Member};

    use super::*;
    use crate::tenant::fixtures::{self, group, service_account, user};

    fn member(subject: Subject, role: &str) -> Member {
        Member {
            subject,
            role: role.into(),
            projects: Vec::new(),
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
            description: None,
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
        assert_eq!(membership.roleless.len(), 5);
    }

    #[test]
    fn members_of_an_unknown_role_cost_the_others_nothing() {
        let members = vec![
            member(user("a"), "auditor"),
            member(user("b"), "painter"),
            member(user("c"), "Admin"),
        ];
        let membership = membership(&spec(members), &fixtures::tenant());
        assert_eq!(membership.roleless, [(user("b"), "painter".to_owned())]);
        assert_eq!(
            holders(&membership, MemberRole::Permission(Permission::ViewProjects)),
            ["a"]
        );
        assert_eq!(holders(&membership, MemberRole::Admin), ["c"]);
        assert_eq!(membership.subjects, 5, "three owners, a and c");
    }

    #[test]
    fn a_role_of_a_built_in_ones_name_gives_nothing_in_any_case() {
        for name in ["owner", "Owner", "ADMIN", "member", "VieweR"] {
            let mut spec = spec(vec![member(user("eve"), name)]);
            spec.roles[0].name = name.into();
            let membership = membership(&spec, &fixtures::tenant());
            assert_eq!(membership.holders, BTreeMap::new(), "{name}");
        }
    }

    #[test]
    fn approving_and_releasing_are_bound_only_where_the_tenant_delegates_them() {
        let mut spec = spec(vec![member(user("a"), "release")]);
        spec.roles[0].permissions = Permission::ALL.to_vec();
        let mut tenant = fixtures::tenant();
        let approval = [Permission::ApproveQuarantine, Permission::ReleaseQuarantine];
        let kept = membership(&spec, &tenant);
        assert_eq!(
            kept.undelegated,
            approval.map(|permission| ("release".to_owned(), permission))
        );
        assert_eq!(
            kept.holders.len(),
            Permission::ALL.len() - 2,
            "all the others are bound"
        );
        assert!(
            approval
                .iter()
                .all(|permission| holders(&kept, MemberRole::Permission(*permission)).is_empty())
        );
        tenant.spec.delegate_approval = true;
        let given = membership(&spec, &tenant);
        assert_eq!(given.undelegated, []);
        assert_eq!(given.holders.len(), Permission::ALL.len());
    }
}
