//! A small stand-in for the API server's admission: which of the chart's ValidatingAdmissionPolicies matches a
//! request, and what their CEL says.

use imagefactory_tests::chart::object::{find, list, name, of_kind, text};
use kube_cel::cel::extractors::This;
use kube_cel::cel::{Context, Program, ResolveResult, Value as Cel, to_value};
use serde_json::{Value, json};
use std::sync::Arc;

/// A request to the API server.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks.
    pub user: String,
    /// Their groups.
    pub groups: Vec<String>,
    /// Verbs that RBAC gives them on what is asked about: what `authorizer.requestResource` answers by.
    pub verbs: &'static [&'static str],
    /// CREATE, UPDATE, DELETE or CONNECT.
    pub operation: &'static str,
    /// As in `pods/exec` or `jobs.batch`.
    pub resource: String,
    /// The namespace that it is in; none for what has none.
    pub namespace: Option<Value>,
    /// The object as it is to be.
    pub object: Value,
    /// The object as it is.
    pub old: Value,
}

impl Request {
    fn resource(&self) -> (&str, &str, &str) {
        let (resource, group) = self.resource.split_once('.').unwrap_or((&self.resource, ""));
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        (group, resource, subresource)
    }

    /// The namespace's name; a Namespace is in itself.
    fn namespace(&self) -> String {
        let own = if self.resource().1 == "namespaces" {
            name(or_old(self))
        } else {
            ""
        };
        self.namespace.as_ref().map_or(own, name).to_owned()
    }

    fn as_json(&self) -> Value {
        let (group, resource, subresource) = self.resource();
        json!({
            "operation": self.operation,
            "userInfo": {"username": self.user, "groups": self.groups},
            "namespace": self.namespace(),
            "resource": {"group": group, "version": "v1", "resource": resource},
            "subResource": subresource,
            "dryRun": false,
        })
    }
}

fn or_old(request: &Request) -> &Value {
    if request.object.is_null() {
        &request.old
    } else {
        &request.object
    }
}

/// What every policy that is bound says against a request; empty when it is admitted.
pub fn refusals(objects: &[Value], request: &Request) -> Vec<String> {
    of_kind(objects, "ValidatingAdmissionPolicyBinding")
        .inspect(|binding| {
            assert_eq!(
                binding["spec"]["validationActions"],
                json!(["Deny"]),
                "{}",
                name(binding)
            );
        })
        .map(|binding| {
            find(objects, "ValidatingAdmissionPolicy", text(binding, "/spec/policyName")).expect("the policy exists")
        })
        .filter(|policy| matches(policy, request))
        .flat_map(|policy| judge(policy, request))
        .collect()
}

fn matches(policy: &Value, request: &Request) -> bool {
    let constraints = &policy["spec"]["matchConstraints"];
    let selected = list(constraints, "/namespaceSelector/matchExpressions")
        .iter()
        .all(|expression| {
            assert_eq!(expression["operator"], "Exists");
            let key = text(expression, "/key");
            // A request for a Namespace is matched by that namespace's own labels.
            let namespace = request.namespace.as_ref().unwrap_or(or_old(request));
            namespace["metadata"]["labels"].get(key).is_some()
        });
    selected
        && list(constraints, "/resourceRules")
            .iter()
            .any(|rule| rule_matches(rule, request))
}

fn rule_matches(rule: &Value, request: &Request) -> bool {
    let (group, resource, subresource) = request.resource();
    let named = |pointer: &str, wanted: &str| list(rule, pointer).iter().any(|item| item == "*" || item == wanted);
    let whole = if subresource.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource}/{subresource}")
    };
    let named_resource = |item: &Value| {
        let every_status = !subresource.is_empty() && item == &json!(format!("*/{subresource}"));
        item == "*/*" || item == &json!(whole) || every_status
    };
    let resources = list(rule, "/resources").iter().any(named_resource);
    let scope = rule
        .get("scope")
        .is_none_or(|scope| scope == "Namespaced" && request.namespace.is_some());
    named("/apiGroups", group) && named("/operations", request.operation) && resources && scope
}

fn judge(policy: &Value, request: &Request) -> Vec<String> {
    assert_eq!(policy["spec"]["failurePolicy"], "Fail", "{}", name(policy));
    let mut context = Context::default();
    bind(&mut context, "object", &request.object);
    bind(&mut context, "oldObject", &request.old);
    bind(&mut context, "request", &request.as_json());
    bind(
        &mut context,
        "namespaceObject",
        request.namespace.as_ref().unwrap_or(&Value::Null),
    );
    bind(&mut context, "authorizer", &json!({"requestResource": {}}));
    let verbs = request.verbs;
    context.add_function("check", move |This(_): This<Cel>, verb: Arc<String>| -> ResolveResult {
        Ok(Cel::Bool(verbs.contains(&verb.as_str())))
    });
    context.add_function("allowed", |This(decision): This<Cel>| -> ResolveResult { Ok(decision) });
    let conditions = list(policy, "/spec/matchConditions");
    if !conditions
        .iter()
        .all(|condition| is_true(&context, policy, text(condition, "/expression")))
    {
        return Vec::new();
    }
    let mut variables = std::collections::HashMap::new();
    for variable in list(policy, "/spec/variables") {
        let value = run(&context, policy, text(variable, "/expression"));
        variables.insert(text(variable, "/name").to_owned(), value);
        context.add_variable_from_value("variables", variables.clone());
    }
    list(policy, "/spec/validations")
        .iter()
        .filter(|validation| !is_true(&context, policy, text(validation, "/expression")))
        .map(|validation| text(validation, "/message").to_owned())
        .collect()
}

fn bind(context: &mut Context<'_>, name: &str, value: &Value) {
    context.add_variable_from_value(name, to_value(value).expect("JSON is CEL"));
}

fn is_true(context: &Context<'_>, policy: &Value, expression: &str) -> bool {
    match run(context, policy, expression) {
        Cel::Bool(answer) => answer,
        other => panic!("{}: {expression} is {other:?} and not a truth value", name(policy)),
    }
}

fn run(context: &Context<'_>, policy: &Value, expression: &str) -> Cel {
    let program =
        Program::compile(expression).unwrap_or_else(|error| panic!("{}: {expression}: {error}", name(policy)));
    program
        .execute(context)
        .unwrap_or_else(|error| panic!("{}: {expression}: {error}", name(policy)))
}
