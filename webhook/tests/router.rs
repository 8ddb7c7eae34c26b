//! Stored reviews through the routes, without a socket.
#![allow(clippy::unwrap_used, reason = "a test says why it ends")]

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::{Request, StatusCode};
use imagefactory_webhook::audit::Recorder;
use imagefactory_webhook::caches::Caches;
use imagefactory_webhook::door::Door;
use imagefactory_webhook::metrics::Metrics;
use imagefactory_webhook::review::MAX_REVIEW_BYTES;
use imagefactory_webhook::router::app;
use imagefactory_webhook::settings::Settings;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::ServiceExt;

const CREATE: &str = include_str!("reviews/build-create.json");

struct World {
    caches: Caches,
    metrics: Arc<Metrics>,
    placement: Value,
    pull_secrets: Value,
}

impl World {
    fn empty() -> Self {
        Self {
            caches: Caches::new(Duration::from_secs(180)),
            metrics: Arc::default(),
            placement: json!({}),
            pull_secrets: json!([]),
        }
    }

    /// A tenant that may build, or may not.
    fn filled(build: bool) -> Self {
        Self::with_namespace(
            build,
            &json!({"name": "tenant-acme", "labels": {"imagefactory.dev/tenant": "acme"}}),
        )
    }

    /// The same, with this namespace.
    fn with_namespace(build: bool, namespace: &Value) -> Self {
        let world = Self::empty();
        let metadata = json!({"name": "acme", "uid": "9d2f"});
        let spec = json!({"owners": [{"kind": "Group", "name": "acme-team"}],
            "capabilities": {"build": build, "changeReason": "onboarding"}});
        world.caches.fill(&json!({
            "tenants": [{"apiVersion": "imagefactory.dev/v1alpha1", "kind": "Tenant", "metadata": metadata, "spec": spec}],
            "namespaces": [{"apiVersion": "v1", "kind": "Namespace", "metadata": namespace}],
            "projects": [{"apiVersion": "imagefactory.dev/v1alpha1", "kind": "Project",
                "metadata": {"name": "web", "namespace": "tenant-acme"}, "spec": {}}],
        }))
        .unwrap();
        world
    }

