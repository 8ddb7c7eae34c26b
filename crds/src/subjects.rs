//! Who may be given a role: users, groups, and service accounts of namespaces that the Tenant names (trust.md,
//! Persons), and whom a subject means. The operator binds by it and the webhook decides by it.

use std::collections::BTreeSet;

use crate::Tenant;
use crate::common::{Subject, SubjectKind};
use crate::names::{is_reserved, tenant_namespace};

/// Greatest length of a subject's name.
const MAX_NAME: usize = 253;

/// What holds for the subjects of one tenant.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Namespaces whose service accounts may be subjects.
    pub service_account_namespaces: BTreeSet<String>,
    /// The tenant's own namespace, in which the factory's names are reserved.
    pub own_namespace: String,
}

impl Rules {
    /// The rules of a tenant.
    #[must_use]
    pub fn of(tenant: &Tenant) -> Self {
        let own_namespace = tenant_namespace(tenant.metadata.name.as_deref().unwrap_or_default());
        let named = tenant.spec.service_account_namespaces.iter().map(|name| name.0.clone());
        Self {
            service_account_namespaces: named.chain([own_namespace.clone()]).collect(),
            own_namespace,
        }
    }
}

/// Why a subject may not be given a role.
#[must_use]
pub fn fault(subject: &Subject, rules: &Rules) -> Option<&'static str> {
    let name = subject.name.as_str();
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Some("is not a name");
    }
    // Kubernetes' own users, groups and, as users, service accounts of any namespace.
    if name.starts_with("system:") {
        return Some("belongs to Kubernetes");
    }
    match (subject.kind, subject.namespace.as_ref()) {
        (SubjectKind::User | SubjectKind::Group, None) => None,
        (SubjectKind::User | SubjectKind::Group, Some(_)) => Some("is no service account and has a namespace"),
        (SubjectKind::ServiceAccount, None) => Some("has no namespace"),
        (SubjectKind::ServiceAccount, Some(namespace)) => fault_of_account(name, namespace, rules),
    }
}

fn fault_of_account(name: &str, namespace: &str, rules: &Rules) -> Option<&'static str> {
    if !rules.service_account_namespaces.contains(namespace) {
        Some("is of a namespace that the Tenant does not name")
    } else if namespace == rules.own_namespace && is_reserved(name) {
        Some("is reserved for the factory")
    // The API server refuses a whole binding for one such name, and with it everybody else in it.
    } else if !is_dns_subdomain(name) {
        Some("is not a name that a service account can have")
    } else {
        None
    }
}

fn is_dns_subdomain(name: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.split('.').all(|label| {
        label.starts_with(alphanumeric)
            && label.ends_with(alphanumeric)
            && label.chars().all(|c| alphanumeric(c) || c == '-')
    })
}

/// Whether a subject means the user of that name and those groups. One that may not be given a role means nobody.
#[must_use]
pub fn means(subject: &Subject, user: &str, groups: &[String], rules: &Rules) -> bool {
    let named = match subject.kind {
        SubjectKind::User => subject.name.as_str() == user,
        SubjectKind::Group => groups.iter().any(|group| group == subject.name.as_str()),
        SubjectKind::ServiceAccount => is_account(subject, user),
    };
    named && fault(subject, rules).is_none()
}

fn is_account(subject: &Subject, user: &str) -> bool {
    let account = user
        .strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'));
    let of = subject.namespace.as_ref().map(|namespace| namespace.as_str());
    account.is_some_and(|(namespace, name)| of == Some(namespace) && subject.name.as_str() == name)
}
