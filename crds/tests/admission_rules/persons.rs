//! The role matrix, and who counts as whom.

use imagefactory_crds::admission::rights::{BuiltIn, Right, permissions_of};
use imagefactory_crds::admission::{Requester, Subject};
use imagefactory_crds::tenant_settings::Permission;
use imagefactory_crds::{Build, Project, TenantSettings};
use serde_json::json;

use crate::support::door::{
    acme, annotate, build, confirm, create, delete, in_groups, platform, project, typed, update, user,
};
use crate::support::object;

type Act = (&'static str, fn() -> Subject);

fn cancel() -> Subject {
    Subject::Build(update(&build(json!({})), |new| new.spec.cancelled = true))
}

fn edit_project() -> Subject {
    Subject::Project(update(&project("shop", json!({})), |new| new.spec.archived = true))
}

fn delete_project() -> Subject {
    let mut old = project("shop", json!({}));
    confirm(&mut old, "shop");
    Subject::Project(delete(old))
}

fn rename_tenant() -> Subject {
    Subject::TenantSettings(update(&acme().settings, |new| {
        new.spec.display_name = Some("Acme".into());
    }))
}

fn add_viewer() -> Subject {
    Subject::TenantSettings(update(&acme().settings, |new| {
        let mut eve = new.spec.members[2].clone();
        eve.subject.name = "eve".into();
        new.spec.members.push(eve);
    }))
}

const ACTS: [Act; 8] = [
    ("create a build", || Subject::Build(create(build(json!({}))))),
    ("cancel a build", cancel),
    ("delete a build", || Subject::Build(delete(build(json!({}))))),
    ("edit a project", edit_project),
    ("create a project", || {
        Subject::Project(create(project("new", json!({}))))
    }),
    ("delete a project", delete_project),
    ("edit settings", rename_tenant),
    ("add a viewer", add_viewer),
];

fn may(user: &Requester) -> Vec<&'static str> {
    let door = acme();
    let let_in = ACTS.iter().filter(|(_, act)| door.says(user, act()) == "let in");
    let_in.map(|(name, _)| *name).collect()
}

#[test]
fn each_role_may_what_the_table_of_the_contract_says() {
    let all: Vec<_> = ACTS.iter().map(|(name, _)| *name).collect();
    let admins: Vec<_> = all
        .iter()
        .copied()
        .filter(|name| !["create a project", "delete a project"].contains(name))
        .collect();
    assert_eq!(may(&user("olga")), all);
    assert_eq!(may(&user("adam")), admins);
    assert_eq!(may(&user("mia")), ["create a build"]);
    assert_eq!(may(&user("vic")), Vec::<&str>::new());
    assert_eq!(may(&user("rex")), ["cancel a build", "delete a build"]);
}

#[test]
fn whoever_no_role_names_may_nothing_whatever_rbac_lets_in() {
    for nobody in [
        user("eve"),
        user(""),
        in_groups("eve", &["system:authenticated", "admins", "tenant-acme"]),
    ] {
        assert_eq!(may(&nobody), Vec::<&str>::new(), "{nobody:?}");
    }
}

#[test]
fn platform_administrators_and_gitops_accounts_may_all_of_it() {
    for somebody in [
        platform(),
        in_groups("kubernetes-admin", &["system:masters"]),
        user("system:serviceaccount:flux-system:kustomize-controller"),
        user("system:serviceaccount:image-factory:operator"),
    ] {
        assert_eq!(may(&somebody).len(), ACTS.len(), "{somebody:?}");
    }
}

#[test]
fn a_group_and_a_service_account_are_members_like_others() {
    assert!(may(&in_groups("anna", &["ops"])).contains(&"cancel a build"));
    assert!(may(&user("system:serviceaccount:tenant-acme:ci")).contains(&"cancel a build"));
    for other in [
        "system:serviceaccount:tenant-other:ci",
        "ci",
        "system:serviceaccount:tenant-acme:c",
        "ops",
    ] {
        assert_eq!(may(&user(other)), Vec::<&str>::new(), "{other}");
    }
}

