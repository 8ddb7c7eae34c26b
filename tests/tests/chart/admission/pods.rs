//! What runs in a tenant's namespace, and that nobody gets into it.

use imagefactory_tests::chart::Chart;
use serde_json::{Value, json};

use super::policy::Request;
use super::{
    ADMINISTRATOR, CREDENTIALS, JOB_CONTROLLER, OPERATOR, OWNER, expect, in_tenant, judge, namespace, request,
};
use crate::support::render;

fn pod(spec: &Value) -> Value {
    let mut whole = json!({"hostUsers": false, "automountServiceAccountToken": false, "containers": [{"name": "x"}]});
    for (key, value) in spec.as_object().unwrap() {
        whole[key] = value.clone();
        if value.is_null() {
            whole.as_object_mut().unwrap().remove(key);
        }
    }
    json!({"metadata": {"name": "b-build-1"}, "spec": whole})
}

pub(crate) fn creates_pod(user: &str, spec: &Value) -> Request {
    Request {
        object: pod(spec),
        ..in_tenant(user, "CREATE", "pods")
    }
}

#[test]
fn pods_in_a_tenants_namespace_are_made_by_the_operator_and_the_job_controller_alone() {
    for maker in [OPERATOR, JOB_CONTROLLER, "system:kube-controller-manager"] {
        expect(&creates_pod(maker, &json!({})), "");
    }
    for other in [
        OWNER,
        ADMINISTRATOR,
        CREDENTIALS,
        "system:serviceaccount:kube-system:replicaset-controller",
        "system:node:node-1",
    ] {
        expect(&creates_pod(other, &json!({})), "only Image Factory makes pods");
    }
}

#[test]
fn jobs_there_are_made_by_the_operator_alone_since_the_job_controller_makes_pods_for_everybody() {
    let job =
        json!({"metadata": {"name": "publish-1"}, "spec": {"template": {"spec": {"containers": [{"name": "x"}]}}}});
    for (user, resource, words) in [
        (OPERATOR, "jobs.batch", ""),
        (ADMINISTRATOR, "jobs.batch", "only Image Factory"),
        (JOB_CONTROLLER, "jobs.batch", "only Image Factory"),
        (OWNER, "cronjobs.batch", "only Image Factory"),
    ] {
        expect(
            &Request {
                object: job.clone(),
                ..in_tenant(user, "CREATE", resource)
            },
            words,
        );
    }
}

#[test]
fn a_pod_without_a_user_namespace_of_its_own_is_refused() {
    for host_users in [Value::Null, json!(true)] {
        expect(
            &creates_pod(OPERATOR, &json!({"hostUsers": host_users})),
            "spec.hostUsers must be false",
        );
    }
    let waived = render(&Chart::minimal().set("requireUserNamespaces=false"));
    judge(&waived, &creates_pod(OPERATOR, &json!({"hostUsers": null})), "");
    judge(
        &waived,
        &creates_pod(OPERATOR, &json!({"automountServiceAccountToken": null})),
        "automountServiceAccountToken must be false",
    );
}

#[test]
fn a_pod_with_a_token_of_any_sort_is_refused() {
    for automount in [Value::Null, json!(true)] {
        expect(
            &creates_pod(OPERATOR, &json!({"automountServiceAccountToken": automount})),
            "automountServiceAccountToken must be false",
        );
    }
    let projected = |source: Value| json!({"volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "projected": {"sources": [{"secret": {"name": "s"}}, source]}}]});
    expect(
        &creates_pod(OPERATOR, &projected(json!({"serviceAccountToken": {"path": "token"}}))),
        "no service account token",
    );
    expect(
        &creates_pod(OPERATOR, &projected(json!({"podCertificate": {"signerName": "x"}}))),
        "no certificate",
    );
    expect(
        &creates_pod(OPERATOR, &projected(json!({"configMap": {"name": "c"}}))),
        "",
    );
    expect(
        &creates_pod(OPERATOR, &json!({"volumes": [{"name": "a", "projected": {}}]})),
        "",
    );
}

#[test]
fn nobody_enters_a_tenants_pod() {
    for user in [OWNER, ADMINISTRATOR, OPERATOR] {
        for way in ["exec", "attach", "portforward", "proxy"] {
            expect(
                &in_tenant(user, "CONNECT", &format!("pods/{way}")),
                "nobody enters a pod",
            );
        }
    }
    let with = |debuggers: &[&str]| {
        let containers: Vec<Value> = debuggers.iter().map(|name| json!({"name": name})).collect();
        pod(&json!({"ephemeralContainers": containers}))
    };
    for resource in ["pods/ephemeralcontainers", "pods"] {
        let update = |object: Value, old: Value| Request {
            object,
            old,
            ..in_tenant(ADMINISTRATOR, "UPDATE", resource)
        };
        expect(
            &update(with(&["debugger"]), pod(&json!({}))),
            "ephemeral containers are refused",
        );
        expect(
            &update(with(&["one", "two"]), with(&["one"])),
            "ephemeral containers are refused",
        );
        expect(&update(with(&["one"]), with(&["one"])), "");
        expect(&update(pod(&json!({"activeDeadlineSeconds": 1})), pod(&json!({}))), "");
    }
}

#[test]
fn pods_elsewhere_are_not_the_factorys_business() {
    let elsewhere = Some(namespace("shop", None));
    let bare = json!({"metadata": {"name": "x"}, "spec": {"containers": []}});
    expect(
        &Request {
            namespace: elsewhere.clone(),
            object: bare,
            ..request(OWNER, "CREATE", "pods")
        },
        "",
    );
    expect(
        &Request {
            namespace: elsewhere,
            ..request(OWNER, "CONNECT", "pods/exec")
        },
        "",
    );
}
