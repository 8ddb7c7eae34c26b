//! A small HTTP service stands for the system of record.

use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use imagefactory_core::sor_record::fetch::object_name;
use imagefactory_core::sor_record::listing::MAX_BYTES;
use imagefactory_core::sor_record::settings::Outage;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::controllers::tenant::mock::{self, Mock, Server, show};
use crate::watches::Hubs;

/// What the service answers, and how often it was asked.
struct Said {
    status: StatusCode,
    body: Mutex<Vec<u8>>,
    tag: Option<&'static str>,
    token: Option<&'static str>,
    asked: AtomicU32,
}

impl Default for Said {
    fn default() -> Self {
        Self {
            status: StatusCode::OK,
            body: Mutex::new(Vec::new()),
            tag: None,
            token: None,
            asked: AtomicU32::new(0),
        }
    }
}

impl Said {
    fn records(ids: &[&str]) -> Self {
        let said = Self::default();
        said.now_has(ids);
        said
    }

    fn now_has(&self, ids: &[&str]) {
        let records: Vec<_> = ids.iter().map(|id| json!({"id": id, "tenants": ["acme"]})).collect();
        *self.body.lock().unwrap() = json!({"records": records}).to_string().into_bytes();
    }
}

async fn answer(State(said): State<Arc<Said>>, request: Request) -> Response {
    said.asked.fetch_add(1, Ordering::SeqCst);
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let wanted = said.token.map(|token| format!("Bearer {token}"));
    let answer = Response::builder();
    if header("authorization").map(str::to_owned) != wanted {
        return answer.status(StatusCode::UNAUTHORIZED).body(Body::empty()).unwrap();
    }
    if said.tag.is_some() && header("if-none-match") == said.tag {
        return answer.status(StatusCode::NOT_MODIFIED).body(Body::empty()).unwrap();
    }
    let mut answer = answer.status(said.status);
    if let Some(tag) = said.tag {
        answer = answer.header("etag", tag);
    }
    if said.status.is_redirection() {
        answer = answer.header("location", "/elsewhere");
    }
    let body = said.body.lock().unwrap().clone();
    answer.body(Body::from(body)).unwrap()
}

