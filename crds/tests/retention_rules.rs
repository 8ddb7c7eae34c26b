//! What may be said about how long builds stay: the same in a Project and in TenantSettings.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can not go on ends"
)]
#![allow(clippy::needless_pass_by_value, reason = "values written in place read better")]

mod support;

use serde_json::{Value, json};
use support::{admits, fixtures, refuses, with};

fn everywhere(field: &str, value: Value) -> [Value; 2] {
    [fixtures::project(), fixtures::tenant_settings()]
        .map(|object| with(&object, &format!("/spec/retention{field}"), Some(value.clone())))
}

#[test]
fn an_age_lies_between_an_hour_and_a_year() {
    for good in ["1h", "60m", "3600s", "720h", "8760h"] {
        for object in everywhere("/maxAge", json!(good)) {
            admits(&object);
        }
    }
    for bad in ["59m", "0h", "8760h1s", "9999h"] {
        for object in everywhere("/maxAge", json!(bad)) {
            refuses(&object, "must be between 1h and 8760h");
        }
    }
    for object in everywhere("/maxAge", json!("30d")) {
        refuses(&object, "maxAge");
    }
}

#[test]
fn a_number_of_builds_lies_between_1_and_10000() {
    for good in [1, 10_000] {
        for object in everywhere("/maxBuilds", json!(good)) {
            admits(&object);
        }
    }
    for bad in [0, -1, 10_001] {
        for object in everywhere("/maxBuilds", json!(bad)) {
            refuses(&object, "maxBuilds");
        }
    }
}

#[test]
fn a_retention_that_says_nothing_keeps_everything_and_may_be_written() {
    for object in everywhere("", json!({})) {
        admits(&object);
    }
}
