//! Tenants: not deleted while builds run, and not changed by the factory's own accounts.

use serde_json::{Value, json};

use super::policy::Request;
use super::{ADMINISTRATOR, CREDENTIALS, OPERATOR, expect, request};

fn tenant(running: Option<u32>) -> Value {
    let mut tenant = json!({
        "metadata": {"name": "acme", "labels": {"team": "a"}, "finalizers": ["imagefactory.dev/tenant"]},
        "spec": {"owners": [{"kind": "User", "name": "alice"}], "suspended": false},
    });
    if let Some(running) = running {
        tenant["status"] = json!({"observedGeneration": 1, "usage": {"builds": {"running": running, "queued": 3}}});
    }
    tenant
}

fn delete(user: &str, old: Value) -> Request {
    Request {
        old,
        ..request(user, "DELETE", "tenants.imagefactory.dev")
    }
}

fn change(user: &str, old: &Value, pointer: &str, value: Value) -> Request {
    let mut object = old.clone();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = object.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        parent.remove(field);
    } else {
        parent.insert(field.to_owned(), value);
    }
    Request {
        object,
        old: old.clone(),
        ..request(user, "UPDATE", "tenants.imagefactory.dev")
    }
}

#[test]
fn a_tenant_is_not_deleted_while_its_status_says_that_builds_run() {
    for running in [1, 500] {
        expect(
            &delete(ADMINISTRATOR, tenant(Some(running))),
            "wait until they have ended or cancel them",
        );
    }
    expect(&delete(ADMINISTRATOR, tenant(Some(0))), "");
    // One that was never looked at, and one of which nothing was counted yet: the finalizer waits.
    expect(&delete(ADMINISTRATOR, tenant(None)), "");
    let mut uncounted = tenant(None);
    uncounted["status"] = json!({"observedGeneration": 1});
    expect(&delete(ADMINISTRATOR, uncounted), "");
    // To ask again is no second deletion.
    let mut going = tenant(Some(2));
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    expect(&delete(ADMINISTRATOR, going), "");
}

#[test]
fn the_factorys_accounts_change_nothing_of_a_tenant_but_its_finalizers() {
    let before = tenant(Some(2));
    for user in [OPERATOR, CREDENTIALS] {
        expect(&change(user, &before, "/metadata/finalizers", Value::Null), "");
        expect(
            &change(
                user,
                &before,
                "/metadata/finalizers",
                json!(["a", "imagefactory.dev/tenant"]),
            ),
            "",
        );
        for (pointer, value) in [
            ("/spec/suspended", json!(true)),
            ("/spec/delegateApproval", json!(true)),
            ("/spec/owners", json!([{"kind": "User", "name": "eve"}])),
            ("/metadata/labels", json!({"team": "b"})),
            // The garbage collector deletes what has an owner that is not there.
            (
                "/metadata/ownerReferences",
                json!([{"apiVersion": "v1", "kind": "Node", "name": "gone", "uid": "1"}]),
            ),
            ("/metadata/labels", Value::Null),
            ("/metadata/annotations", json!({"imagefactory.dev/confirm": "acme"})),
        ] {
            expect(
                &change(user, &before, pointer, value),
                "change nothing of a Tenant but its finalizers",
            );
        }
    }
    expect(&change(ADMINISTRATOR, &before, "/spec/suspended", json!(true)), "");
}
