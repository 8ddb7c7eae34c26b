//! Names that begin with `imagefactory-` in tenants' namespaces.

use serde_json::json;

use super::policy::Request;
use super::{
    ADMINISTRATOR, CREDENTIALS, GARBAGE_COLLECTOR, JOB_CONTROLLER, NAMESPACE_CONTROLLER, OPERATOR, OWNER, expect,
    in_tenant, namespace, request,
};

#[test]
fn reserved_names_are_written_by_the_factory_alone() {
    let reserved = json!({"metadata": {"name": "imagefactory-staging"}});
    for resource in ["secrets", "configmaps", "serviceaccounts"] {
        let create = |user: &str| Request {
            object: reserved.clone(),
            ..in_tenant(user, "CREATE", resource)
        };
        let update = |user: &str| Request {
            old: reserved.clone(),
            ..Request {
                operation: "UPDATE",
                ..create(user)
            }
        };
        // A deleted collection has no name in the request: the object's own counts.
        let delete = |user: &str| Request {
            old: reserved.clone(),
            ..in_tenant(user, "DELETE", resource)
        };
        for factory in [OPERATOR, CREDENTIALS] {
            [create(factory), update(factory), delete(factory)]
                .iter()
                .for_each(|request| expect(request, ""));
        }
        for other in [OWNER, ADMINISTRATOR, JOB_CONTROLLER] {
            [create(other), update(other), delete(other)]
                .iter()
                .for_each(|request| expect(request, "reserved for Image Factory"));
        }
        for tidying in [
            NAMESPACE_CONTROLLER,
            GARBAGE_COLLECTOR,
            "system:kube-controller-manager",
        ] {
            expect(&delete(tidying), "");
            expect(&create(tidying), "reserved for Image Factory");
        }
    }
}

#[test]
fn other_names_and_other_namespaces_are_free() {
    let own = json!({"metadata": {"name": "my-imagefactory-token"}});
    expect(
        &Request {
            object: own,
            ..in_tenant(OWNER, "CREATE", "secrets")
        },
        "",
    );
    let reserved = json!({"metadata": {"name": "imagefactory-anything"}});
    let elsewhere = Some(namespace("shop", None));
    expect(
        &Request {
            namespace: elsewhere,
            object: reserved,
            ..request(OWNER, "CREATE", "secrets")
        },
        "",
    );
}
