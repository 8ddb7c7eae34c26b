//! The door, where only the whole of it will do: an uninvited hand takes its configurations away.
//!
//! Runs alone: for a moment nobody is asked about what others write.

use imagefactory_crds::names::ANNOTATION_REQUESTED_BY;
use imagefactory_tests::TestTenant;
use imagefactory_tests::access::{Person, may};
use imagefactory_tests::cluster::unique;
use imagefactory_tests::dockerfile::quick;
use imagefactory_tests::door::{Raw, Told, ours};
use imagefactory_tests::wait::until;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn configurations_that_somebody_deletes_are_put_back_and_the_door_is_shut_again() {
    let off = json!({"capabilities": {"build": false, "changeReason": "a test"}});
    let tenant = TestTenant::create_with("door-back", off).await;
    let name = tenant.cluster.webhook();
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(tenant.client());
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(tenant.client());
    let uids = (
        validating.get(&name).await.unwrap().metadata.uid,
        mutating.get(&name).await.unwrap().metadata.uid,
    );
    validating.delete(&name, &DeleteParams::default()).await.unwrap();
    mutating.delete(&name, &DeleteParams::default()).await.unwrap();
    until("both configurations are made anew", 30, async || {
        let validating = validating.get_opt(&name).await.unwrap()?.metadata.uid;
        let mutating = mutating.get_opt(&name).await.unwrap()?.metadata.uid;
        (validating != uids.0 && mutating != uids.1).then_some(())
    })
    .await;
    tenant.cluster.until_door_stands();
    let refused = until("the door is shut again", 15, async || {
        let spec = json!({"projectRef": {"name": "app"}, "source": quick()});
        let object = json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build", "metadata": {"name": unique("try")}, "spec": spec,
        });
        let answer = imagefactory_tests::access::create(&tenant.client(), Some(&tenant.namespace), &object).await;
        answer.err()
    })
    .await;
    assert!(refused.starts_with("403 tenant_capability_not_entitled"), "{refused}");
}

/// Who asks in the test below: a name, and a role.
const PEOPLE: [(&str, &str); 4] = [
    ("editor", "editor"),
    ("manager", "manager"),
    ("member", "Member"),
    ("stopper", "stopper"),
];

/// Custom roles of that tenant, of which the editor's has these permissions.
fn roles(editors: &[&str]) -> Value {
    let role = |name: &str, permissions: &[&str]| json!({"name": name, "permissions": permissions});
    json!([
        role("editor", editors),
        role("manager", &["ViewProjects", "ManageTeam"]),
        role("stopper", &["ViewProjects", "CancelBuilds"]),
    ])
}

/// A tenant with those people, once RBAC knows them.
async fn peopled() -> TestTenant {
    let tenant = TestTenant::create("door-persons").await;
    let members = PEOPLE.map(|(name, role)| json!({"subject": {"kind": "User", "name": name}, "role": role}));
    let spec = json!({
        "roles": roles(&["ViewProjects", "EditSettings"]),
        "members": members,
    });
    let _ = tenant.patch_settings(&spec).expect_ok();
    for (name, verb, kind) in [
        ("editor", "patch", "tenantsettings"),
        ("manager", "manageteam", "tenantsettings"),
        ("member", "patch", "quarantinerequests"),
        ("stopper", "delete", "quarantinerequests"),
    ] {
        let resource = format!("{kind}.imagefactory.dev");
        until(&format!("{name} may"), 30, async || {
            let holds = may(
                &tenant.client(),
                Person::named(name),
                verb,
                &resource,
                &tenant.namespace,
            )
            .await;
            holds.then_some(())
        })
        .await;
    }
    tenant
}

async fn send(tenant: &TestTenant, user: &str, raw: &Raw) -> Told {
    let client = tenant.cluster.client_as(user, &["system:authenticated"]).await;
    raw.send(&client, false).await
}

