//! The part of a structural schema that these definitions use, checked as the API server checks it.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use regex_lite::Regex;
use serde_json::{Map, Value};

/// Where an object differs from its schema.
pub fn problems(schema: &Value, object: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for (field, value) in object.as_object().expect("an object") {
        match schema.pointer(&format!("/properties/{field}")) {
            Some(schema) => check(schema, value, field, &mut problems),
            None if ["apiVersion", "kind", "metadata"].contains(&field.as_str()) => {}
            None => problems.push(format!("{field}: unknown field")),
        }
    }
    required(schema, object.as_object().unwrap(), "", &mut problems);
    problems
}

fn check(schema: &Value, value: &Value, path: &str, problems: &mut Vec<String>) {
    if schema["x-kubernetes-int-or-string"] == true {
        match value {
            Value::String(text) => check_text(schema, text, path, problems),
            Value::Number(_) => check_number(schema, value, path, problems),
            _ => problems.push(format!("{path}: must be a number or a string")),
        }
        return;
    }
    let declared = schema["type"].as_str().unwrap_or_else(|| panic!("{path} has no type"));
    match (declared, value) {
        ("object", Value::Object(map)) => check_object(schema, map, path, problems),
        ("array", Value::Array(list)) => check_list(schema, list, path, problems),
        ("string", Value::String(text)) => check_text(schema, text, path, problems),
        ("integer", Value::Number(number)) if !number.is_f64() => check_number(schema, value, path, problems),
        ("boolean", Value::Bool(_)) => {}
        _ => problems.push(format!("{path}: must be of type {declared}")),
    }
}

fn check_object(schema: &Value, map: &Map<String, Value>, path: &str, problems: &mut Vec<String>) {
    for (field, value) in map {
        let path = format!("{path}.{field}");
        match schema.pointer(&format!("/properties/{field}")) {
            Some(schema) => check(schema, value, &path, problems),
            None => problems.push(format!("{path}: unknown field")),
        }
    }
    required(schema, map, path, problems);
}

fn required(schema: &Value, map: &Map<String, Value>, path: &str, problems: &mut Vec<String>) {
    for field in schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if !map.contains_key(field) {
            problems.push(format!("{path}.{field}: is required"));
        }
    }
}

fn check_list(schema: &Value, list: &[Value], path: &str, problems: &mut Vec<String>) {
    bounds(schema, ["minItems", "maxItems"], list.len(), path, problems);
    let keys = schema["x-kubernetes-list-map-keys"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let identity = |item: &Value| match schema["x-kubernetes-list-type"].as_str() {
        Some("map") => Some(keys.iter().map(|key| item[key.as_str().unwrap()].clone()).collect()),
        Some("set") => Some(vec![item.clone()]),
        _ => None,
    };
    for (position, item) in list.iter().enumerate() {
        check(&schema["items"], item, &format!("{path}[{position}]"), problems);
        let same = |other: &Value| identity(item).is_some() && identity(other) == identity(item);
        if list.iter().take(position).any(same) {
            problems.push(format!("{path}[{position}]: duplicate"));
        }
    }
}

fn check_text(schema: &Value, text: &str, path: &str, problems: &mut Vec<String>) {
    bounds(schema, ["minLength", "maxLength"], text.chars().count(), path, problems);
    if let Some(pattern) = schema["pattern"].as_str()
        && !matches(pattern, text)
    {
        problems.push(format!("{path}: does not match {pattern}"));
    }
    if schema["enum"]
        .as_array()
        .is_some_and(|words| !words.contains(&text.into()))
    {
        problems.push(format!("{path}: must be one of {}", schema["enum"]));
    }
}

/// Patterns are compiled once: there are few, and many strings to hold against them.
fn matches(pattern: &str, text: &str) -> bool {
    static COMPILED: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock().unwrap();
    compiled
        .entry(pattern.to_owned())
        .or_insert_with(|| Regex::new(pattern).unwrap())
        .is_match(text)
}

fn check_number(schema: &Value, value: &Value, path: &str, problems: &mut Vec<String>) {
    let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
    let number = value.as_f64().unwrap();
    if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
        problems.push(format!("{path}: must be between {least:?} and {most:?}"));
    }
}

fn bounds(schema: &Value, [least, most]: [&str; 2], length: usize, path: &str, problems: &mut Vec<String>) {
    let length = u64::try_from(length).unwrap();
    if schema[least].as_u64().is_some_and(|least| length < least) {
        problems.push(format!("{path}: too short"));
    }
    if schema[most].as_u64().is_some_and(|most| length > most) {
        problems.push(format!("{path}: too long"));
    }
}