#[test]
fn subjects_that_may_not_be_given_a_role_hold_nothing() {
    let mut door = acme();
    let subjects = json!([
        {"kind": "Group", "name": "system:authenticated"},
        {"kind": "User", "name": "system:admin"},
        {"kind": "ServiceAccount", "name": "ci", "namespace": "elsewhere"},
        {"kind": "ServiceAccount", "name": "imagefactory-build", "namespace": "tenant-acme"},
    ]);
    for subject in subjects.as_array().unwrap() {
        door.settings
            .spec
            .members
            .push(typed(json!({"subject": subject, "role": "Admin"})));
        door.tenant_mut().spec.owners.push(typed(subject.clone()));
    }
    for name in [
        "system:admin",
        "system:serviceaccount:elsewhere:ci",
        "system:serviceaccount:tenant-acme:imagefactory-build",
    ] {
        let held = permissions_of(&user(name), door.tenant(), Some(&door.settings.spec));
        assert_eq!(held, Default::default(), "{name}");
    }
    door.tenant_mut()
        .spec
        .service_account_namespaces
        .push("elsewhere".into());
    let named = permissions_of(
        &user("system:serviceaccount:elsewhere:ci"),
        door.tenant(),
        Some(&door.settings.spec),
    );
    assert_eq!(named.role, Some(BuiltIn::Owner));
}

#[test]
fn no_built_in_role_approves_or_releases() {
    for role in BuiltIn::ALL {
        let approves = |right: &Right| matches!(right, Right::Permission(permission) if permission.needs_delegation());
        assert_eq!(role.rights().find(approves), None);
    }
}

#[test]
fn a_higher_built_in_role_holds_all_of_the_lower_ones() {
    let holds = |higher: BuiltIn, lower: BuiltIn| lower.rights().all(|right| higher.rights().any(|held| held == right));
    assert!(holds(BuiltIn::Owner, BuiltIn::Admin) && holds(BuiltIn::Admin, BuiltIn::Member));
    assert!(holds(BuiltIn::Admin, BuiltIn::Viewer) && !holds(BuiltIn::Member, BuiltIn::Viewer));
}

#[test]
fn approving_is_held_by_a_custom_role_only_where_it_is_delegated() {
    let mut door = acme();
    door.settings.spec.roles[0]
        .permissions
        .push(Permission::ReleaseQuarantine);
    let right = Right::Permission(Permission::ReleaseQuarantine);
    let holds = |door: &crate::support::door::Door| {
        let held = permissions_of(&user("rex"), door.tenant(), Some(&door.settings.spec));
        held.rights.contains_key(&right)
    };
    assert!(!holds(&door));
    door.tenant_mut().spec.delegate_approval = true;
    assert!(holds(&door));
}

#[test]
fn membership_of_projects_limits_what_is_written() {
    let door = acme();
    let of = |project: &str, change: fn(Build) -> Subject| {
        let mut object = build(json!({}));
        object.spec.project_ref.name = project.into();
        door.says(&user("lisa"), change(object))
    };
    let acts: [fn(Build) -> Subject; 3] = [
        |object| Subject::Build(create(object)),
        |object| Subject::Build(delete(object)),
        |object| Subject::Build(update(&object, |new| new.spec.cancelled = true)),
    ];
    for act in acts {
        assert_eq!(of("shop", act), "let in");
        assert_eq!(of("web", act), "permission_denied");
    }
    let edit = |name: &str| {
        Subject::Project(update(&project(name, json!({})), |new: &mut Project| {
            new.spec.archived = true;
        }))
    };
    assert_eq!(door.says(&user("lisa"), edit("shop")), "let in");
    assert_eq!(door.says(&user("lisa"), edit("web")), "permission_denied");
}

