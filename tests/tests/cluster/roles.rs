//! Who may do what in a tenant: the table of product.md, as far as RBAC can say it, asked of the API server for every
//! cell, and membership that gives and takes it.

use imagefactory_crds::{TenantSettings, conditions};
use imagefactory_tests::TestTenant;
use imagefactory_tests::access::{Person, may};
use imagefactory_tests::tenant::owner_of;
use imagefactory_tests::wait::until;
use serde_json::{Value, json};

const ROLES: [&str; 4] = ["owner", "admin", "member", "viewer"];

/// Verb, resource, and who of [`ROLES`] has it.
const TABLE: [(&str, &str, [bool; 4]); 46] = [
    ("get", "projects.imagefactory.dev", [true, true, true, true]),
    ("watch", "builds.imagefactory.dev", [true, true, true, true]),
    ("get", "tenantsettings.imagefactory.dev", [true, true, true, true]),
    ("list", "pods", [true, true, true, true]),
    ("get", "pods/log", [true, true, true, true]),
    ("list", "events", [true, true, true, true]),
    ("create", "builds.imagefactory.dev", [true, true, true, false]),
    ("patch", "builds.imagefactory.dev", [true, true, false, false]),
    ("delete", "builds.imagefactory.dev", [true, true, false, false]),
    ("get", "imagescans.imagefactory.dev", [true, true, true, true]),
    ("create", "imagescans.imagefactory.dev", [true, true, true, false]),
    ("patch", "imagescans.imagefactory.dev", [true, true, false, false]),
    ("delete", "imagescans.imagefactory.dev", [true, true, false, false]),
    ("patch", "imagescans.imagefactory.dev/status", [false; 4]),
    ("get", "quarantinerequests.imagefactory.dev", [true, true, true, true]),
    (
        "create",
        "quarantinerequests.imagefactory.dev",
        [true, true, true, false],
    ),
    // That a member withdraws his own alone, the door says.
    (
        "patch",
        "quarantinerequests.imagefactory.dev",
        [true, true, true, false],
    ),
    (
        "delete",
        "quarantinerequests.imagefactory.dev",
        [true, true, false, false],
    ),
    ("patch", "quarantinerequests.imagefactory.dev/status", [false; 4]),
    ("create", "projects.imagefactory.dev", [true, false, false, false]),
    ("delete", "projects.imagefactory.dev", [true, false, false, false]),
    ("patch", "projects.imagefactory.dev", [true, true, false, false]),
    ("patch", "tenantsettings.imagefactory.dev", [true, true, false, false]),
    ("create", "secrets", [true, true, false, false]),
    ("create", "configmaps", [true, true, false, false]),
    ("update", "configmaps", [true, true, false, false]),
    ("get", "secrets", [false; 4]),
    ("list", "secrets", [false; 4]),
    ("watch", "secrets", [false; 4]),
    ("update", "secrets", [false; 4]),
    ("patch", "secrets", [false; 4]),
    ("delete", "secrets", [false; 4]),
    ("create", "pods", [false; 4]),
    ("delete", "pods", [false; 4]),
    ("create", "pods/exec", [false; 4]),
    ("create", "jobs.batch", [false; 4]),
    ("patch", "builds.imagefactory.dev/status", [false; 4]),
    ("patch", "projects.imagefactory.dev/status", [false; 4]),
    ("create", "rolebindings.rbac.authorization.k8s.io", [false; 4]),
    ("patch", "networkpolicies.networking.k8s.io", [false; 4]),
    ("patch", "resourcequotas", [false; 4]),
    ("create", "serviceaccounts/token", [false; 4]),
    ("get", "tenants.imagefactory.dev", [false; 4]),
    ("patch", "imagepolicies.imagefactory.dev", [false; 4]),
    ("get", "sorrecords.imagefactory.dev", [false; 4]),
    ("list", "sorrecords.imagefactory.dev", [false; 4]),
];

fn person(role: &str, tenant: &TestTenant) -> String {
    if role == "owner" {
        owner_of(&tenant.name)
    } else {
        format!("{role}-of-{}", tenant.name)
    }
}

/// Writes members and roles, and waits until they are in force.
async fn settle(tenant: &TestTenant, spec: Value) -> TenantSettings {
    let _ = tenant.patch_settings(&spec).expect_ok();
    let settings = tenant.api::<TenantSettings>();
    until("the settings are in force", 30, async || {
        let found = settings.get("settings").await.unwrap();
        let status = found.status.as_ref()?;
        let is_seen = Some(status.observed_generation) == found.metadata.generation;
        (is_seen && conditions::is_true(&status.conditions, "Ready")).then_some(found)
    })
    .await
}

