//! The intake over its routes and over TLS, with an API server that knows some tokens, and what list and verify print.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use imagefactory_crds::audit::{Actor, AuditEvent, Batch, EventKind, Resource};
use imagefactory_crds::denial::Code;
use imagefactory_crds::entitlement::Capability;
use imagefactory_crds::sor_record::NotRegistered;
use imagefactory_store::{Entry, Filter, MAX_PAGE, Options, Page};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::count::Counted;
use super::intake::{Intake, MAX_BODY, app, bodies};
use super::reviews::Reviews;
use super::shelf::Shelf;
use super::{list, verify};
use crate::config::{Cli, Command};
use crate::metrics::Metrics;

pub(crate) struct World {
    /// The intake.
    pub(crate) app: Router,
    shelf: Shelf,
    metrics: Metrics,
    /// How often the API server was asked.
    asked: Arc<AtomicUsize>,
    url: String,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("audit.db").display());
        let asked = Arc::new(AtomicUsize::new(0));
        let (shelf, metrics) = (Shelf::default(), Metrics::default());
        let counted = Arc::new(Counted::new(shelf.clone()));
        metrics.add_collector(counted.collector());
        let reviews = Reviews::new(
            api_server(asked.clone()),
            "us".to_owned(),
            vec!["webhook".to_owned(), "operator".to_owned()],
        );
        let app = app(Intake {
            shelf: shelf.clone(),
            reviews: Arc::new(reviews),
            counted,
            bodies: bodies(),
        });
        Self {
            app,
            shelf,
            metrics,
            asked,
            url,
            _folder: folder,
        }
    }

    pub(crate) async fn open() -> Self {
        let world = Self::new();
        world.shelf.open(&world.url, Options::default()).await.unwrap();
        world
    }

    async fn post(&self, token: &str, body: impl Into<Body>) -> (StatusCode, Value) {
        self.post_to("/intake/v1/events", token, body).await
    }

    async fn post_to(&self, path: &str, token: &str, body: impl Into<Body>) -> (StatusCode, Value) {
        let request = Request::post(path).header("authorization", format!("Bearer {token}"));
        let answer = self
            .app
            .clone()
            .oneshot(request.body(body.into()).unwrap())
            .await
            .unwrap();
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// What is stored, oldest first.
    pub(crate) async fn stored(&self) -> Vec<Entry> {
        let reader = self.shelf.reader().unwrap();
        let page = Page {
            before: None,
            limit: MAX_PAGE,
            now: Timestamp::now(),
            patience: SignedDuration::from_mins(5),
        };
        let mut stored = reader.list(&Filter::default(), &page).await.unwrap();
        stored.reverse();
        stored
    }

    async fn run(&self, arguments: &str) -> Result<String, super::AuditError> {
        let words = format!("operator audit {arguments} --database {}", self.url);
        let mut output = Vec::new();
        match <Cli as clap::Parser>::try_parse_from(words.split(' ')).unwrap().command {
            Command::Audit(crate::config::AuditCommand::List(args)) => list(&args, &mut output).await?,
            Command::Audit(crate::config::AuditCommand::Verify(args)) => verify(&args, &mut output).await?,
            other => panic!("{other:?}"),
        }
        Ok(String::from_utf8(output).unwrap())
    }
}

/// Knows tokens by the name of their user; `broken` it can't answer.
fn api_server(asked: Arc<AtomicUsize>) -> Client {
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        asked.fetch_add(1, Ordering::SeqCst);
        async move {
            let body = request.into_body().collect_bytes().await.unwrap();
            let mut review: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(review["spec"]["audiences"], json!(["us"]));
            let token = review["spec"]["token"].as_str().unwrap().to_owned();
            let known = ["webhook", "operator", "stranger"].contains(&token.as_str());
            review["status"] = json!({"authenticated": known, "audiences": ["us"], "user": {"username": token}});
            let status = if token == "broken" { 500 } else { 201 };
            let answer = Response::builder()
                .status(status)
                .body(kube::client::Body::from(review.to_string().into_bytes()));
            Ok::<_, std::convert::Infallible>(answer.unwrap())
        }
    });
    Client::new(service, "default")
}

