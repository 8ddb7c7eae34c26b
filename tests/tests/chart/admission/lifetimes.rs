//! While the webhook is gone: who may set what keeps an object, or what has the garbage collector delete it.

use imagefactory_tests::chart::Chart;
use serde_json::{Value, json};

use super::policy::Request;
use super::{
    ADMINISTRATOR, CREDENTIALS, GARBAGE_COLLECTOR, NAMESPACE_CONTROLLER, OPERATOR, OWNER, expect, in_tenant, judge,
    namespace, request,
};
use crate::support::render;

const FINALIZERS: &str = "metadata.finalizers can't be added to";
const OWNERS: &str = "metadata.ownerReferences can't be added to or changed";
const GITOPS: &str = "system:serviceaccount:flux:apply";

const IN_TENANTS: [&str; 5] = [
    "builds",
    "imagescans",
    "quarantinerequests",
    "projects",
    "tenantsettings",
];
const OF_THE_PLATFORM: [&str; 3] = ["tenants", "imagepolicies", "sorrecords"];

fn owner(uid: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": uid})
}

fn asked(user: &str, operation: &'static str, plural: &str) -> Request {
    let resource = format!("{plural}.imagefactory.dev");
    if OF_THE_PLATFORM.contains(&plural) {
        request(user, operation, &resource)
    } else {
        in_tenant(user, operation, &resource)
    }
}

fn object(metadata: &Value) -> Value {
    let mut object = json!({"metadata": {"name": "a"}, "spec": {}});
    for (field, value) in metadata.as_object().into_iter().flatten() {
        object["metadata"][field] = value.clone();
    }
    object
}

fn create(user: &str, plural: &str, metadata: &Value) -> Request {
    Request {
        object: object(metadata),
        ..asked(user, "CREATE", plural)
    }
}

fn update(user: &str, plural: &str, old: &Value, new: &Value) -> Request {
    Request {
        old: object(old),
        object: object(new),
        ..asked(user, "UPDATE", plural)
    }
}

/// Before, after, and what a person is told.
fn updates() -> Vec<(Value, Value, &'static str)> {
    let keep = |names: &[&str]| json!({ "finalizers": names });
    let owned = |owners: &[Value]| json!({ "ownerReferences": owners });
    let mut waits = owner("1");
    waits["blockOwnerDeletion"] = json!(true);
    vec![
        (json!({}), json!({}), ""),
        (json!({}), json!({"labels": {"a": "b"}}), ""),
        (json!({}), keep(&["a.example/x"]), FINALIZERS),
        (keep(&["a.example/x"]), keep(&["a.example/x", "orphan"]), FINALIZERS),
        (keep(&["a.example/x"]), keep(&["a.example/y"]), FINALIZERS),
        (keep(&["a.example/x"]), keep(&["a.example/x"]), ""),
        (keep(&["a.example/x", "a.example/y"]), keep(&["a.example/y"]), ""),
        (keep(&["a.example/x"]), json!({}), ""),
        (json!({}), owned(&[owner("1")]), OWNERS),
        (owned(&[owner("1")]), owned(&[owner("1"), owner("2")]), OWNERS),
        (owned(&[owner("1")]), owned(&[owner("2")]), OWNERS),
        (owned(&[owner("1")]), owned(&[waits]), OWNERS),
        (owned(&[owner("1")]), owned(&[owner("1")]), ""),
        (owned(&[owner("1"), owner("2")]), owned(&[owner("2")]), ""),
        (owned(&[owner("1")]), json!({}), ""),
    ]
}

#[test]
fn nobody_adds_finalizers_or_owners_to_what_exists_and_everybody_may_take_them_away() {
    for plural in IN_TENANTS.into_iter().chain(OF_THE_PLATFORM) {
        for (old, new, words) in updates() {
            expect(&update(OWNER, plural, &old, &new), words);
            // Who holds every right in RBAC, and is of no group that the values name, is asked as well.
            expect(&update(ADMINISTRATOR, plural, &old, &new), words);
        }
    }
}

#[test]
fn what_is_one_run_or_one_request_is_made_with_owners_and_nothing_with_a_finalizer() {
    for plural in IN_TENANTS.into_iter().chain(OF_THE_PLATFORM) {
        let is_run = ["builds", "imagescans", "quarantinerequests"].contains(&plural);
        let owned = json!({"ownerReferences": [owner("1")]});
        expect(&create(OWNER, plural, &json!({})), "");
        expect(&create(OWNER, plural, &owned), if is_run { "" } else { OWNERS });
        let many: Vec<Value> = (0..17).map(|number| owner(&number.to_string())).collect();
        expect(&create(OWNER, plural, &json!({ "ownerReferences": many })), OWNERS);
        expect(&create(OWNER, plural, &json!({"finalizers": ["orphan"]})), FINALIZERS);
    }
}

#[test]
fn the_platform_gitops_the_factory_and_what_tidies_up_set_them() {
    let chart = Chart::minimal()
        .set(&format!("gitops.accounts={{{GITOPS}}}"))
        .set("platformAdmins.groups={platform}");
    let objects = render(&chart);
    let in_group = |group: &str, mut request: Request| {
        request.groups.push(group.to_owned());
        request
    };
    let marked = json!({"finalizers": ["a.example/x"], "ownerReferences": [owner("1")]});
    for plural in IN_TENANTS {
        let both = |user: &str| [create(user, plural, &marked), update(user, plural, &json!({}), &marked)];
        for request in both("paul") {
            judge(&objects, &request, FINALIZERS);
            for group in ["platform", "system:masters"] {
                judge(&objects, &in_group(group, request.clone()), "");
            }
            expect(&in_group("platform", request), FINALIZERS);
        }
        for user in [OPERATOR, CREDENTIALS, GITOPS] {
            both(user).iter().for_each(|request| judge(&objects, request, ""));
        }
        for tidying in [
            GARBAGE_COLLECTOR,
            NAMESPACE_CONTROLLER,
            "system:kube-controller-manager",
        ] {
            expect(&update(tidying, plural, &json!({}), &marked), "");
        }
        both(GITOPS).iter().for_each(|request| expect(request, FINALIZERS));
    }
}

#[test]
fn a_token_that_never_expires_is_made_in_no_tenants_namespace_by_anybody() {
    let secret = |user: &str, secret_type: Option<&str>| {
        let mut secret = object(&json!({}));
        if let Some(secret_type) = secret_type {
            secret["type"] = json!(secret_type);
        }
        Request {
            object: secret,
            ..in_tenant(user, "CREATE", "secrets")
        }
    };
    let token = Some("kubernetes.io/service-account-token");
    for user in [OWNER, ADMINISTRATOR, OPERATOR, CREDENTIALS, GARBAGE_COLLECTOR] {
        expect(&secret(user, token), "would get a token that never expires");
        for other in [None, Some("Opaque"), Some("kubernetes.io/dockerconfigjson")] {
            expect(&secret(user, other), "");
        }
    }
    let elsewhere = Request {
        namespace: Some(namespace("shop", None)),
        ..secret(OWNER, token)
    };
    expect(&elsewhere, "");
}