fn members(tenant: &TestTenant) -> Value {
    let member =
        |role: &str, title: &str| json!({"subject": {"kind": "User", "name": person(role, tenant)}, "role": title});
    json!([
        member("admin", "Admin"),
        member("member", "Member"),
        member("viewer", "Viewer")
    ])
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn each_role_may_do_what_the_table_says_and_nothing_more() {
    let tenant = TestTenant::create("roles").await;
    let settings = settle(&tenant, json!({"members": members(&tenant)})).await;
    let counts: Vec<_> = settings
        .status
        .unwrap()
        .members_by_role
        .into_iter()
        .map(|count| (count.role, count.count))
        .collect();
    assert_eq!(
        counts,
        ["Owner", "Admin", "Member", "Viewer"].map(|role| (role.to_owned(), 1))
    );
    let mut wrong = Vec::new();
    for (verb, resource, expected) in TABLE {
        for (role, expected) in ROLES.into_iter().zip(expected) {
            let name = person(role, &tenant);
            let answer = may(
                &tenant.client(),
                Person::named(&name),
                verb,
                resource,
                &tenant.namespace,
            )
            .await;
            if answer != expected {
                wrong.push(format!(
                    "{role} {} {verb} {resource}",
                    if answer { "may" } else { "may not" }
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn no_role_reaches_beyond_its_own_tenant() {
    let (tenant, other) = (TestTenant::create("one").await, TestTenant::create("other").await);
    settle(&tenant, json!({"members": members(&tenant)})).await;
    let mut wrong = Vec::new();
    let foreign = [
        other.namespace.as_str(),
        tenant.cluster.installation.work_namespace(),
        "default",
        "",
    ];
    for (verb, resource, _) in TABLE {
        for (role, namespace) in ROLES.iter().flat_map(|role| foreign.map(|namespace| (role, namespace))) {
            let name = person(role, &tenant);
            if may(&tenant.client(), Person::named(&name), verb, resource, namespace).await {
                wrong.push(format!("{role} may {verb} {resource} in {namespace:?}"));
            }
        }
        if may(
            &tenant.client(),
            Person::named("an-outsider"),
            verb,
            resource,
            &tenant.namespace,
        )
        .await
        {
            wrong.push(format!("an outsider may {verb} {resource}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_custom_role_holds_its_permissions_and_losing_it_takes_them() {
    let tenant = TestTenant::create("custom").await;
    let name = format!("releaser-of-{}", tenant.name);
    let subject = json!({"kind": "User", "name": name});
    let roles = json!([{"name": "releaser", "permissions": ["ViewProjects", "CancelBuilds"]}]);
    settle(
        &tenant,
        json!({"roles": roles, "members": [{"subject": subject, "role": "releaser"}]}),
    )
    .await;
    let asks = async |verb: &str, resource: &str| {
        may(
            &tenant.client(),
            Person::named(&name),
            verb,
            resource,
            &tenant.namespace,
        )
        .await
    };
    assert!(asks("get", "builds.imagefactory.dev").await && asks("patch", "builds.imagefactory.dev").await);
    assert!(!asks("create", "builds.imagefactory.dev").await && !asks("patch", "projects.imagefactory.dev").await);
    settle(&tenant, json!({"roles": roles, "members": []})).await;
    until("the permissions are gone", 15, async || {
        (!asks("get", "builds.imagefactory.dev").await).then_some(())
    })
    .await;
    assert!(!asks("patch", "builds.imagefactory.dev").await);
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn nobody_becomes_owner_or_a_person_of_kubernetes_by_the_settings() {
    let tenant = TestTenant::create("forged").await;
    let user = json!({"kind": "User", "name": "eve"});
    let cases = [
        (
            json!([{"subject": user, "role": "Owner"}]),
            "owners stand in the Tenant",
        ),
        (
            json!([{"subject": user, "role": "owner"}]),
            "owners stand in the Tenant",
        ),
        (json!([{"subject": user, "role": "cluster-admin"}]), "one of spec.roles"),
        (
            json!([{"subject": {"kind": "Group", "name": "system:authenticated"}, "role": "Admin"}]),
            "system:",
        ),
        (
            json!([{"subject": {"kind": "User", "name": "system:serviceaccount:default:default"}, "role": "Admin"}]),
            "system:",
        ),
    ];
    for (members, expected) in cases {
        let answer = tenant.patch_settings(&json!({"members": members}));
        assert!(
            !answer.ok && answer.stderr.contains(expected),
            "{members}: {}",
            answer.stderr
        );
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_service_account_of_a_namespace_that_the_tenant_does_not_name_any_more_is_left_out() {
    // The door lets it join only while the Tenant names its namespace (door_denials).
    let tenant = TestTenant::create_with("left-out", json!({"serviceAccountNamespaces": ["default"]})).await;
    let foreign = json!({"kind": "ServiceAccount", "name": "default", "namespace": "default"});
    let foreign = json!({"members": [{"subject": foreign, "role": "Admin"}]});
    settle(&tenant, foreign).await;
    tenant.patch(json!({"spec": {"serviceAccountNamespaces": []}})).await;
    let settings = tenant.api::<TenantSettings>();
    let ready = until("the settings say why", 30, async || {
        let status = settings.get("settings").await.unwrap().status?;
        conditions::find(&status.conditions, "Ready")
            .filter(|ready| ready.status == "False")
            .cloned()
    })
    .await;
    assert_eq!(ready.reason, "SubjectNotAllowed");
    let who = Person::service_account("system:serviceaccount:default:default");
    until("it holds nothing", 15, async || {
        let (client, namespace) = (tenant.client(), &tenant.namespace);
        (!may(&client, who, "get", "builds.imagefactory.dev", namespace).await).then_some(())
    })
    .await;
}