fn denial(id: &str) -> AuditEvent {
    AuditEvent {
        id: id.to_owned(),
        time: Timestamp::now(),
        kind: EventKind::Denial,
        actor: Actor {
            user: "mallory\u{1b}[2J".to_owned(),
            groups: Vec::new(),
        },
        action: "create".to_owned(),
        resource: Resource {
            kind: "Build".to_owned(),
            namespace: "tenant-acme".to_owned(),
            name: "b".to_owned(),
            uid: String::new(),
        },
        tenant: Some("acme".to_owned()),
        project: None,
        code: Some(Code::TenantCapabilityNotEntitled),
        capability: Some(Capability::Build),
        message: "Image build is not enabled for this tenant.".to_owned(),
        reason: None,
        before: None,
        after: None,
        before_hash: String::new(),
        after_hash: String::new(),
        write_key: String::new(),
        fold_key: String::new(),
        count: 1,
    }
}

fn batch(events: Vec<AuditEvent>) -> String {
    serde_json::to_string(&Batch { events }).unwrap()
}

#[tokio::test]
async fn a_batch_of_one_who_may_is_stored_once_and_counted() {
    let world = World::open().await;
    let events = batch(vec![denial("a"), denial("b")]);
    let answer = world.post("webhook", events.clone()).await;
    assert_eq!(answer, (StatusCode::OK, json!({"stored": 2, "known": 0})));
    let answer = world.post("webhook", events).await;
    assert_eq!(answer, (StatusCode::OK, json!({"stored": 0, "known": 2})));
    assert_eq!(world.asked.load(Ordering::SeqCst), 1, "a yes is remembered");
    let text = world.metrics.encode().unwrap();
    for line in [
        r#"imagefactory_denials_total{tenant="acme",capability="build",code="tenant_capability_not_entitled"} 2"#,
        r#"imagefactory_audit_events_total{kind="denial"} 2"#,
        "imagefactory_audit_known_events_total 2",
        "imagefactory_audit_append_duration_seconds_count 2",
        r#"imagefactory_audit_answers_total{code="200"} 2"#,
        "imagefactory_audit_queue 0",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[tokio::test]
async fn refusals_for_want_of_a_registration_are_told_by_cause_and_once_by_code() {
    let world = World::open().await;
    let refused = |id: &str, kind, cause: NotRegistered| AuditEvent {
        kind,
        code: Some(Code::SorRegistrationRequired),
        capability: None,
        message: cause.denial("acme", Some("APP-1")).message,
        ..denial(id)
    };
    let events = vec![
        refused("a", EventKind::Denial, NotRegistered::Expired),
        refused("b", EventKind::Denial, NotRegistered::Unknown),
        refused("c", EventKind::Transition, NotRegistered::Expired),
    ];
    world.post("webhook", batch(events)).await;
    let text = world.metrics.encode().unwrap();
    for line in [
        r#"imagefactory_quarantine_sor_denials_total{tenant="acme",cause="expired"} 2"#,
        r#"imagefactory_quarantine_sor_denials_total{tenant="acme",cause="unknown"} 1"#,
        r#"imagefactory_denials_total{tenant="acme",capability="",code="sor_registration_required"} 2"#,
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert_eq!(
        text.matches("imagefactory_denials_total{").count(),
        1,
        "one series: {text}"
    );
}

#[tokio::test]
async fn who_begins_anew_is_told_which_events_are_stored() {
    let world = World::open().await;
    let _ = world.post("webhook", batch(vec![denial("a"), denial("b")])).await;
    let ask = async |token: &str, body: String| world.post_to("/intake/v1/known", token, body).await;
    let (status, answer) = ask("webhook", json!({"ids": ["b", "c", "' OR 1=1"]}).to_string()).await;
    assert_eq!((status, answer), (StatusCode::OK, json!({"known": ["b"]})));
    let none = ask("webhook", json!({"ids": []}).to_string()).await;
    assert_eq!(none, (StatusCode::OK, json!({"known": []})));
    assert_eq!(ask("stranger", "{}".to_owned()).await.0, StatusCode::FORBIDDEN);
    let many: Vec<_> = (0..1025).map(|number| number.to_string()).collect();
    let (status, answer) = ask("webhook", json!({"ids": many}).to_string()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer["error"].as_str().unwrap().contains("more than 1024"), "{answer}");
    let long = json!({"ids": ["x".repeat(200_000)]}).to_string();
    assert_eq!(ask("webhook", long).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn others_are_refused_before_anything_is_read() {
    let world = World::open().await;
    for (token, status) in [
        ("", StatusCode::UNAUTHORIZED),
        ("nonsense", StatusCode::UNAUTHORIZED),
        ("stranger", StatusCode::FORBIDDEN),
        ("broken", StatusCode::SERVICE_UNAVAILABLE),
    ] {
        assert_eq!(world.post(token, "not even JSON").await.0, status, "{token}");
        assert_eq!(
            world.post(token, batch(vec![denial("a")])).await.0,
            status,
            "{token}: a no is not remembered"
        );
    }
    assert_eq!(world.asked.load(Ordering::SeqCst), 6);
    assert_eq!(world.run("list -o json").await.unwrap(), "");
}

#[tokio::test]
async fn what_can_never_be_stored_is_told_apart_from_what_can_later() {
    let world = World::new();
    let good = batch(vec![denial("a")]);
    let (status, answer) = world.post("webhook", good.clone()).await;
    assert_eq!(
        (status, &answer["error"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("the database is not open yet"))
    );
    world.shelf.open(&world.url, Options::default()).await.unwrap();
    for (body, says) in [
        (r#"{"events": 1}"#.to_owned(), "no batch of events"),
        (r#"{"events": [], "more": 1}"#.to_owned(), "unknown field"),
        (batch(vec![denial("a b")]), "event 0 can't be stored: its id"),
        (batch(vec![denial("a"); 257]), "more than 256"),
        ("[".repeat(100_000), "no batch of events"),
    ] {
        let (status, answer) = world.post("webhook", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(answer["error"].as_str().unwrap().contains(says), "{answer}");
    }
    let long = Body::from_stream(futures::stream::iter(
        (0..5).map(|_| Ok::<_, std::io::Error>(vec![b' '; MAX_BODY / 4])),
    ));
    assert_eq!(world.post("webhook", long).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(world.post("webhook", good).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_list_shows_no_control_characters_and_verify_names_what_is_bad() {
    let world = World::open().await;
    world
        .post(
            "webhook",
            batch((0..3).map(|number| denial(&format!("n{number}"))).collect()),
        )
        .await;
    let table = world
        .run("list --limit 2 --tenant acme --code tenant_capability_not_entitled")
        .await
        .unwrap();
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(
        lines[0].starts_with("SEQ  TIME") && lines[1].starts_with("3  "),
        "{table}"
    );
    assert!(
        !table.contains('\u{1b}') && table.contains("Build/tenant-acme/b"),
        "{table}"
    );
    let json = world.run("list -o json --before 2").await.unwrap();
    let entry: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&entry["seq"], &entry["outcome"], &entry["event"]["id"]),
        (&json!(1), &json!("denied"), &json!("n0"))
    );
    let whole = world.run("verify").await.unwrap();
    assert!(whole.starts_with("3 entries are whole; the last is 3:"), "{whole}");
    let noted = whole.trim().rsplit(' ').next().unwrap().to_owned();
    world.run(&format!("verify --noted {noted}")).await.unwrap();
    let error = world
        .run(&format!("verify --noted 3:{}", "0".repeat(64)))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "entry 3 is bad: it is not what was noted earlier");
}
