//! What may be written into an ImageScan, and what of it may change.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can not go on ends"
)]
#![allow(clippy::needless_pass_by_value, reason = "values written in place read better")]

mod support;

use serde_json::{Value, json};
use support::{admits, admits_update, fixtures, problems, refuses, refuses_update, with};

fn scan_with(field: &str, value: Value) -> Value {
    with(&fixtures::image_scan(), &format!("/spec/{field}"), Some(value))
}

#[test]
fn an_image_names_its_host_and_a_digest_or_a_tag() {
    let digest = "0".repeat(64);
    for good in [
        "registry.example.com/team/app:1.2".to_owned(),
        "registry.example.com:5000/app:latest".to_owned(),
        "localhost/app:1".to_owned(),
        format!("registry.example.com/app@sha256:{digest}"),
        format!("registry.example.com/app:1@sha256:{digest}"),
    ] {
        admits(&scan_with("image", json!(good)));
    }
    for hostless in ["app:1", "team/app:1"] {
        refuses(&scan_with("image", json!(hostless)), "name the registry's host too");
    }
    for vague in ["registry.example.com/team/app", "registry.example.com:5000/app"] {
        refuses(&scan_with("image", json!(vague)), "name a digest or a tag");
    }
    for bad in [
        "registry.example.com/../app:1",
        "registry.example.com/app@sha256:ab",
        "-/app:1",
        "r.io/a b:1",
    ] {
        assert_ne!(problems(&scan_with("image", json!(bad))), Vec::<String>::new(), "{bad}");
    }
}

#[test]
fn only_cancelled_changes_and_only_to_true() {
    let scan = fixtures::image_scan();
    let cancelled = scan_with("cancelled", json!(true));
    admits_update(&scan, &cancelled);
    refuses_update(&cancelled, &scan, "a cancelled scan stays cancelled");
    for (field, value) in [
        ("image", json!("registry.example.com/images/acme/other:1")),
        ("projectRef", json!({"name": "web"})),
        ("policyRef", json!({"name": "lax"})),
        ("timeout", json!("21m")),
    ] {
        let message = format!("field_immutable: {field} can't change after the ImageScan was created");
        refuses_update(&scan, &scan_with(field, value), &message);
    }
    for field in ["policyRef", "timeout"] {
        let without = with(&scan, &format!("/spec/{field}"), None);
        refuses_update(&scan, &without, "field_immutable");
    }
}

#[test]
fn a_timeout_is_between_ten_seconds_and_a_day() {
    for good in ["10s", "30m", "24h"] {
        admits(&scan_with("timeout", json!(good)));
    }
    for bad in ["9s", "25h"] {
        refuses(&scan_with("timeout", json!(bad)), "must be between 10s and 24h");
    }
}

#[test]
fn nothing_that_a_tenant_writes_names_an_object_of_the_factory() {
    for field in ["projectRef", "policyRef"] {
        let reserved = scan_with(field, json!({"name": "imagefactory-x"}));
        refuses(&reserved, "reserved for the factory");
    }
}