/// Starts the service; its URL.
async fn serve(said: &Arc<Said>) -> String {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/records", listener.local_addr().unwrap());
    let app = Router::new().route("/records", get(answer)).with_state(said.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

fn settings(url: String, token_file: Option<String>) -> SorHttpSettings {
    SorHttpSettings {
        url,
        interval: "1m".into(),
        timeout: "5s".into(),
        token_file,
        ca_bundle: None,
        outage: Outage::Deny,
        greatest_age: "24h".into(),
    }
}

async fn source(said: &Arc<Said>) -> SystemOfRecord {
    SystemOfRecord::new(&settings(serve(said).await, None), None).unwrap()
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let said = Arc::new(Said {
        tag: Some("\"v1\""),
        ..Said::records(&["APP-1"])
    });
    let mut source = source(&said).await;
    assert!(source.fetch().await.unwrap());
    assert!(!source.fetch().await.unwrap());
    assert_eq!(source.listing().records.len(), 1);
    assert_eq!(said.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn the_token_is_read_from_its_file_each_time() {
    let said = Arc::new(Said {
        token: Some("right"),
        ..Said::records(&[])
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let mut source = SystemOfRecord::new(&settings(serve(&said).await, Some(path)), None).unwrap();
    assert!(matches!(source.fetch().await, Err(SorError::NoToken)));
    std::fs::write(file.path(), "wrong\n").unwrap();
    assert!(matches!(source.fetch().await, Err(SorError::Status(401))));
    std::fs::write(file.path(), "right\n").unwrap();
    assert!(source.fetch().await.unwrap());
    drop(file);
    assert!(matches!(source.fetch().await, Err(SorError::Token { .. })));
}

#[tokio::test]
async fn errors_redirects_and_answers_that_are_none_are_an_outage() {
    for (status, body) in [
        (StatusCode::INTERNAL_SERVER_ERROR, b"{\"records\": []}".to_vec()),
        (StatusCode::FOUND, Vec::new()),
        (StatusCode::NOT_MODIFIED, Vec::new()),
        (StatusCode::NO_CONTENT, Vec::new()),
        (StatusCode::OK, b"<html>".to_vec()),
        (StatusCode::OK, vec![b' '; MAX_BYTES + 1]),
    ] {
        let said = Arc::new(Said {
            status,
            body: Mutex::new(body),
            ..Said::default()
        });
        let failed = source(&said).await.fetch().await;
        assert!(failed.is_err(), "{status}");
        assert_eq!(
            said.asked.load(Ordering::SeqCst),
            1,
            "{status}: no redirect is followed"
        );
    }
}

const KIND: &str = "/apis/imagefactory.dev/v1alpha1/sorrecords";

fn path(id: &str) -> String {
    format!("{KIND}/{}", object_name(id))
}

async fn fetcher(said: &Arc<Said>, server: &Server) -> (Fetcher, UnboundedReceiver<ObjectRef<SorRecord>>) {
    let (wake, woken) = unbounded_channel();
    let fetcher = Fetcher {
        source: None,
        settings: settings(serve(said).await, None),
        context: server.context.clone(),
        confirmed: Confirmed::default(),
        wake,
    };
    (fetcher, woken)
}

/// The record as the fetcher writes it.
fn fetched(id: &str) -> SorRecord {
    let listing = json!({"records": [{"id": id, "tenants": ["acme"]}]}).to_string();
    let listing = imagefactory_core::sor_record::listing::parse(listing.as_bytes()).unwrap();
    match plan(&listing, &[]).actions.pop() {
        Some(Action::Apply(record)) => *record,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn records_are_made_confirmed_and_removed_as_the_system_of_record_says() {
    let hubs = Hubs::default();
    show(&hubs.sor_records, fetched("APP-1"));
    show(&hubs.sor_records, fetched("GONE-1"));
    let server = Mock::default().holds(&path("GONE-1"), &fetched("GONE-1")).start(&hubs);
    let said = Arc::new(Said::records(&["APP-1", "NEW-1"]));
    let (mut fetcher, mut woken) = fetcher(&said, &server).await;
    let mut failures = 3;
    let pause = fetcher.round(&mut failures).await;
    assert_eq!((pause, failures), (Duration::from_secs(60), 0));
    let expected = [format!("PATCH {}", path("NEW-1")), format!("DELETE {}", path("GONE-1"))];
    assert_eq!(server.writes(), expected);
    let at = |id: &str| fetcher.confirmed.at(&object_name(id));
    assert_eq!([at("APP-1"), at("NEW-1")], [Some(mock::now()); 2]);
    assert_eq!(at("GONE-1"), None);
    let told: Vec<_> = std::iter::from_fn(|| woken.try_recv().ok())
        .map(|woken| woken.name)
        .collect();
    assert_eq!(told, [object_name("NEW-1"), object_name("APP-1")]);
}

#[tokio::test]
async fn a_record_that_could_not_be_written_is_not_confirmed() {
    let request = format!("PATCH {}", path("NEW-1"));
    let server = Mock::default().refuses(&request, 403).start(&Hubs::default());
    let said = Arc::new(Said::records(&["NEW-1"]));
    let (mut fetcher, _woken) = fetcher(&said, &server).await;
    fetcher.round(&mut 0).await;
    assert_eq!(fetcher.confirmed.at(&object_name("NEW-1")), None);
    fetcher.round(&mut 0).await;
    assert_eq!(fetcher.confirmed.at(&object_name("NEW-1")), Some(mock::now()));
}

#[tokio::test]
async fn an_outage_removes_nothing_confirms_nothing_and_is_tried_again_soon() {
    let hubs = Hubs::default();
    show(&hubs.sor_records, fetched("APP-1"));
    let server = Mock::default().start(&hubs);
    let said = Arc::new(Said {
        status: StatusCode::SERVICE_UNAVAILABLE,
        ..Said::records(&[])
    });
    let (mut fetcher, _woken) = fetcher(&said, &server).await;
    let mut failures = 0;
    let first = fetcher.round(&mut failures).await;
    assert!(first <= Duration::from_secs(1) && failures == 1, "{first:?}");
    failures = 30;
    assert!(fetcher.round(&mut failures).await <= Duration::from_secs(60));
    assert_eq!(server.requests(), Vec::<String>::new());
    let text = server.context.metrics.encode().unwrap();
    assert!(
        text.contains("imagefactory_sor_fetches_total{outcome=\"failed\"} 2"),
        "{text}"
    );
}
