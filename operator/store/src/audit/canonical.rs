//! The one way in which an event is written as JSON: no spaces, keys of all objects in the order of their bytes.

use std::collections::BTreeMap;

use imagefactory_crds::audit::AuditEvent;
use serde_json::Value;

pub(super) fn event(event: &AuditEvent) -> Result<String, serde_json::Error> {
    Ok(value(&serde_json::to_value(event)?))
}

/// Its own walk and not `to_string`: whether that sorts is decided by a feature which any other crate may turn on.
pub(super) fn value(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            text.push('{');
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            for (index, (name, item)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::String(name.clone()).to_string());
                text.push(':');
                write(item, text);
            }
            text.push('}');
        }
        other => text.push_str(&other.to_string()),
    }
}
