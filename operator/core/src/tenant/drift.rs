//! Whether an object still is what the factory wants, by meaning and not by text.
//!
//! What the API server fills in is no drift, so that nothing is written while nothing changed. What a stranger could
//! use to take a wall down is: an added rule, a narrowed selector, a scope that makes a quota count nothing.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, LimitRange, LimitRangeItem, Namespace, ResourceQuota, ResourceQuotaSpec, ServiceAccount,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{RoleBinding, Subject};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::amount::same;
use super::objects::resource_quota::LIMITED;

/// What it takes to put an object right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drift {
    /// Nothing.
    None,
    /// Apply it.
    Apply,
    /// Delete it and make it again: it differs in what can't be changed, or in what applying does not take away.
    Recreate,
}

/// An object that the factory wants.
pub(crate) trait Wanted {
    /// What it takes to make `actual` this.
    fn drift(&self, actual: &Self) -> Drift;
}

fn apply_if(differs: bool) -> Drift {
    if differs { Drift::Apply } else { Drift::None }
}

impl Wanted for Namespace {
    fn drift(&self, actual: &Self) -> Drift {
        apply_if(!is_marked(&self.metadata, &actual.metadata) || !is_annotated(&self.metadata, &actual.metadata))
    }
}

impl Wanted for RoleBinding {
    fn drift(&self, actual: &Self) -> Drift {
        if self.role_ref != actual.role_ref {
            return Drift::Recreate;
        }
        apply_if(subjects(self) != subjects(actual) || !is_marked(&self.metadata, &actual.metadata))
    }
}

impl Wanted for ResourceQuota {
    fn drift(&self, actual: &Self) -> Drift {
        let none = ResourceQuotaSpec::default();
        let (wanted, there) = (
            self.spec.as_ref().unwrap_or(&none),
            actual.spec.as_ref().unwrap_or(&none),
        );
        let (wanted_hard, there_hard) = (
            wanted.hard.clone().unwrap_or_default(),
            there.hard.clone().unwrap_or_default(),
        );
        let scoped = there.scopes.as_ref().is_some_and(|scopes| !scopes.is_empty()) || there.scope_selector.is_some();
        // A limit of ours that is not wanted any more, or that somebody else set. Limits of other things are left:
        // they only narrow what there is.
        let superfluous = LIMITED
            .iter()
            .any(|name| there_hard.contains_key(*name) && !wanted_hard.contains_key(*name));
        if scoped || superfluous {
            return Drift::Recreate;
        }
        let holds = wanted_hard
            .iter()
            .all(|(name, amount)| there_hard.get(name).is_some_and(|there| same(amount, there)));
        apply_if(!holds || !is_marked(&self.metadata, &actual.metadata))
    }
}

impl Wanted for LimitRange {
    fn drift(&self, actual: &Self) -> Drift {
        let items = |range: &Self| range.spec.as_ref().map(|spec| spec.limits.clone()).unwrap_or_default();
        let (wanted, there) = (items(self), items(actual));
        let equal =
            wanted.len() == there.len() && wanted.iter().zip(&there).all(|(left, right)| same_limits(left, right));
        apply_if(!equal || !is_marked(&self.metadata, &actual.metadata))
    }
}

impl Wanted for NetworkPolicy {
    fn drift(&self, actual: &Self) -> Drift {
        apply_if(rules(self) != rules(actual) || !is_marked(&self.metadata, &actual.metadata))
    }
}

impl Wanted for ServiceAccount {
    fn drift(&self, actual: &Self) -> Drift {
        let differs = self.automount_service_account_token != actual.automount_service_account_token;
        apply_if(differs || !is_marked(&self.metadata, &actual.metadata))
    }
}

impl Wanted for ConfigMap {
    fn drift(&self, actual: &Self) -> Drift {
        let there = actual.data.clone().unwrap_or_default();
        let holds = self
            .data
            .iter()
            .flatten()
            .all(|(key, text)| there.get(key) == Some(text));
        match holds {
            false if actual.immutable == Some(true) => Drift::Recreate,
            holds => apply_if(!holds || !is_marked(&self.metadata, &actual.metadata)),
        }
    }
}

/// Whether every label that is wanted is there. Others may be: somebody else's labels are theirs.
fn is_marked(wanted: &ObjectMeta, actual: &ObjectMeta) -> bool {
    let there = actual.labels.as_ref();
    wanted
        .labels
        .iter()
        .flatten()
        .all(|(key, value)| there.and_then(|labels| labels.get(key)) == Some(value))
}

/// Whether every annotation that is wanted is there.
fn is_annotated(wanted: &ObjectMeta, actual: &ObjectMeta) -> bool {
    let there = actual.annotations.as_ref();
    let mut wanted = wanted.annotations.iter().flatten();
    wanted.all(|(key, value)| there.and_then(|annotations| annotations.get(key)) == Some(value))
}

/// Subjects in a fixed order, with what the API server fills in.
fn subjects(binding: &RoleBinding) -> Vec<[&str; 4]> {
    fn text(part: &Option<String>) -> &str {
        part.as_deref().unwrap_or_default()
    }
    let mut subjects: Vec<_> = binding
        .subjects
        .iter()
        .flatten()
        .map(
            |Subject {
                 api_group,
                 kind,
                 name,
                 namespace,
             }| [kind.as_str(), name, text(namespace), text(api_group)],
        )
        .collect();
    subjects.sort_unstable();
    subjects
}

fn same_limits(left: &LimitRangeItem, right: &LimitRangeItem) -> bool {
    type Amounts = Option<BTreeMap<String, Quantity>>;
    let parts: [fn(&LimitRangeItem) -> &Amounts; 5] = [
        |i| &i.default,
        |i| &i.default_request,
        |i| &i.max,
        |i| &i.min,
        |i| &i.max_limit_request_ratio,
    ];
    left.type_ == right.type_
        && parts
            .iter()
            .all(|part| same_amounts(part(left).as_ref(), part(right).as_ref()))
}

fn same_amounts(left: Option<&BTreeMap<String, Quantity>>, right: Option<&BTreeMap<String, Quantity>>) -> bool {
    let none = BTreeMap::new();
    let (left, right) = (left.unwrap_or(&none), right.unwrap_or(&none));
    left.len() == right.len()
        && left
            .iter()
            .all(|(name, amount)| right.get(name).is_some_and(|other| same(amount, other)))
}

/// The whole spec as JSON, where a list that is empty and one that is not there are one. Everything in it is
/// compared: it is all ours, and no field is too small to open a door (`endPort`, a label in a selector).
fn rules(policy: &NetworkPolicy) -> Option<Value> {
    serde_json::to_value(&policy.spec).ok().map(without_empty_lists)
}

fn without_empty_lists(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, field)| !matches!(field, Value::Array(items) if items.is_empty()))
            .map(|(name, field)| (name, without_empty_lists(field)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_empty_lists).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests;
