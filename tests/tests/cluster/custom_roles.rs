//! Roles of a tenant's own making: each permission gives what it says and nothing else, asked of the API server.

use imagefactory_crds::tenant_settings::Permission;
use imagefactory_crds::{TenantSettings, conditions};
use imagefactory_tests::TestTenant;
use imagefactory_tests::access::{Person, may};
use imagefactory_tests::wait::until;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};

/// Verb, resource, and the permissions that give it.
const TABLE: [(&str, &str, &[Permission]); 21] = [
    ("get", "projects.imagefactory.dev", &[Permission::ViewProjects]),
    ("list", "builds.imagefactory.dev", &[Permission::ViewProjects]),
    ("get", "pods/log", &[Permission::ViewProjects]),
    ("create", "builds.imagefactory.dev", &[Permission::CreateBuilds]),
    ("patch", "builds.imagefactory.dev", &[Permission::CancelBuilds]),
    ("delete", "builds.imagefactory.dev", &[Permission::CancelBuilds]),
    ("get", "imagescans.imagefactory.dev", &[Permission::ViewProjects]),
    ("create", "imagescans.imagefactory.dev", &[Permission::CreateBuilds]),
    ("patch", "imagescans.imagefactory.dev", &[Permission::CancelBuilds]),
    (
        "get",
        "quarantinerequests.imagefactory.dev",
        &[Permission::ViewProjects],
    ),
    (
        "create",
        "quarantinerequests.imagefactory.dev",
        &[Permission::CreateBuilds],
    ),
    (
        // Who asks may withdraw what is his own: that it is, the webhook says, and a policy.
        "patch",
        "quarantinerequests.imagefactory.dev",
        &[Permission::CancelBuilds, Permission::CreateBuilds],
    ),
    ("patch", "projects.imagefactory.dev", &[Permission::ManageProjects]),
    (
        "patch",
        "tenantsettings.imagefactory.dev",
        &[Permission::ManageTeam, Permission::EditSettings],
    ),
    // What tells the two apart while the webhook is gone.
    (
        "manageteam",
        "tenantsettings.imagefactory.dev",
        &[Permission::ManageTeam],
    ),
    ("create", "projects.imagefactory.dev", &[]),
    ("create", "secrets", &[]),
    ("get", "secrets", &[]),
    ("create", "pods", &[]),
    ("create", "rolebindings.rbac.authorization.k8s.io", &[]),
    ("patch", "tenants.imagefactory.dev", &[]),
];

fn role_of(permission: Permission) -> String {
    format!("only-{}", permission.slug())
}

fn holder(permission: Permission, tenant: &TestTenant) -> String {
    format!("{}-of-{}", permission.slug(), tenant.name)
}

fn member(name: &str, role: &str) -> Value {
    json!({"subject": {"kind": "User", "name": name}, "role": role})
}

/// Writes members and roles and waits until the operator has seen them; what it says of them.
async fn write(tenant: &TestTenant, spec: Value) -> Condition {
    let _ = tenant.patch_settings(&spec).expect_ok();
    let settings = tenant.api::<TenantSettings>();
    until("the settings were seen", 30, async || {
        let found = settings.get("settings").await.unwrap();
        let status = found.status.as_ref()?;
        let is_seen = Some(status.observed_generation) == found.metadata.generation;
        conditions::find(&status.conditions, "Ready")
            .filter(|_| is_seen)
            .cloned()
    })
    .await
}

async fn holds(tenant: &TestTenant, name: &str, verb: &str, resource: &str) -> bool {
    may(&tenant.client(), Person::named(name), verb, resource, &tenant.namespace).await
}

