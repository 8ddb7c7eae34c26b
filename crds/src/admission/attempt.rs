//! What is audited of a change that is let in: the fields that changed, before and after, within bounds.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Attempt, Subject, Write};
use crate::tenant::Capabilities;
use crate::{Tenant, TenantSettings};

/// Most bytes of `before`, and of `after`.
pub const MAX_SIDE_BYTES: usize = 8 * 1024;

const OF_TENANT: &[&str] = &[
    "capabilities",
    "quota",
    "owners",
    "suspended",
    "delegateApproval",
    "registries",
    "policyRef",
    "placement",
    "serviceAccountNamespaces",
];
const OF_PROJECT: &[&str] = &["archived", "capabilities"];
const OF_SETTINGS: &[&str] = &["members", "roles"];

/// The attempt that a write is; none for one that is not audited.
pub(super) fn of(subject: &Subject) -> Option<Attempt> {
    match subject {
        Subject::Tenant(write) => {
            let attempt = of_fields(write, |tenant| json(&tenant.spec), Some(OF_TENANT))?;
            Some(Attempt {
                reason: reason_of(write),
                ..attempt
            })
        }
        Subject::TenantSettings(write) => of_team(write),
        Subject::Project(write) => of_fields(write, |project| json(&project.spec), Some(OF_PROJECT)),
        Subject::ImagePolicy(write) => of_fields(write, |policy| json(&policy.spec), None),
        Subject::SorRecord(write) => of_fields(write, |record| json(&record.spec), None),
        // Runs are told by their transitions.
        Subject::Build(_) | Subject::ImageScan(_) | Subject::QuarantineRequest(_) => None,
    }
}

/// Only a reason that comes with the change is a reason for it.
fn reason_of(write: &Write<Tenant>) -> Option<String> {
    fn reason(tenant: &Tenant) -> Option<&str> {
        let written: Option<&Capabilities> = tenant.spec.capabilities.as_ref();
        written.map(|written| written.change_reason.as_str())
    }
    let new = reason(write.new_object()?)?;
    (write.old_object().and_then(reason) != Some(new)).then(|| new.to_owned())
}

/// Creating and deleting are always attempts, an update where one of the fields changes.
fn of_fields<T>(write: &Write<T>, spec: impl Fn(&T) -> Map<String, Value>, fields: Option<&[&str]>) -> Option<Attempt> {
    let is_one = |name: &str| fields.is_none_or(|fields| fields.contains(&name));
    let side = |object: Option<&T>| {
        object.map(|object| {
            let mut picked = spec(object);
            picked.retain(|name, _| is_one(name));
            picked
        })
    };
    let (mut before, mut after) = (side(write.old_object()), side(write.new_object()));
    if let (Some(before), Some(after)) = (&mut before, &mut after) {
        drop_equal(before, after);
        if before.is_empty() && after.is_empty() {
            return None;
        }
    }
    Some(Attempt {
        before: before.map(bounded),
        after: after.map(bounded),
        reason: None,
    })
}

fn drop_equal(one: &mut Map<String, Value>, other: &mut Map<String, Value>) {
    let equal: Vec<String> = one
        .keys()
        .filter(|name| one.get(*name) == other.get(*name))
        .cloned()
        .collect();
    for name in equal {
        one.remove(&name);
        other.remove(&name);
    }
}

/// Of members and roles, the entries that come or go.
fn of_team(write: &Write<TenantSettings>) -> Option<Attempt> {
    let side = |object: Option<&TenantSettings>| {
        let mut fields = object.map(|settings| json(&settings.spec)).unwrap_or_default();
        fields.retain(|name, _| OF_SETTINGS.contains(&name.as_str()));
        fields
    };
    let (old, new) = (side(write.old_object()), side(write.new_object()));
    let (before, after) = (beyond(&old, &new), beyond(&new, &old));
    if before.is_empty() && after.is_empty() {
        return None;
    }
    let told = |side: Map<String, Value>| (!side.is_empty()).then(|| bounded(side));
    Some(Attempt {
        before: told(before),
        after: told(after),
        reason: None,
    })
}

/// The items of each list of `one` that the list of that name of `other` does not hold.
fn beyond(one: &Map<String, Value>, other: &Map<String, Value>) -> Map<String, Value> {
    let none = Vec::new();
    let list = |fields: &Map<String, Value>, name: &String| fields.get(name).and_then(Value::as_array).cloned();
    let more = one.keys().filter_map(|name| {
        let known = list(other, name).unwrap_or_default();
        let items = list(one, name).unwrap_or_else(|| none.clone());
        let items: Vec<_> = items.into_iter().filter(|item| !known.contains(item)).collect();
        (!items.is_empty()).then(|| (name.clone(), Value::Array(items)))
    });
    more.collect()
}

/// Cuts what is too long, and says so.
fn bounded(fields: Map<String, Value>) -> Value {
    let share = MAX_SIDE_BYTES / fields.len().max(1);
    let cut = fields.into_iter().map(|(name, value)| {
        let text = value.to_string();
        // Its name, quotes, and the marker itself count too; in a string every quote takes two bytes.
        let room = share.saturating_sub(name.len() + 96);
        if text.len() <= room {
            return (name, value);
        }
        let begin = begin_of(&text, room / 2);
        (name, json!({"truncated": true, "bytes": text.len(), "begins": begin}))
    });
    Value::Object(cut.collect())
}

fn begin_of(text: &str, bytes: usize) -> String {
    let mut begin = String::with_capacity(bytes);
    for letter in text.chars() {
        if begin.len() + letter.len_utf8() > bytes {
            break;
        }
        begin.push(letter);
    }
    begin
}

fn json<T: Serialize>(spec: &T) -> Map<String, Value> {
    match serde_json::to_value(spec) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}
