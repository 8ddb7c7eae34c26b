//! What the webhook's account may make of webhook configurations, and who can say who asked for a Build.

use serde_json::{Value, json};

use super::policy::Request;
use super::{ADMINISTRATOR, OWNER, expect, in_tenant, request};

const WEBHOOK: &str = "system:serviceaccount:image-factory-system:image-factory-webhook";

fn configuration(name: &str, client: &Value, group: &str) -> Value {
    json!({"metadata": {"name": name}, "webhooks": [{
        "name": "a.imagefactory.dev", "clientConfig": client, "rules": [{"apiGroups": [group]}],
    }]})
}

fn service(name: &str, namespace: &str) -> Value {
    json!({"service": {"name": name, "namespace": namespace}})
}

fn write(user: &str, object: &Value) -> Vec<Request> {
    let kinds = ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"];
    let of = |(operation, kind): (&'static str, &str)| Request {
        object: object.clone(),
        old: object.clone(),
        ..request(user, operation, &format!("{kind}.admissionregistration.k8s.io"))
    };
    kinds
        .into_iter()
        .flat_map(|kind| [("CREATE", kind), ("UPDATE", kind)])
        .map(of)
        .collect()
}

#[test]
fn the_webhooks_account_writes_its_own_configurations_for_its_own_service_and_our_kinds() {
    let (own, name, ours) = (
        service("image-factory-webhook", "image-factory-system"),
        "image-factory-webhook",
        "imagefactory.dev",
    );
    let elsewhere = json!({"url": "https://evil.example.com"});
    for (object, words) in [
        (configuration(name, &own, ours), ""),
        (
            configuration("everything", &own, ours),
            "writes no webhook configuration but its own",
        ),
        (configuration(name, &own, "*"), "asked about no kinds but"),
        (configuration(name, &own, ""), "asked about no kinds but"),
        (configuration(name, &elsewhere, ours), "no Service called but its own"),
        (
            configuration(name, &service("image-factory-webhook", "tenant-acme"), ours),
            "no Service called but its own",
        ),
        (
            configuration(name, &service("other", "image-factory-system"), ours),
            "no Service called but its own",
        ),
    ] {
        for request in write(WEBHOOK, &object) {
            expect(&request, words);
        }
    }
    for request in write(ADMINISTRATOR, &configuration("everything", &elsewhere, "*")) {
        expect(&request, "");
    }
}

#[test]
fn nobody_says_that_somebody_else_asked_for_a_build() {
    let asked = |annotations: Value| Request {
        object: json!({"metadata": {"name": "b", "annotations": annotations}}),
        ..in_tenant(OWNER, "CREATE", "builds.imagefactory.dev")
    };
    expect(&asked(json!({"a": "b"})), "");
    expect(&asked(json!({"imagefactory.dev/requested-by": OWNER})), "");
    for forged in [ADMINISTRATOR, "", "bob@acme.example"] {
        expect(
            &asked(json!({"imagefactory.dev/requested-by": forged})),
            "is written by Image Factory",
        );
    }
    let bare = Request {
        object: json!({"metadata": {"name": "b"}}),
        ..in_tenant(OWNER, "CREATE", "builds.imagefactory.dev")
    };
    expect(&bare, "");
}

#[test]
fn who_asked_can_not_be_changed_later_while_the_webhook_is_gone() {
    let object = |stamp: Option<&str>| {
        let annotations = stamp.map_or(
            json!({"a": "b"}),
            |stamp| json!({"imagefactory.dev/requested-by": stamp}),
        );
        json!({"metadata": {"name": "b", "annotations": annotations}})
    };
    let change = |old: Option<&str>, new: Option<&str>| Request {
        object: object(new),
        old: object(old),
        ..in_tenant(OWNER, "UPDATE", "builds.imagefactory.dev")
    };
    for (old, new) in [(Some("mia"), Some("mia")), (Some("mia"), None), (None, None)] {
        expect(&change(old, new), "");
    }
    for (old, new) in [(Some("mia"), Some(OWNER)), (None, Some(OWNER)), (Some(""), Some("mia"))] {
        expect(&change(old, new), "is written by Image Factory");
    }
}