    async fn ask(&self, path: &str, body: impl Into<Body>) -> (StatusCode, String) {
        let settings: Settings = serde_json::from_value(json!({
            "onboarding": {"build": false},
            "placement": self.placement,
            "pullSecrets": self.pull_secrets,
            "persons": {"platformGroups": ["platform"], "securityGroups": [], "gitopsAccounts": [],
                "ownAccounts": ["system:serviceaccount:factory:operator"]},
        }))
        .unwrap();
        let door = Door::new(self.caches.clone(), &settings, Recorder::Log, self.metrics.clone());
        let request = Request::post(path).body(body.into()).unwrap();
        let answer = app(door).oneshot(request).await.unwrap();
        let status = answer.status();
        let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn answer(&self, path: &str, review: &Value) -> Value {
        let (status, text) = self.ask(path, review.to_string()).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        let review: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(review["kind"], "AdmissionReview");
        review["response"].clone()
    }
}

fn create() -> Value {
    serde_json::from_str(CREATE).unwrap()
}

fn with(pointer: &str, value: Value) -> Value {
    let mut review = create();
    *review.pointer_mut(pointer).unwrap() = value;
    review
}

/// kube writes the patch's bytes as numbers, which the API server reads like base64.
fn patch_of(answer: &Value) -> Value {
    let bytes: Vec<u8> = serde_json::from_value(answer["patch"].clone()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn an_entitled_build_is_let_in_and_an_unentitled_one_is_told_why() {
    let answer = World::filled(true).answer("/validate", &create()).await;
    assert_eq!(answer["allowed"], true, "{answer}");
    assert_eq!(answer["uid"], "0c9a8d74-9cb7-44dd-b98e-09fd62def2f4");
    let answer = World::filled(false).answer("/validate", &create()).await;
    assert_eq!(answer["allowed"], false);
    assert_eq!(answer["status"]["code"], 403);
    assert_eq!(answer["status"]["reason"], "tenant_capability_not_entitled");
    assert_eq!(
        answer["status"]["message"],
        "Image build is not enabled for this tenant. Contact your administrator to request access."
    );
    let causes = answer["status"]["details"]["causes"].as_array().unwrap();
    assert!(
        causes.contains(&json!({"reason": "Capability", "message": "build"})),
        "{causes:?}"
    );
}

#[tokio::test]
async fn a_namespace_is_its_tenants_by_name_label_and_the_uid_of_the_tenant_that_it_was_made_for() {
    for (label, made_for, allowed) in [
        ("acme", Some("9d2f"), true),
        ("acme", None, true),
        ("acme", Some("of a former Tenant"), false),
        ("other", None, false),
    ] {
        let annotations = made_for.map(|uid| json!({"imagefactory.dev/tenant-uid": uid}));
        let namespace =
            json!({"name": "tenant-acme", "labels": {"imagefactory.dev/tenant": label}, "annotations": annotations});
        let answer = World::with_namespace(true, &namespace)
            .answer("/validate", &create())
            .await;
        assert_eq!(answer["allowed"], allowed, "{namespace}: {answer}");
    }
}

#[tokio::test]
async fn where_a_build_may_run_the_settings_say() {
    let placed = with(
        "/request/object/spec",
        json!({"projectRef": {"name": "web"}, "placement": {"runtimeClassName": "gvisor"}}),
    );
    let answer = World::filled(true).answer("/validate", &placed).await;
    assert_eq!(answer["status"]["reason"], "invalid_object", "{answer}");
    let mut world = World::filled(true);
    world.placement = json!({"runtimeClassNames": ["gvisor"]});
    assert_eq!(world.answer("/validate", &placed).await["allowed"], true);
}

#[tokio::test]
async fn what_the_settings_pull_the_products_images_with_no_build_names() {
    let named = with(
        "/request/object/spec",
        json!({"projectRef": {"name": "web"}, "pullSecrets": [{"name": "mirror-pull"}]}),
    );
    let mut world = World::filled(true);
    assert_eq!(world.answer("/validate", &named).await["allowed"], true);
    world.pull_secrets = json!(["mirror-pull"]);
    let answer = world.answer("/validate", &named).await;
    assert_eq!(
        (&answer["status"]["code"], &answer["status"]["reason"]),
        (&json!(422), &json!("invalid_object")),
        "{answer}"
    );
    assert_eq!(
        answer["status"]["details"]["causes"][0]["field"],
        "spec.pullSecrets[0].name"
    );
}

#[tokio::test]
async fn nothing_is_decided_before_the_caches_are_filled() {
    let answer = World::empty().answer("/validate", &create()).await;
    assert_eq!(answer["status"]["code"], 503);
    assert_eq!(answer["status"]["reason"], "decision_unavailable");
    assert!(
        answer["status"]["message"].as_str().unwrap().contains("tenants"),
        "{answer}"
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_decided_when_a_watch_was_silent_for_too_long() {
    let world = World::filled(true);
    tokio::time::advance(Duration::from_secs(180)).await;
    assert_eq!(world.answer("/validate", &create()).await["allowed"], true);
    tokio::time::advance(Duration::from_secs(1)).await;
    let answer = world.answer("/validate", &create()).await;
    assert_eq!(answer["status"]["reason"], "decision_unavailable");
    assert!(
        answer["status"]["message"].as_str().unwrap().contains("181 seconds"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_kind_or_version_without_rules_is_refused() {
    for (pointer, value) in [
        ("/request/kind/kind", "Pod"),
        ("/request/kind/version", "v9"),
        ("/request/kind/group", "example.com"),
    ] {
        let answer = World::filled(true)
            .answer("/validate", &with(pointer, value.into()))
            .await;
        assert_eq!(answer["allowed"], false, "{pointer}");
        assert_eq!(answer["status"]["reason"], "invalid_object", "{pointer}");
        assert_eq!(answer["status"]["code"], 422, "{pointer}");
    }
}

#[tokio::test]
async fn an_object_that_does_not_fit_its_kind_is_refused_with_the_path() {
    let review = with("/request/object/spec/source/inline/files/0/content", json!(17));
    let answer = World::filled(true).answer("/validate", &review).await;
    assert_eq!(answer["status"]["reason"], "invalid_object");
    let cause = &answer["status"]["details"]["causes"][0];
    assert!(cause["field"].as_str().unwrap().starts_with("spec.source"), "{cause}");
    let answer = World::filled(true)
        .answer("/validate", &with("/request/object", Value::Null))
        .await;
    assert_eq!(answer["status"]["reason"], "invalid_object");
}

#[tokio::test]
async fn what_is_stored_and_fits_no_more_goes_by_the_hand_of_those_who_tidy_up_alone() {
    let mut review = with("/request/operation", "DELETE".into());
    review["request"]["oldObject"] = json!({"metadata": {"name": "hello"}, "spec": "nonsense"});
    review["request"]["object"] = Value::Null;
    let answer = World::filled(true).answer("/validate", &review).await;
    assert_eq!(answer["status"]["reason"], "invalid_object");
    for (pointer, value) in [
        ("/request/userInfo/groups", json!(["platform"])),
        ("/request/userInfo/groups", json!(["system:masters"])),
        (
            "/request/userInfo/username",
            json!("system:serviceaccount:factory:operator"),
        ),
    ] {
        let mut review = review.clone();
        *review.pointer_mut(pointer).unwrap() = value;
        assert_eq!(
            World::filled(true).answer("/validate", &review).await["allowed"],
            true,
            "{pointer}"
        );
    }
}

#[tokio::test]
async fn what_is_no_review_is_the_senders_mistake() {
    let world = World::filled(true);
    let deep = "[".repeat(1000);
    for body in [
        "",
        "{}",
        "\u{0}",
        &deep,
        r#"{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview"}"#,
    ] {
        for path in ["/validate", "/mutate"] {
            assert_eq!(
                world.ask(path, body.to_owned()).await.0,
                StatusCode::BAD_REQUEST,
                "{body}"
            );
        }
    }
    assert_eq!(
        world.ask("/validate", vec![0xff, 0xfe]).await.0,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn an_object_of_3_mb_is_read_and_a_larger_review_than_any_is_not() {
    let world = World::filled(true);
    let review = with(
        "/request/object/metadata/managedFields/0/manager",
        "x".repeat(3 << 20).into(),
    );
    assert_eq!(world.answer("/validate", &review).await["allowed"], true);
    let (status, _) = world.ask("/validate", vec![b' '; MAX_REVIEW_BYTES + 1]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_dry_run_is_judged_alike_and_not_counted() {
    let world = World::filled(false);
    let review = with("/request/dryRun", true.into());
    assert_eq!(world.answer("/validate", &review).await["status"]["code"], 403);
    assert!(!world.metrics.encode().unwrap().contains("webhook_requests_total{"));
    world.answer("/validate", &create()).await;
    let text = world.metrics.encode().unwrap();
    let line = r#"imagefactory_webhook_requests_total{call="validate",kind="Build",operation="create",result="tenant_capability_not_entitled"} 1"#;
    assert!(text.contains(line), "{text}");
}

#[tokio::test]
async fn a_build_is_stamped_with_who_asked_whatever_was_sent() {
    let world = World::empty();
    let stamp = json!("alice");
    let answer = world.answer("/mutate", &create()).await;
    let patch = patch_of(&answer);
    assert_eq!(
        patch,
        json!([{"op": "add", "path": "/metadata/annotations", "value": {"imagefactory.dev/requested-by": stamp}}])
    );
    assert_eq!(answer["patchType"], "JSONPatch");
    let mut forged = create();
    forged["request"]["object"]["metadata"]["annotations"] = json!({"imagefactory.dev/requested-by": "bob", "a": "b"});
    let patch = patch_of(&world.answer("/mutate", &forged).await);
    assert_eq!(
        patch,
        json!([{"op": "add", "path": "/metadata/annotations/imagefactory.dev~1requested-by", "value": "alice"}])
    );
}

#[tokio::test]
async fn an_update_that_leaves_the_requester_out_gets_it_back_and_one_that_changes_it_is_left_to_the_rules() {
    let world = World::empty();
    let mut review = with("/request/operation", "UPDATE".into());
    review["request"]["userInfo"]["username"] = "bob".into();
    review["request"]["oldObject"] = review["request"]["object"].clone();
    review["request"]["oldObject"]["metadata"]["annotations"] = json!({"imagefactory.dev/requested-by": "alice"});
    let patch = patch_of(&world.answer("/mutate", &review).await);
    assert_eq!(patch[0]["value"], json!({"imagefactory.dev/requested-by": "alice"}));
    review["request"]["object"]["metadata"]["annotations"] = json!({"imagefactory.dev/requested-by": "bob"});
    let answer = world.answer("/mutate", &review).await;
    assert!(answer.get("patch").is_none() && answer["allowed"] == true, "{answer}");
    // Where anything can be decided, it is: before a policy of the cluster refuses it without our code.
    let answer = World::filled(true).answer("/mutate", &review).await;
    assert_eq!(answer["status"]["reason"], "field_immutable", "{answer}");
}

#[tokio::test]
async fn what_the_schema_would_refuse_is_refused_first_with_its_code() {
    let world = World::filled(true);
    let several = json!({"projectRef": {"name": "web"}, "platforms": ["linux/amd64", "linux/arm64"]});
    let answer = world.answer("/mutate", &with("/request/object/spec", several)).await;
    assert_eq!(
        (&answer["status"]["code"], &answer["status"]["reason"]),
        (&json!(422), &json!("field_not_supported"))
    );
    let mut changed = with("/request/operation", "UPDATE".into());
    changed["request"]["oldObject"] = changed["request"]["object"].clone();
    changed["request"]["object"]["spec"]["priority"] = 7.into();
    let answer = world.answer("/mutate", &changed).await;
    assert_eq!(answer["status"]["reason"], "field_immutable", "{answer}");
    let field = json!({"reason": "Field", "message": "can't change", "field": "spec.priority"});
    let causes = answer["status"]["details"]["causes"].as_array().unwrap();
    assert!(causes.contains(&field), "{causes:?}");
    let text = world.metrics.encode().unwrap();
    assert!(text.contains(r#"call="mutate",kind="Build",operation="update",result="field_immutable"} 1"#));
}

#[tokio::test]
async fn what_the_mutating_call_lets_in_it_stamps_and_what_it_can_t_read_it_leaves_to_the_schema() {
    let world = World::filled(true);
    let answer = world.answer("/mutate", &create()).await;
    assert!(answer["allowed"] == true && answer["patch"].is_array(), "{answer}");
    let unread = with("/request/object/spec", json!({"projectRef": 5}));
    assert_eq!(world.answer("/mutate", &unread).await["allowed"], true);
    assert_eq!(world.answer("/validate", &unread).await["allowed"], false);
}

/// A policy of the chart refuses it as well, in words of its own and before the validating call.
#[tokio::test]
async fn who_may_not_change_the_team_is_told_by_the_mutating_call_with_its_code() {
    let editor = json!({"subject": {"kind": "User", "name": "eve"}, "role": "editor"});
    let spec = json!({"members": [editor], "roles": [{"name": "editor", "permissions": ["EditSettings"]}]});
    let settings = |spec: Value| {
        json!({"apiVersion": "imagefactory.dev/v1alpha1", "kind": "TenantSettings", "spec": spec,
            "metadata": {"name": "settings", "namespace": "tenant-acme"}})
    };
    let mut review = with("/request/kind/kind", "TenantSettings".into());
    review["request"]["operation"] = "UPDATE".into();
    review["request"]["userInfo"] = json!({"username": "eve", "groups": ["system:authenticated"]});
    review["request"]["oldObject"] = settings(spec.clone());
    let mut joined = spec.clone();
    joined["members"][0]["role"] = "Admin".into();
    review["request"]["object"] = settings(joined);
    let world = World::filled(true);
    let answer = world.answer("/mutate", &review).await;
    assert_eq!(answer["status"]["reason"], "permission_denied", "{answer}");
    let mut named = spec;
    named["displayName"] = "Acme".into();
    review["request"]["object"] = settings(named);
    assert_eq!(world.answer("/mutate", &review).await["allowed"], true);
}

/// Metadata comes with the review as it was sent, and a policy of the chart is asked before the validating call.
#[tokio::test]
async fn owners_and_finalizers_that_a_person_adds_are_refused_by_the_mutating_call_with_their_code() {
    let world = World::filled(true);
    let object = |kind: &str, marks: Value| {
        let (name, namespace, spec) = match kind {
            "Tenant" => (
                "acme",
                Value::Null,
                json!({"owners": [{"kind": "Group", "name": "acme-team"}]}),
            ),
            "Build" => ("one", "tenant-acme".into(), json!({"projectRef": {"name": "web"}})),
            _ => ("web", "tenant-acme".into(), json!({})),
        };
        let mut object = json!({"apiVersion": "imagefactory.dev/v1alpha1", "kind": kind, "spec": spec,
            "metadata": {"name": name, "namespace": namespace}});
        for (field, value) in marks.as_object().unwrap() {
            object["metadata"][field] = value.clone();
        }
        object
    };
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "1"});
    for kind in ["Build", "Project", "Tenant"] {
        for (field, value) in [
            ("ownerReferences", owner.clone()),
            ("finalizers", json!("example.com/keep")),
        ] {
            let mut review = with("/request/kind/kind", kind.into());
            review["request"]["operation"] = "UPDATE".into();
            review["request"]["userInfo"] = json!({"username": "eve", "groups": ["system:authenticated"]});
            review["request"]["oldObject"] = object(kind, json!({}));
            review["request"]["object"] = object(kind, json!({field: [value]}));
            for path in ["/mutate", "/validate"] {
                let answer = world.answer(path, &review).await;
                assert_eq!(
                    answer["status"]["reason"], "field_immutable",
                    "{path} {kind} {field}: {answer}"
                );
                assert_eq!(answer["status"]["code"], 422);
                let causes = answer["status"]["details"]["causes"].as_array().unwrap();
                let named = format!("metadata.{field}");
                assert!(
                    causes.iter().any(|cause| cause["field"] == named.as_str()),
                    "{causes:?}"
                );
            }
            review["request"]["userInfo"] = json!({"username": "pat", "groups": ["platform"]});
            assert_eq!(
                world.answer("/mutate", &review).await["allowed"],
                true,
                "{kind} {field}"
            );
            assert_eq!(
                world.answer("/validate", &review).await["allowed"],
                true,
                "{kind} {field}"
            );
        }
    }
}

#[tokio::test]
async fn other_kinds_are_not_stamped() {
    let answer = World::empty()
        .answer("/mutate", &with("/request/kind/kind", "Project".into()))
        .await;
    assert!(answer.get("patch").is_none() && answer["allowed"] == true, "{answer}");
}

/// Any JSON, a few levels deep.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-zA-Z]{1,12}|metadata|spec|name", inner, 0..4)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_json_at_any_place_of_a_review_makes_the_webhook_fail(
        place in prop_oneof![
            Just("/request"), Just("/request/object"), Just("/request/object/spec"), Just("/request/object/metadata"),
            Just("/request/oldObject"), Just("/request/userInfo"), Just("/request/kind"), Just("/request/operation"),
            Just("/request/namespace"), Just("/request/object/spec/source"), Just("/request/name"),
        ],
        operation in prop_oneof![Just("CREATE"), Just("UPDATE"), Just("DELETE"), Just("CONNECT")],
        kind in prop_oneof![Just("Build"), Just("Tenant"), Just("TenantSettings"), Just("Project"), Just("ImagePolicy")],
        value in anything(),
    ) {
        let mut review = with("/request/operation", operation.into());
        review["request"]["kind"]["kind"] = kind.into();
        *review.pointer_mut(place).unwrap() = value;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::filled(true);
            for path in ["/validate", "/mutate"] {
                let (status, _) = world.ask(path, review.to_string()).await;
                assert!(matches!(status, StatusCode::OK | StatusCode::BAD_REQUEST), "{status}");
            }
        });
    }
}