fn request(tenant: &TestTenant, name: &str, requester: Option<&str>) -> Raw {
    let spec = json!({
        "source": {"image": "quay.io/example/app:1"}, "sorRecordId": "NONE-1", "justification": "A test of the door.",
        "projectRef": {"name": "app"},
    });
    let mut request = ours("QuarantineRequest", name, &spec);
    request["metadata"]["annotations"] = match requester {
        Some(requester) => json!({ANNOTATION_REQUESTED_BY: requester}),
        None => json!({}),
    };
    Raw::create(tenant.path("quarantinerequests", ""), request)
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn while_nobody_stands_at_the_door_nobody_joins_the_team_or_withdraws_for_others_without_the_right() {
    let tenant = peopled().await;
    let _away = tenant.cluster.without_door();
    let settings = |spec: Value| Raw::change(tenant.path("tenantsettings", "settings"), json!({"spec": spec}));
    let admin = json!([{"subject": {"kind": "User", "name": "editor"}, "role": "Admin"}]);
    let told = send(&tenant, "editor", &settings(json!({"members": admin}))).await;
    assert_eq!((told.http, told.reason()), (403, "Forbidden"), "{}", told.body);
    assert!(
        told.message().contains("you need the permission ManageTeam"),
        "{}",
        told.body
    );
    let taken = roles(&["ViewProjects", "EditSettings", "ManageTeam"]);
    let told = send(&tenant, "editor", &settings(json!({"roles": taken}))).await;
    assert_eq!(told.http, 403, "{}", told.body);
    let told = send(&tenant, "editor", &settings(json!({"displayName": "Still mine"}))).await;
    assert_eq!(told.http, 200, "{}", told.body);
    // Nobody stamps them now.
    assert_eq!(
        send(&tenant, "member", &request(&tenant, "own", Some("member")))
            .await
            .http,
        201
    );
    assert_eq!(
        send(&tenant, "member", &request(&tenant, "forged", Some("stopper")))
            .await
            .http,
        403
    );
    let others = request(&tenant, "others", None).send(&tenant.client(), false).await;
    assert_eq!(others.http, 201, "{}", others.body);
    let withdraw = |name: &str| {
        Raw::change(
            tenant.path("quarantinerequests", name),
            json!({"spec": {"withdrawn": true}}),
        )
    };
    let told = send(&tenant, "member", &withdraw("others")).await;
    assert_eq!(told.http, 403, "{}", told.body);
    assert!(
        told.message().contains("you need the permission CancelBuilds"),
        "{}",
        told.body
    );
    for (user, name) in [("member", "own"), ("stopper", "others")] {
        let told = send(&tenant, user, &withdraw(name)).await;
        assert_eq!(told.http, 200, "{user} {name}: {}", told.body);
    }
    let told = send(&tenant, "manager", &settings(json!({"members": []}))).await;
    assert_eq!(told.http, 200, "{}", told.body);
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn while_nobody_stands_at_the_door_no_person_says_how_long_an_object_stays() {
    let tenant = peopled().await;
    let _away = tenant.cluster.without_door();
    let administrator = tenant.client();
    let told = request(&tenant, "asked", None).send(&administrator, false).await;
    assert_eq!(told.http, 201, "{}", told.body);
    let path = tenant.path("quarantinerequests", "asked");
    let change = |metadata: Value| Raw::change(path.clone(), json!({ "metadata": metadata }));
    let settings = |metadata: Value| {
        Raw::change(
            tenant.path("tenantsettings", "settings"),
            json!({ "metadata": metadata }),
        )
    };
    let keeps = json!({"finalizers": ["example.com/keep"]});
    let owner = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "6a1ccd9c-0d3c-4c3e-9f53-5f1c0f7f2f11",
    });
    let goes = json!({"ownerReferences": [owner]});
    for (user, what) in [
        ("member", change(keeps.clone())),
        ("member", change(goes.clone())),
        ("editor", settings(keeps.clone())),
        ("editor", settings(goes.clone())),
    ] {
        let told = send(&tenant, user, &what).await;
        assert_eq!(
            (told.http, told.reason()),
            (403, "Forbidden"),
            "{user} {what:?}: {}",
            told.body
        );
        assert!(told.message().contains("can't be added to"), "{}", told.body);
    }
    let labelled = change(json!({"labels": {"a": "b"}}));
    assert_eq!(send(&tenant, "member", &labelled).await.http, 200);
    let told = change(keeps).send(&administrator, false).await;
    assert_eq!(told.http, 200, "{}", told.body);
    let freed = send(&tenant, "member", &change(json!({"finalizers": []}))).await;
    assert_eq!(freed.http, 200, "what keeps it anybody may take away: {}", freed.body);
    let mut owned = request(&tenant, "owned", Some("member"));
    owned.body["metadata"]["ownerReferences"] = goes["ownerReferences"].clone();
    assert_eq!(send(&tenant, "member", &owned).await.http, 201);
    let told = change(goes).send(&administrator, false).await;
    assert_eq!(told.http, 200, "{}", told.body);
    for name in ["asked", "owned"] {
        until("the garbage collector deletes it", 60, async || {
            let told = Raw::get(tenant.path("quarantinerequests", name))
                .send(&administrator, false)
                .await;
            (told.http == 404).then_some(())
        })
        .await;
    }
}