async fn bindings(tenant: &TestTenant) -> Vec<String> {
    let found = tenant
        .api::<RoleBinding>()
        .list(&Default::default())
        .await
        .unwrap()
        .items;
    found.into_iter().filter_map(|binding| binding.metadata.name).collect()
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn each_permission_gives_what_the_table_says_and_nothing_else() {
    let tenant = TestTenant::create_with("permissions", json!({"delegateApproval": true})).await;
    let roles: Vec<_> = Permission::ALL
        .iter()
        .map(|permission| json!({"name": role_of(*permission), "permissions": [permission]}))
        .collect();
    let members: Vec<_> = Permission::ALL
        .iter()
        .map(|permission| member(&holder(*permission, &tenant), &role_of(*permission)))
        .collect();
    let ready = write(&tenant, json!({"roles": roles, "members": members})).await;
    assert_eq!(ready.status, "True", "{}", ready.message);
    let bound = bindings(&tenant).await;
    for permission in Permission::ALL {
        let name = format!("imagefactory-permission-{}", permission.slug());
        assert!(bound.contains(&name), "{name} is not in {bound:?}");
    }
    let mut wrong = Vec::new();
    for (verb, resource, givers) in TABLE {
        for permission in Permission::ALL {
            let answer = holds(&tenant, &holder(permission, &tenant), verb, resource).await;
            if answer != givers.contains(&permission) {
                wrong.push(format!(
                    "{permission:?} {} {verb} {resource}",
                    if answer { "gives" } else { "does not give" }
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn what_is_not_delegated_is_not_bound_and_the_settings_say_which_role_asks_for_it() {
    // The door lets such a role in only while it is delegated (door_roles); what is withdrawn later the operator takes.
    let tenant = TestTenant::create_with("delegated", json!({"delegateApproval": true})).await;
    let roles = json!([{"name": "gate", "permissions": ["ViewProjects", "ApproveQuarantine", "ReleaseQuarantine"]}]);
    let ready = write(&tenant, json!({"roles": roles, "members": [member("gina", "gate")]})).await;
    assert_eq!(ready.status, "True", "{}", ready.message);
    tenant.patch(json!({"spec": {"delegateApproval": false}})).await;
    let ready = until("the settings say what is not delegated any more", 30, async || {
        let status = tenant.api::<TenantSettings>().get("settings").await.unwrap().status?;
        let ready = conditions::find(&status.conditions, "Ready")?;
        (ready.reason == "ApprovalNotDelegated").then(|| ready.clone())
    })
    .await;
    assert_eq!(ready.status, "False");
    assert!(
        ready.message.contains("\"gate\" asks for ApproveQuarantine"),
        "{}",
        ready.message
    );
    let approvals = |bound: Vec<String>| bound.into_iter().filter(|name| name.contains("quarantine")).count();
    until("neither is bound", 30, async || {
        (approvals(bindings(&tenant).await) == 0).then_some(())
    })
    .await;
    assert!(
        holds(&tenant, "gina", "get", "builds.imagefactory.dev").await,
        "the rest of the role holds"
    );
    tenant.patch(json!({"spec": {"delegateApproval": true}})).await;
    until("both are bound", 30, async || {
        (approvals(bindings(&tenant).await) == 2).then_some(())
    })
    .await;
    tenant.patch(json!({"spec": {"delegateApproval": false}})).await;
    until("both are gone again", 30, async || {
        (approvals(bindings(&tenant).await) == 0).then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_role_that_changes_changes_what_its_holders_may_do() {
    let tenant = TestTenant::create("changing").await;
    let role = |permissions: Value| json!({"roles": [{"name": "r", "permissions": permissions}], "members": [member("rita", "r")]});
    write(&tenant, role(json!(["CreateBuilds", "ViewProjects"]))).await;
    assert!(holds(&tenant, "rita", "create", "builds.imagefactory.dev").await);
    write(&tenant, role(json!(["ViewProjects"]))).await;
    until("the right is gone", 15, async || {
        (!holds(&tenant, "rita", "create", "builds.imagefactory.dev").await).then_some(())
    })
    .await;
    assert!(holds(&tenant, "rita", "get", "builds.imagefactory.dev").await);
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_role_that_does_not_exist_and_one_of_a_built_in_name_are_refused_where_they_are_written() {
    let tenant = TestTenant::create("unknown").await;
    for (spec, words) in [
        (json!({"members": [member("eve", "painter")]}), "one of spec.roles"),
        (
            json!({"roles": [{"name": "admin", "permissions": ["ViewProjects"]}]}),
            "built-in role",
        ),
        (
            json!({"roles": [{"name": "Admin", "permissions": ["ViewProjects"]}]}),
            "spec.roles[0].name",
        ),
        (
            json!({"roles": [{"name": "r", "permissions": ["CreateProjects"]}]}),
            "Unsupported value",
        ),
        (
            json!({"roles": [{"name": "r", "permissions": ["ViewProjects", "ViewProjects"]}]}),
            "Duplicate value",
        ),
    ] {
        let answer = tenant.patch_settings(&spec);
        assert!(!answer.ok && answer.stderr.contains(words), "{spec}: {}", answer.stderr);
    }
}
