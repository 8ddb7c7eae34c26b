//! The table of all that the chart grants: one line for each role, resource and set of verbs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::object::{kind, list, name, text};

/// One right of one role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// Kind and name of the role, with its namespace if it has one.
    pub role: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Resource, with its subresource.
    pub resource: String,
    /// Names that the right is limited to; none means all.
    pub names: Vec<String>,
    /// Verbs.
    pub verbs: BTreeSet<String>,
}

impl fmt::Display for Right {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = if self.group.is_empty() {
            String::new()
        } else {
            format!(".{}", self.group)
        };
        let names = if self.names.is_empty() {
            String::new()
        } else {
            format!(" [{}]", self.names.join(" "))
        };
        let verbs: Vec<&str> = self.verbs.iter().map(String::as_str).collect();
        write!(
            formatter,
            "{} | {}{group}{names} | {}",
            self.role,
            self.resource,
            verbs.join(" ")
        )
    }
}

/// Everything that the roles among the objects hold, one line for each resource and set of names, sorted.
#[must_use]
pub fn granted(objects: &[Value]) -> Vec<Right> {
    let mut verbs_of: BTreeMap<(String, String, String, Vec<String>), BTreeSet<String>> = BTreeMap::new();
    for role in objects
        .iter()
        .filter(|object| matches!(kind(object), "ClusterRole" | "Role"))
    {
        let title = match text(role, "/metadata/namespace") {
            "" => name(role).to_owned(),
            namespace => format!("{} in {namespace}", name(role)),
        };
        for rule in list(role, "/rules") {
            for (group, resource) in pairs(rule) {
                let key = (title.clone(), group, resource, strings(rule, "/resourceNames"));
                verbs_of.entry(key).or_default().extend(strings(rule, "/verbs"));
            }
        }
    }
    verbs_of
        .into_iter()
        .map(|((role, group, resource, names), verbs)| Right {
            role,
            group,
            resource,
            names,
            verbs,
        })
        .collect()
}

/// What no rule of ours may have: the reason why, for each that is found.
#[must_use]
pub fn forbidden(right: &Right) -> Vec<&'static str> {
    let verb = |verb: &str| right.verbs.contains(verb);
    let named = !right.names.is_empty();
    let reads = ["get", "list", "watch", "update", "delete", "deletecollection"];
    let checks = [
        (
            right.group == "*" || right.resource.contains('*') || verb("*"),
            "no wildcards",
        ),
        (
            verb("impersonate") || verb("escalate"),
            "neither impersonation nor escalation",
        ),
        (verb("bind") && !named, "bind only by name"),
        (
            right.resource == "secrets" && reads.iter().any(|read| verb(read)) && !are_own_certificates(right),
            "the content of no Secret",
        ),
        (
            right.resource == "secrets" && verb("patch") && !named,
            "a patch returns the Secret: by name only",
        ),
        (
            matches!(
                right.resource.as_str(),
                "pods/exec" | "pods/attach" | "pods/portforward" | "pods/proxy"
            ),
            "nobody enters pods",
        ),
        (right.resource == "pods/ephemeralcontainers", "nobody enters pods"),
        (right.resource == "serviceaccounts/token", "no tokens of others"),
        (
            right.group == "admissionregistration.k8s.io" && !are_own_webhooks(right),
            "nobody moves the walls",
        ),
        (
            right.resource == "nodes" || right.resource.starts_with("nodes/"),
            "nothing of nodes",
        ),
    ];
    checks
        .into_iter()
        .filter(|(found, _)| *found)
        .map(|(_, why)| why)
        .collect()
}

/// The webhook makes the certificates of the factory's own servers, and reads them back by name.
fn are_own_certificates(right: &Right) -> bool {
    let own = |name: &String| name.ends_with("-webhook-tls") || name.ends_with("-audit-tls");
    right.role.contains("-webhook in ") && !right.names.is_empty() && right.names.iter().all(own)
}

/// The webhook keeps its own two configurations. What is made can't be named here; a policy at the API server does.
fn are_own_webhooks(right: &Right) -> bool {
    let makes = right.verbs.iter().all(|verb| verb == "create");
    let own = !right.names.is_empty() && right.names.iter().all(|name| name.ends_with("-webhook"));
    right.role.ends_with("-webhook") && right.resource.ends_with("webhookconfigurations") && (makes || own)
}

fn pairs(rule: &Value) -> Vec<(String, String)> {
    let resources = strings(rule, "/resources");
    strings(rule, "/apiGroups")
        .into_iter()
        .flat_map(|group| resources.iter().map(move |resource| (group.clone(), resource.clone())))
        .collect()
}

fn strings(object: &Value, pointer: &str) -> Vec<String> {
    list(object, pointer)
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn right(group: &str, resource: &str, verbs: &[&str], names: &[&str]) -> Vec<&'static str> {
        let rule = json!({"apiGroups": [group], "resources": [resource], "verbs": verbs, "resourceNames": names});
        let role = json!({"kind": "ClusterRole", "metadata": {"name": "x"}, "rules": [rule]});
        granted(&[role]).iter().flat_map(forbidden).collect()
    }

    #[test]
    fn what_trust_forbids_is_found() {
        for (group, resource, verbs, names) in [
            ("*", "pods", ["get"], &[] as &[&str]),
            ("", "*", ["get"], &[]),
            ("", "pods", ["*"], &[]),
            ("", "secrets", ["get"], &["imagefactory-staging"]),
            ("", "secrets", ["patch"], &[]),
            ("", "pods/exec", ["create"], &[]),
            ("", "users", ["impersonate"], &[]),
            ("rbac.authorization.k8s.io", "clusterroles", ["bind"], &[]),
            ("rbac.authorization.k8s.io", "clusterroles", ["escalate"], &["x"]),
        ] {
            assert!(
                !right(group, resource, &verbs, names).is_empty(),
                "{group}/{resource} {verbs:?} {names:?}"
            );
        }
        assert!(right("", "secrets", &["create"], &[]).is_empty());
        assert!(right("", "secrets", &["patch"], &["imagefactory-staging"]).is_empty());
    }
}
