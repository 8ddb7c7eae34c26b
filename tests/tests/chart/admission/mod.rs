//! The walls (trust.md, "Pods", "Credentials" and "The factory's own rights"): each ValidatingAdmissionPolicy of the
//! chart, with requests that it lets through and requests that try to get past it.

mod accounts;
mod lifetimes;
mod names;
mod namespaces;
mod persons;
mod pods;
mod policy;
mod records;
mod status;
mod tenants;
mod webhook;

use crate::support::{local, render};
use imagefactory_tests::chart::Chart;
use imagefactory_tests::chart::object::{list, name, of_kind, text};
use policy::{Request, refusals};
use serde_json::{Value, json};

const OPERATOR: &str = "system:serviceaccount:image-factory-system:image-factory-operator";
const CREDENTIALS: &str = "system:serviceaccount:image-factory-work:image-factory-credentials";
const JOB_CONTROLLER: &str = "system:serviceaccount:kube-system:job-controller";
const GARBAGE_COLLECTOR: &str = "system:serviceaccount:kube-system:generic-garbage-collector";
const NAMESPACE_CONTROLLER: &str = "system:serviceaccount:kube-system:namespace-controller";
const OWNER: &str = "alice@acme.example";
const ADMINISTRATOR: &str = "kubernetes-admin";

fn namespace(name: &str, tenant: Option<&str>) -> Value {
    match tenant {
        Some(tenant) => json!({"metadata": {"name": name, "labels": {"imagefactory.dev/tenant": tenant}}}),
        None => json!({"metadata": {"name": name}}),
    }
}

fn request(user: &str, operation: &'static str, resource: &str) -> Request {
    Request {
        user: user.to_owned(),
        groups: vec!["system:authenticated".to_owned()],
        verbs: &[],
        operation,
        resource: resource.to_owned(),
        namespace: None,
        object: Value::Null,
        old: Value::Null,
    }
}

fn in_tenant(user: &str, operation: &'static str, resource: &str) -> Request {
    Request {
        namespace: Some(namespace("tenant-acme", Some("acme"))),
        ..request(user, operation, resource)
    }
}

/// Asserts what the default chart says: admitted where `words` is empty, else refused with these words.
#[track_caller]
fn expect(request: &Request, words: &str) {
    judge(&render(&Chart::minimal()), request, words);
}

#[track_caller]
fn judge(objects: &[Value], request: &Request, words: &str) {
    let said = refusals(objects, request);
    let as_expected = if words.is_empty() {
        said.is_empty()
    } else {
        said.iter().any(|message| message.contains(words))
    };
    assert!(as_expected, "expected {words:?}, got {said:?} for {request:#?}");
}

#[test]
fn every_policy_is_bound_fails_closed_and_says_why_in_words() {
    for chart in [Chart::minimal(), Chart::full(), local()] {
        let objects = render(&chart);
        let policies: Vec<&Value> = of_kind(&objects, "ValidatingAdmissionPolicy").collect();
        // One more where the webhook writes its configurations itself.
        assert!(matches!(policies.len(), 13 | 14), "{}", policies.len());
        for policy in policies {
            let bindings: Vec<&Value> = of_kind(&objects, "ValidatingAdmissionPolicyBinding")
                .filter(|binding| text(binding, "/spec/policyName") == name(policy))
                .collect();
            assert_eq!(bindings.len(), 1, "{}", name(policy));
            assert!(
                bindings[0]["spec"].get("matchResources").is_none(),
                "a binding that narrows would leave a gap"
            );
            assert_eq!(policy["spec"]["failurePolicy"], "Fail", "{}", name(policy));
            for validation in list(policy, "/spec/validations") {
                assert!(text(validation, "/message").len() > 40, "{}", name(policy));
                assert_eq!(validation["reason"], "Forbidden", "{}", name(policy));
            }
        }
    }
}
