//! A small API server for tests: carries steps out as the real one would, and refuses what it would refuse.

use imagefactory_crds::names::TENANT_SETTINGS;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_core::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::amount::nano;
use super::objects::{is_ours, network_policies, role_bindings};
use super::observed::Observed;
use super::plan::{Convergence, TenantPlan};
use super::step::{Object, Step};

/// What the API server holds of one tenant.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) observed: Observed,
    pub(crate) writes: usize,
}

impl World {
    /// Carries a plan out and returns it for a look.
    pub(crate) fn carry_out(&mut self, plan: TenantPlan) -> Option<Convergence> {
        let TenantPlan::Converge(convergence) = plan else {
            return None;
        };
        self.carry_out_steps(&convergence.steps);
        Some(convergence)
    }

    pub(crate) fn carry_out_steps(&mut self, steps: &[Step]) {
        for step in steps {
            self.writes += 1;
            match step {
                Step::Hold(_) | Step::LetGo(_) | Step::DeleteJob(_) => panic!("is for other tests: {step:?}"),
                Step::CreateNamespace(namespace) => {
                    assert_eq!(self.observed.namespace, None, "AlreadyExists");
                    let mut created = applied(None, &**namespace);
                    created.metadata.uid = Some("namespace-uid".to_owned());
                    self.observed.namespace = Some(created);
                }
                Step::CreateSettings(settings) => {
                    assert_eq!(settings.metadata.name.as_deref(), Some(TENANT_SETTINGS));
                    self.observed.has_settings = true;
                }
                Step::Apply(object) => self.apply(object),
                Step::Delete(object) => self.delete(object),
            }
        }
    }

    fn apply(&mut self, object: &Object) {
        if !matches!(object, Object::Namespace(_) | Object::RoleBinding(_)) {
            assert!(
                self.observed.role_binding(role_bindings::OPERATOR).is_some(),
                "Forbidden: {object:?}"
            );
        }
        let Observed {
            namespace,
            role_bindings,
            inside,
            ..
        } = &mut self.observed;
        match object {
            Object::Namespace(wanted) => {
                let found = namespace.as_ref().expect("an apply must not create the namespace");
                assert_eq!(found.metadata.uid, wanted.metadata.uid, "Conflict");
                *namespace = Some(applied(Some(found), wanted));
            }
            Object::RoleBinding(wanted) => {
                let position = role_bindings
                    .iter()
                    .position(|found| found.metadata.name == wanted.metadata.name);
                let found = position.map(|position| role_bindings.remove(position));
                assert!(
                    found.as_ref().is_none_or(|found| found.role_ref == wanted.role_ref),
                    "Invalid: roleRef"
                );
                role_bindings.push(applied(found.as_ref(), wanted));
            }
            Object::ResourceQuota(wanted) => put(&mut inside.resource_quota, wanted),
            Object::LimitRange(wanted) => put(&mut inside.limit_range, wanted),
            Object::NetworkPolicy(wanted) if object.name() == network_policies::EGRESS => {
                put(&mut inside.egress, wanted);
            }
            Object::NetworkPolicy(wanted) => put(&mut inside.deny_ingress, wanted),
            Object::ServiceAccount(wanted) => put(&mut inside.service_account, wanted),
            Object::ConfigMap(wanted) => {
                let frozen = inside
                    .ca_config_map
                    .as_ref()
                    .is_some_and(|found| found.immutable == Some(true));
                let same = inside
                    .ca_config_map
                    .as_ref()
                    .is_some_and(|found| found.data == wanted.data);
                assert!(!frozen || same, "Invalid: immutable");
                put(&mut inside.ca_config_map, wanted);
            }
        }
    }

    fn delete(&mut self, object: &Object) {
        assert!(self.observed.namespace.is_some(), "NotFound");
        let inside = &mut self.observed.inside;
        match object {
            Object::RoleBinding(found) => {
                self.observed
                    .role_bindings
                    .retain(|binding| binding.metadata.name != found.metadata.name);
            }
            Object::ResourceQuota(_) => inside.resource_quota = None,
            Object::LimitRange(_) => inside.limit_range = None,
            Object::ConfigMap(_) => inside.ca_config_map = None,
            Object::Namespace(_) | Object::NetworkPolicy(_) | Object::ServiceAccount(_) => {
                panic!("is never deleted: {object:?}")
            }
        }
    }

    /// Whether everything in it with a name of the factory carries the tenant's labels.
    pub(crate) fn is_all_ours(&self, tenant: &str) -> bool {
        self.observed
            .role_bindings
            .iter()
            .all(|binding| is_ours(binding.meta(), tenant))
    }
}

fn put<K: Serialize + DeserializeOwned>(place: &mut Option<K>, wanted: &K) {
    *place = Some(applied(place.as_ref(), wanted));
}

/// Server-side apply with force. Fields that others set stay, but for what is replaced as a whole.
fn applied<K: Serialize + DeserializeOwned>(found: Option<&K>, wanted: &K) -> K {
    let mut object = found.map_or(json!({}), |found| serde_json::to_value(found).unwrap());
    merge(&mut object, serde_json::to_value(wanted).unwrap());
    serde_json::from_value(as_stored(object)).unwrap()
}

fn merge(found: &mut Value, wanted: Value) {
    let (Value::Object(found), Value::Object(wanted)) = (&mut *found, &wanted) else {
        *found = wanted;
        return;
    };
    for (key, value) in wanted {
        let atomic = key.ends_with("Selector") || key == "roleRef";
        match found.get_mut(key) {
            Some(existing) if key == "ownerReferences" => merge_by_uid(existing, value),
            Some(existing) if !atomic => merge(existing, value.clone()),
            _ => {
                found.insert(key.clone(), value.clone());
            }
        }
    }
}

fn merge_by_uid(found: &mut Value, wanted: &Value) {
    let (Value::Array(found), Value::Array(wanted)) = (found, wanted) else {
        panic!("owners are lists")
    };
    for owner in wanted {
        match found.iter_mut().find(|other| other["uid"] == owner["uid"]) {
            Some(other) => merge(other, owner.clone()),
            None => found.push(owner.clone()),
        }
    }
}

/// What the API server gives back: empty lists left out, amounts in its own writing.
fn as_stored(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let stored = fields
                .into_iter()
                .filter(|(_, field)| *field != json!([]))
                .map(|(key, field)| {
                    let amounts = matches!(key.as_str(), "hard" | "default" | "defaultRequest");
                    let field = if amounts {
                        in_canonical_writing(field)
                    } else {
                        as_stored(field)
                    };
                    (key, field)
                });
            Value::Object(stored.collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(as_stored).collect(),
        other => other,
    }
}

fn in_canonical_writing(amounts: Value) -> Value {
    let Value::Object(amounts) = amounts else {
        return amounts;
    };
    let write = |amount: Value| match amount.as_str().and_then(nano) {
        Some(nano) if nano % 1_000_000_000 == 0 => json!((nano / 1_000_000_000).to_string()),
        Some(nano) if nano % 1_000_000 == 0 => json!(format!("{}m", nano / 1_000_000)),
        Some(nano) => json!(format!("{nano}n")),
        None => amount,
    };
    amounts
        .into_iter()
        .map(|(name, amount)| (name, write(amount)))
        .collect()
}

/// Sets a label, as somebody with kubectl would.
pub(crate) fn label(metadata: &mut ObjectMeta, key: &str, value: &str) {
    metadata
        .labels
        .get_or_insert_default()
        .insert(key.to_owned(), value.to_owned());
}
