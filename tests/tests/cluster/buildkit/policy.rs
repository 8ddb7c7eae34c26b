//! A source policy that lets through what is pinned and denies everything else.

use serde_json::{Value, json};

use super::layout::Layout;
use super::pod::{Builder, Order};

const BASE: &str = "docker-image://docker.io/library/debian:bookworm-slim";

/// As `prepare` would write it: the first rule denies, the later ones take exceptions; the last that matches counts.
fn policy(pinned: &str) -> Value {
    let rule = |action: &str, identifier: &str| json!({"action": action, "selector": {"identifier": identifier, "matchType": "EXACT"}});
    let mut convert = rule("CONVERT", BASE);
    convert["updates"] = json!({"identifier": pinned});
    json!({"rules": [
        {"action": "DENY", "selector": {"identifier": "*", "matchType": "WILDCARD"}},
        rule("ALLOW", "local://context"),
        rule("ALLOW", "local://dockerfile"),
        convert,
        rule("ALLOW", pinned),
    ]})
}

async fn build(builder: &Builder, name: &str, dockerfile: &str, pinned: &str) -> (i64, String, String) {
    let order = Order {
        dockerfile,
        policy: Some(policy(pinned)),
        ..Order::default()
    };
    let built = builder.build(name, &order).await;
    (built.codes[0], built.logs[0].clone(), built.found)
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn what_is_not_pinned_is_not_loaded_by_any_line_of_a_dockerfile() {
    let builder = Builder::create();
    // Any digest does: what is denied is denied before anybody is asked.
    let pinned = format!("{BASE}@sha256:{}", "a".repeat(64));
    let cases = [
        ("from", "FROM busybox:stable\n"),
        ("copy", "FROM scratch\nCOPY --from=busybox:stable /bin/sh /\n"),
        (
            "mount",
            "FROM scratch\nRUN --mount=from=busybox:stable,target=/b true\n",
        ),
        ("syntax", "# syntax=docker/dockerfile:1\nFROM scratch\nCOPY tree /\n"),
        ("http", "FROM scratch\nADD https://example.com/file /\n"),
        (
            "git",
            "FROM scratch\nADD https://github.com/example/example.git#main /\n",
        ),
        (
            "digest",
            "FROM busybox@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n",
        ),
    ];
    for (name, dockerfile) in cases {
        let (code, log, _) = build(&builder, name, dockerfile, &pinned).await;
        assert_eq!(code, 1, "{name}: {log}");
        assert!(log.contains("denied by policy"), "{name}: {log}");
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_base_is_taken_by_the_digest_that_it_was_pinned_to_and_by_no_other() {
    let builder = Builder::create();
    let dockerfile = "FROM debian:bookworm-slim AS base\nRUN touch /made\nFROM scratch\nCOPY --from=base /made /\n";
    let missing = format!("{BASE}@sha256:{}", "a".repeat(64));
    let (code, log, _) = build(&builder, "missing", dockerfile, &missing).await;
    assert_eq!(code, 1, "{log}");
    assert!(
        !log.contains("denied by policy") && log.contains(&"a".repeat(64)),
        "{log}"
    );

    let unpinned = Order {
        dockerfile,
        ..Order::default()
    };
    let log = builder.build("unpinned", &unpinned).await.logs.remove(0);
    let name = "docker.io/library/debian:bookworm-slim@sha256:";
    let digest: String = log.split_once(name).unwrap().1.chars().take(64).collect();
    let (code, log, found) = build(&builder, "pinned", dockerfile, &format!("{BASE}@sha256:{digest}")).await;
    assert_eq!(code, 0, "{log}");
    assert!(
        Layout::read(&found)
            .images()
            .values()
            .all(|image| image.file("made").is_some())
    );
}