#[test]
fn tenants_and_policies_are_written_by_the_platform_alone() {
    let door = acme();
    let policy = || typed::<imagefactory_crds::ImagePolicy>(object("ImagePolicy", "open", json!({})));
    let mut gone = door.tenant().clone();
    confirm(&mut gone, "acme");
    let subjects = [
        Subject::Tenant(create(door.tenant().clone())),
        Subject::Tenant(update(door.tenant(), |new| new.spec.suspended = true)),
        Subject::Tenant(delete(gone)),
        Subject::ImagePolicy(create(policy())),
        Subject::ImagePolicy(update(&policy(), |new| new.spec.ignore_unfixed = true)),
        Subject::ImagePolicy(delete(policy())),
    ];
    for subject in subjects {
        for person in [user("olga"), user("adam"), user("eve")] {
            assert_eq!(door.says(&person, subject.clone()), "permission_denied", "{subject:?}");
        }
        assert_eq!(door.says(&platform(), subject), "let in");
    }
}

#[test]
fn an_update_that_leaves_the_spec_alone_is_a_matter_of_rbac() {
    let door = acme();
    let eve = user("eve");
    let mut settings: TenantSettings = door.settings.clone();
    settings.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
    assert_eq!(
        door.says(
            &eve,
            Subject::TenantSettings(update(&settings, |new| new.metadata.labels = None))
        ),
        "let in"
    );
    let object = build(json!({}));
    assert_eq!(
        door.says(&eve, Subject::Build(update(&object, |new| annotate(new, "a", "b")))),
        "let in"
    );
    let other = project("shop", json!({}));
    assert_eq!(
        door.says(&eve, Subject::Project(update(&other, |new| annotate(new, "a", "b")))),
        "let in"
    );
    assert_eq!(
        door.says(
            &eve,
            Subject::Tenant(update(door.tenant(), |new| annotate(new, "a", "b")))
        ),
        "let in"
    );
}

#[test]
fn a_tenant_keeps_an_owner_who_can_be_one() {
    let mut door = acme();
    let change = |door: &crate::support::door::Door, owners: serde_json::Value| {
        door.says(
            &platform(),
            Subject::Tenant(update(door.tenant(), |new| new.spec.owners = typed(owners))),
        )
    };
    let account = json!({"kind": "ServiceAccount", "name": "flux", "namespace": "flux-system"});
    assert_eq!(change(&door, json!([])), "invalid_object");
    assert_eq!(
        change(&door, json!([{"kind": "Group", "name": "system:masters"}])),
        "invalid_object"
    );
    assert_eq!(
        change(&door, json!([account])),
        "invalid_object",
        "its namespace is not named"
    );
    assert_eq!(change(&door, json!([{"kind": "User", "name": "otto"}])), "let in");
    door.tenant_mut()
        .spec
        .service_account_namespaces
        .push("flux-system".into());
    assert_eq!(change(&door, json!([account])), "let in");
    door.tenant_mut().spec.owners = typed(json!([account]));
    let unnamed = update(door.tenant(), |new| new.spec.service_account_namespaces.clear());
    assert_eq!(door.says(&platform(), Subject::Tenant(unnamed)), "invalid_object");
}

#[test]
fn a_tenant_that_lost_its_owners_can_still_be_suspended() {
    let mut door = acme();
    door.tenant_mut().spec.owners.clear();
    let suspend = Subject::Tenant(update(door.tenant(), |new| new.spec.suspended = true));
    assert_eq!(door.says(&platform(), suspend), "let in");
}

/// The webhook looks up the tenant of a namespace, and a Tenant has none.
#[test]
fn what_is_refused_of_a_tenant_says_which_tenant_it_is() {
    let mut door = acme();
    let tenant = door.tenant.take().unwrap();
    let ownerless = update(&tenant, |new| new.spec.owners.clear());
    for (who, write) in [
        (user("olga"), create(tenant.clone())),
        (user("olga"), update(&tenant, |new| new.spec.suspended = true)),
        (user("olga"), delete(tenant.clone())),
        (platform(), ownerless),
        (platform(), delete(tenant)),
    ] {
        let denial = door.asks(&who, Subject::Tenant(write)).denial.unwrap();
        let named = denial.causes.iter().filter(|cause| cause.reason == "Tenant");
        let named: Vec<&str> = named.map(|cause| cause.message.as_str()).collect();
        assert_eq!(named, ["acme"], "{denial:?}");
    }
}
