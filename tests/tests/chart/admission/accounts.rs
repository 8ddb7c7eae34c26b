//! Where the factory's own service accounts may write.

use imagefactory_tests::chart::Chart;
use serde_json::{Value, json};

use super::pods::creates_pod;
use super::policy::Request;
use super::{ADMINISTRATOR, CREDENTIALS, OPERATOR, expect, in_tenant, judge, namespace, request};
use crate::support::render;

#[test]
fn the_factorys_accounts_write_in_the_factorys_namespaces_alone() {
    let object = json!({"metadata": {"name": "x"}, "roleRef": {"name": "image-factory-viewer"}});
    let write = |user: &str, operation: &'static str, resource: &str, namespace: Value| Request {
        namespace: Some(namespace),
        object: object.clone(),
        old: object.clone(),
        ..request(user, operation, resource)
    };
    let mine = [
        namespace("tenant-acme", Some("acme")),
        namespace("image-factory-system", None),
        namespace("image-factory-work", None),
    ];
    let not_mine = [
        namespace("kube-system", None),
        namespace("shop", None),
        namespace("default", None),
        namespace("tenant-acme", None),
        namespace("tenant-acme", Some("")),
        // Labelled by somebody else: name and label must agree.
        namespace("kube-system", Some("acme")),
        namespace("tenant-acme", Some("other")),
    ];
    for user in [OPERATOR, CREDENTIALS] {
        for (operation, resource) in [
            ("UPDATE", "configmaps"),
            ("DELETE", "serviceaccounts"),
            ("CREATE", "serviceaccounts/token"),
            ("UPDATE", "deployments/scale.apps"),
        ] {
            for namespace in &mine {
                expect(&write(user, operation, resource, namespace.clone()), "");
            }
            for namespace in &not_mine {
                expect(
                    &write(user, operation, resource, namespace.clone()),
                    "write only in namespaces of tenants",
                );
            }
        }
        for operation in ["CREATE", "UPDATE"] {
            expect(
                &write(user, operation, "events.events.k8s.io", namespace("default", None)),
                "",
            );
            expect(
                &write(user, operation, "events.events.k8s.io", namespace("kube-system", None)),
                "write only in namespaces",
            );
        }
        expect(
            &write(user, "CONNECT", "services/proxy", namespace("kube-system", None)),
            "write only in namespaces",
        );
    }
    expect(
        &write(ADMINISTRATOR, "CREATE", "configmaps", namespace("kube-system", None)),
        "",
    );
}

#[test]
fn the_factorys_accounts_bind_roles_in_namespaces_of_tenants_alone() {
    for user in [OPERATOR, CREDENTIALS] {
        for (name, tenant, words) in [
            ("tenant-acme", Some("acme"), ""),
            (
                "image-factory-system",
                None,
                "bind roles in namespaces of tenants alone",
            ),
            ("image-factory-work", None, "bind roles in namespaces of tenants alone"),
        ] {
            let bind = Request {
                namespace: Some(namespace(name, tenant)),
                object: json!({"metadata": {"name": "x"}, "roleRef": {"name": "image-factory-viewer"}}),
                ..request(user, "CREATE", "rolebindings.rbac.authorization.k8s.io")
            };
            expect(&bind, words);
        }
    }
}

#[test]
fn the_factorys_accounts_write_objects_without_a_namespace_as_rbac_lets_them() {
    let tenant = json!({"metadata": {"name": "acme"}});
    expect(
        &Request {
            object: tenant.clone(),
            old: tenant,
            ..request(OPERATOR, "UPDATE", "tenants/status.imagefactory.dev")
        },
        "",
    );
}

#[test]
fn policies_know_the_accounts_by_the_names_that_values_give_them() {
    let objects = render(&Chart::full());
    let operator = "system:serviceaccount:image-factory-system:img-op";
    judge(&objects, &creates_pod(operator, &json!({})), "");
    judge(
        &objects,
        &creates_pod(OPERATOR, &json!({})),
        "only Image Factory makes pods",
    );
    let object = json!({"metadata": {"name": "x"}});
    for user in [operator, "system:serviceaccount:img-work:img-cred"] {
        let write = Request {
            namespace: Some(namespace("shop", None)),
            object: object.clone(),
            ..request(user, "CREATE", "secrets")
        };
        judge(&objects, &write, "write only in namespaces of tenants");
    }
}

#[test]
fn the_right_to_place_staging_credentials_is_given_to_the_credentials_role_alone() {
    let account = |name: &str, namespace: &str| json!({"kind": "ServiceAccount", "name": name, "namespace": namespace});
    let credentials = account("image-factory-credentials", "image-factory-work");
    let binds = |role: &str, subjects: Value| {
        let mut object = json!({"metadata": {"name": "x"}, "roleRef": {"kind": "ClusterRole", "name": role}});
        if !subjects.is_null() {
            object["subjects"] = subjects;
        }
        Request {
            object,
            ..in_tenant(OPERATOR, "CREATE", "rolebindings.rbac.authorization.k8s.io")
        }
    };
    expect(&binds("image-factory-tenant-credentials", json!([credentials])), "");
    for subjects in [
        Value::Null,
        json!([account("image-factory-operator", "image-factory-system")]),
        json!([account("image-factory-credentials", "tenant-acme")]),
        json!([credentials, {"kind": "User", "name": "alice"}]),
        json!([{"kind": "Group", "name": "image-factory-credentials", "namespace": "image-factory-work"}]),
    ] {
        expect(
            &binds("image-factory-tenant-credentials", subjects),
            "the credentials role's alone",
        );
    }
    expect(
        &binds("image-factory-viewer", json!([{"kind": "User", "name": "alice"}])),
        "",
    );
    let deleted = json!({"metadata": {"name": "x"}, "roleRef": {"name": "image-factory-tenant-credentials"}});
    expect(
        &Request {
            old: deleted,
            ..in_tenant(OPERATOR, "DELETE", "rolebindings.rbac.authorization.k8s.io")
        },
        "",
    );
}
