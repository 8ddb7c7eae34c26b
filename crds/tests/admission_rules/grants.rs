//! Nobody grants a permission that he does not hold.

use imagefactory_crds::TenantSettingsSpec;
use imagefactory_crds::admission::{Requester, Subject};
use imagefactory_crds::tenant_settings::Permission;
use serde_json::{Value, json};

use crate::support::door::{Door, acme, create, platform, settings, typed, update, user};

fn grants(door: &Door, by: &Requester, change: impl FnOnce(&mut TenantSettingsSpec)) -> &'static str {
    door.says(
        by,
        Subject::TenantSettings(update(&door.settings, |new| change(&mut new.spec))),
    )
}

fn joins(by: &str, member: Value) -> &'static str {
    grants(&acme(), &user(by), |spec| spec.members.push(typed(member)))
}

fn eve(role: &str, projects: &[&str]) -> Value {
    json!({"subject": {"kind": "User", "name": "eve"}, "role": role, "projects": projects})
}

#[test]
fn an_admin_makes_admins_and_who_manages_the_team_alone_does_not() {
    assert_eq!(joins("adam", eve("Admin", &[])), "let in");
    assert_eq!(joins("olga", eve("Admin", &[])), "let in");
    for role in ["Admin", "Member", "Viewer", "stopper"] {
        assert_eq!(joins("tess", eve(role, &[])), "permission_denied", "{role}");
    }
    assert_eq!(joins("tess", eve("lead", &[])), "let in");
}

#[test]
fn who_is_limited_to_projects_grants_within_them() {
    assert_eq!(joins("lisa", eve("Admin", &["shop"])), "let in");
    assert_eq!(joins("lisa", eve("Viewer", &["shop"])), "let in");
    for projects in [&[][..], &["web"], &["shop", "web"]] {
        assert_eq!(
            joins("lisa", eve("Admin", projects)),
            "permission_denied",
            "{projects:?}"
        );
        assert_eq!(
            joins("lisa", eve("Viewer", projects)),
            "permission_denied",
            "{projects:?}"
        );
    }
}

#[test]
fn nobody_widens_his_own_projects() {
    let door = acme();
    let own = |change: fn(&mut Vec<imagefactory_crds::common::ObjectName>)| {
        grants(&door, &user("lisa"), |spec| change(&mut spec.members[3].projects))
    };
    assert_eq!(own(Vec::clear), "permission_denied", "an empty list means all");
    assert_eq!(own(|projects| projects.push("web".into())), "permission_denied");
    assert_eq!(
        own(|projects| projects.push("shop".into())),
        "let in",
        "nothing is added"
    );
}

#[test]
fn a_role_that_somebody_holds_grows_only_by_what_its_editor_holds() {
    let door = acme();
    let grow =
        |by: &str, permission: Permission| grants(&door, &user(by), |spec| spec.roles[0].permissions.push(permission));
    assert_eq!(grow("adam", Permission::CreateBuilds), "let in");
    assert_eq!(grow("adam", Permission::ManageBilling), "permission_denied");
    assert_eq!(grow("olga", Permission::ManageBilling), "let in");
    assert_eq!(grow("tess", Permission::CreateBuilds), "permission_denied");
    let own = grants(&door, &user("tess"), |spec| {
        spec.roles[1].permissions.push(Permission::EditSettings);
    });
    assert_eq!(own, "permission_denied", "nor in his own role");
}

#[test]
fn a_role_in_waiting_is_judged_when_somebody_gets_it() {
    let mut door = acme();
    let role = json!({"name": "payer", "permissions": ["ManageBilling"]});
    assert_eq!(
        grants(&door, &user("adam"), |spec| spec.roles.push(typed(role.clone()))),
        "let in"
    );
    door.settings.spec.roles.push(typed(role));
    let give = |by: &str| grants(&door, &user(by), |spec| spec.members.push(typed(eve("payer", &[]))));
    assert_eq!(give("adam"), "permission_denied");
    assert_eq!(give("olga"), "let in");
}

#[test]
fn what_is_taken_away_and_what_stays_as_it_is_is_no_grant() {
    let door = acme();
    let less = grants(&door, &user("tess"), |spec| {
        spec.roles[0].permissions.pop();
        spec.members[0].projects.push("shop".into());
    });
    assert_eq!(less, "let in");
    let order = grants(&door, &user("tess"), |spec| spec.members.reverse());
    assert_eq!(order, "let in");
}

#[test]
fn the_right_to_write_secrets_is_granted_by_those_who_have_it() {
    let mut door = acme();
    let all: Vec<&str> = vec![
        "ViewProjects",
        "CreateBuilds",
        "CancelBuilds",
        "ManageProjects",
        "ManageTeam",
        "ViewAnalytics",
        "ReadAudit",
        "EditSettings",
    ];
    door.settings.spec.roles[1].permissions = typed(json!(all));
    let admin = grants(&door, &user("tess"), |spec| spec.members.push(typed(eve("Admin", &[]))));
    assert_eq!(
        admin, "permission_denied",
        "every permission of an admin, but no Secrets"
    );
    let member = grants(&door, &user("tess"), |spec| {
        spec.members.push(typed(eve("Member", &[])));
    });
    assert_eq!(member, "let in");
}

#[test]
fn approving_comes_into_a_role_only_where_the_tenant_delegates_it() {
    let mut door = acme();
    let add = |door: &Door, by: &Requester| {
        grants(door, by, |spec| {
            spec.roles[0].permissions.push(Permission::ApproveQuarantine);
        })
    };
    assert_eq!(add(&door, &platform()), "permission_denied");
    door.tenant_mut().spec.delegate_approval = true;
    assert_eq!(add(&door, &platform()), "let in");
    assert_eq!(
        add(&door, &user("olga")),
        "permission_denied",
        "an owner does not hold it"
    );
    door.settings.spec.roles[0]
        .permissions
        .push(Permission::ApproveQuarantine);
    door.tenant_mut().spec.delegate_approval = false;
    let rename = grants(&door, &platform(), |spec| spec.display_name = Some("Acme".into()));
    assert_eq!(rename, "let in", "what stands there from before is no addition");
}

#[test]
fn a_role_for_somebody_who_can_t_be_a_member_yet_is_not_planted() {
    let member =
        json!({"subject": {"kind": "ServiceAccount", "name": "bot", "namespace": "elsewhere"}, "role": "Viewer"});
    assert_eq!(joins("olga", member.clone()), "invalid_object");
    let mut door = acme();
    door.settings.spec.members.push(typed(member));
    let raised = grants(&door, &user("tess"), |spec| spec.members[8].role = "Admin".into());
    assert_eq!(
        raised, "permission_denied",
        "it counts as written, not as it takes effect"
    );
}

#[test]
fn settings_that_are_made_are_held_to_the_same_rules() {
    let door = acme();
    let made = |by: &Requester, spec: Value| door.says(by, Subject::TenantSettings(create(settings(spec))));
    assert_eq!(
        made(&user("system:serviceaccount:image-factory:operator"), json!({})),
        "let in"
    );
    assert_eq!(made(&platform(), json!({"members": [eve("Admin", &[])]})), "let in");
    assert_eq!(
        made(&user("eve"), json!({"members": [eve("Admin", &[])]})),
        "permission_denied"
    );
    assert_eq!(made(&user("olga"), json!({"displayName": "Acme"})), "let in");
    assert_eq!(
        made(&user("adam"), json!({"displayName": "Acme"})),
        "permission_denied",
        "nothing made him an admin yet"
    );
}
