//! What is let through and what is not.

use serde_json::{Value, json};

use super::*;

/// A step that is let through, with one field set.
fn with(field: &str, value: Value) -> BuildkitStep {
    let mut step = json!({
        "context": "/workspace", "dockerfile": "/prepared/Dockerfile", "layout": "/layout", "state": "/state",
    });
    step[field] = value;
    serde_json::from_value(step).unwrap()
}

#[test]
fn an_ordinary_step_is_let_through() {
    assert_eq!(
        check(&with("platforms", json!(["linux/amd64", "linux/arm/v7"]))),
        Ok(())
    );
    assert_eq!(check(&with("context", json!("/workspace/a b,c=d"))), Ok(()));
    assert_eq!(
        check(&with(
            "secrets",
            json!([{"id": "npm_token", "path": "/secrets/npm_token/value"}])
        )),
        Ok(())
    );
    assert_eq!(check(&with("proxy", json!({"http": "http://proxy:3128"}))), Ok(()));
}

#[test]
fn what_a_list_would_split_is_refused() {
    for path in ["/cache,src=/etc", "/cache\"", "cache", "/cache/../etc", "/cache\n"] {
        assert_eq!(
            check(&with("cacheExport", json!(path))),
            Err(Refusal::Path("cacheExport"))
        );
        assert_eq!(check(&with("layout", json!(path))), Err(Refusal::Path("layout")));
    }
    for id in ["a,env=PATH", "", "-a", "a b", "a\"b"] {
        let secrets = json!([{"id": id, "path": "/secrets/a"}]);
        assert_eq!(check(&with("secrets", secrets)), Err(Refusal::Name("secrets")));
    }
    for platform in [
        "linux",
        "linux/amd64,linux/arm64",
        "linux//arm",
        "Linux/amd64",
        "linux/a/b/c",
    ] {
        assert_eq!(
            check(&with("platforms", json!([platform]))),
            Err(Refusal::Name("platforms"))
        );
    }
}

#[test]
fn a_context_leaves_its_directory_by_no_way() {
    assert_eq!(
        check(&with("context", json!("/workspace/../prepared"))),
        Err(Refusal::Path("context"))
    );
    assert_eq!(
        check(&with("context", json!("workspace"))),
        Err(Refusal::Path("context"))
    );
}

#[test]
fn a_name_that_stands_twice_is_refused() {
    let twice = json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]);
    assert_eq!(
        check(&with("buildArgs", twice.clone())),
        Err(Refusal::Twice("buildArgs"))
    );
    assert_eq!(check(&with("labels", twice)), Err(Refusal::Twice("labels")));
    assert_eq!(
        check(&with("platforms", json!(["linux/amd64", "linux/amd64"]))),
        Err(Refusal::Twice("platforms"))
    );
}

#[test]
fn control_characters_are_refused() {
    assert_eq!(check(&with("target", json!("a\nb"))), Err(Refusal::Control("target")));
    assert_eq!(
        check(&with("proxy", json!({"https": "http://a\r\nb"}))),
        Err(Refusal::Control("proxy"))
    );
}
