//! Namespaces of tenants, and the label that says that the factory made them.

use imagefactory_tests::chart::Chart;
use serde_json::{Value, json};

use super::policy::Request;
use super::{ADMINISTRATOR, NAMESPACE_CONTROLLER, OPERATOR, OWNER, expect, judge, namespace, request};
use crate::support::render;

fn namespaces(user: &str, operation: &'static str, new: Option<Value>, old: Option<Value>) -> Request {
    let (object, old) = (new.unwrap_or_default(), old.unwrap_or_default());
    Request {
        object,
        old,
        ..request(user, operation, "namespaces")
    }
}

#[test]
fn the_factory_creates_namespaces_of_tenants_with_its_label_and_no_others() {
    let create = |name, tenant| namespaces(OPERATOR, "CREATE", Some(namespace(name, tenant)), None);
    expect(&create("tenant-acme", Some("acme")), "");
    for (name, tenant) in [
        ("tenant-acme", None),
        ("tenant-acme", Some("other")),
        ("acme", Some("acme")),
        ("tenant-", Some("")),
        ("kube-evil", None),
    ] {
        expect(
            &create(name, tenant),
            "makes only Namespaces that are named tenant-<name>",
        );
    }
}

#[test]
fn the_factory_changes_and_deletes_only_namespaces_that_it_made() {
    let made = namespace("tenant-acme", Some("acme"));
    expect(
        &namespaces(OPERATOR, "UPDATE", Some(made.clone()), Some(made.clone())),
        "",
    );
    expect(&namespaces(OPERATOR, "DELETE", None, Some(made)), "");
    for other in [
        namespace("kube-system", None),
        namespace("tenant-acme", None),
        namespace("shop", Some("acme")),
    ] {
        for (operation, new) in [("UPDATE", Some(other.clone())), ("DELETE", None)] {
            expect(
                &namespaces(OPERATOR, operation, new, Some(other.clone())),
                "changes only Namespaces that it made",
            );
        }
    }
}

#[test]
fn nobody_adopts_a_namespace_by_its_label_or_takes_the_label_away() {
    let (labelled, bare, other) = (
        namespace("tenant-acme", Some("acme")),
        namespace("tenant-acme", None),
        namespace("tenant-acme", Some("other")),
    );
    let empty = namespace("tenant-acme", Some(""));
    for user in [OWNER, ADMINISTRATOR, OPERATOR, NAMESPACE_CONTROLLER] {
        for (new, old) in [
            (&labelled, &bare),
            (&bare, &labelled),
            (&other, &labelled),
            (&empty, &bare),
            (&bare, &empty),
        ] {
            for resource in ["namespaces", "namespaces/status", "namespaces/finalize"] {
                let request = Request {
                    resource: resource.to_owned(),
                    ..namespaces(user, "UPDATE", Some(new.clone()), Some(old.clone()))
                };
                expect(&request, "can't be added, changed or removed");
            }
        }
    }
    let mut changed = labelled.clone();
    changed["metadata"]["labels"]["team"] = json!("x");
    expect(
        &namespaces(ADMINISTRATOR, "UPDATE", Some(changed), Some(labelled.clone())),
        "",
    );
    expect(
        &namespaces(
            NAMESPACE_CONTROLLER,
            "UPDATE",
            Some(labelled.clone()),
            Some(labelled.clone()),
        ),
        "",
    );
    expect(&namespaces(ADMINISTRATOR, "DELETE", None, Some(labelled)), "");
}

#[test]
fn nobody_but_the_factory_and_platform_administrators_creates_a_namespace_with_the_label() {
    let labelled = || Some(namespace("tenant-acme", Some("acme")));
    expect(
        &namespaces(OWNER, "CREATE", labelled(), None),
        "only Image Factory makes Namespaces with the label",
    );
    expect(&namespaces(OWNER, "CREATE", Some(namespace("shop", None)), None), "");
    let objects = render(&Chart::full());
    let as_administrator = |namespace: Value| Request {
        groups: vec!["oidc:security team".to_owned()],
        ..namespaces("carol", "CREATE", Some(namespace), None)
    };
    judge(&objects, &as_administrator(namespace("tenant-acme", Some("acme"))), "");
    judge(
        &objects,
        &as_administrator(namespace("tenant-acme", Some("other"))),
        "makes only Namespaces that are named",
    );
    judge(&objects, &as_administrator(namespace("shop", None)), "");
    judge(
        &objects,
        &namespaces(OWNER, "CREATE", labelled(), None),
        "only Image Factory makes Namespaces",
    );
}
