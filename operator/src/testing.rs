//! An API server for tests that answers as a scenario says, step by step.

use std::sync::Arc;

use http::{Request, Response};
use imagefactory_core::settings::Settings;
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use kube::runtime::events::{Recorder, Reporter};
use serde_json::{Value, json};
use tower_test::mock::{Handle, SendResponse, pair};

use crate::archive::Archive;
use crate::context::Context;
use crate::keeper::Keeper;
use crate::metrics::Metrics;
use crate::watches::Hubs;

/// The side of the API server.
pub(crate) struct Server(Handle<Request<Body>, Response<Body>>);

/// A request that waits for its answer.
pub(crate) struct Asked {
    /// Method and path.
    pub(crate) line: String,
    /// Query.
    pub(crate) query: String,
    /// Body as JSON; null where there is none.
    pub(crate) body: Value,
    answer: SendResponse<Response<Body>>,
}

/// A client and the server behind it.
pub(crate) fn server() -> (Client, Server) {
    let (service, handle) = pair::<Request<Body>, Response<Body>>();
    (Client::new(service, "default"), Server(handle))
}

impl Server {
    /// The next request.
    pub(crate) async fn asked(&mut self) -> Asked {
        let (request, answer) = self.0.next_request().await.expect("a request");
        let line = format!("{} {}", request.method(), request.uri().path());
        let query = request.uri().query().unwrap_or_default().to_owned();
        let bytes = request.into_body().collect_bytes().await.unwrap();
        Asked {
            line,
            query,
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
            answer,
        }
    }

    /// The next request, which is this one.
    pub(crate) async fn expect(&mut self, line: &str) -> Asked {
        let asked = self.asked().await;
        assert_eq!(asked.line, line, "{}", asked.body);
        asked
    }

    /// Whether nothing is asked for this long.
    pub(crate) async fn is_quiet_for(&mut self, time: std::time::Duration) -> bool {
        tokio::time::timeout(time, self.0.next_request()).await.is_err()
    }
}

impl Asked {
    /// Answers with a body.
    pub(crate) fn answer(self, code: u16, body: &Value) {
        let body = Body::from(serde_json::to_vec(body).unwrap());
        self.answer
            .send_response(Response::builder().status(code).body(body).unwrap());
    }

    /// Answers with a text, as a log is.
    pub(crate) fn text(self, text: &str) {
        let body = Body::from(text.as_bytes().to_vec());
        self.answer.send_response(Response::new(body));
    }

    /// Answers with what was sent: it was written.
    pub(crate) fn echo(self) {
        let body = self.body.clone();
        self.answer(200, &body);
    }

    /// Answers with a failure.
    pub(crate) fn fail(self, code: u16, reason: &str, message: &str) {
        self.answer(code, &failure(code, reason, message));
    }
}

/// A failure as the API server says it.
pub(crate) fn failure(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message})
}

/// The settings of a small installation.
pub(crate) fn settings() -> Settings {
    serde_yaml::from_str(include_str!("config/testdata/config.yaml")).unwrap()
}

/// A context on that client, with the stores of these hubs.
pub(crate) fn context(client: Client, hubs: &Hubs) -> Arc<Context> {
    let reporter = Reporter {
        controller: "test".to_owned(),
        instance: None,
    };
    Arc::new(Context {
        recorder: Recorder::new(client.clone(), reporter),
        client,
        settings: Arc::new(settings()),
        stores: hubs.stores(),
        dispatcher: Arc::new(crate::dispatcher::Dispatcher::new(&settings())),
        metrics: Arc::new(Metrics::default()),
        keeper: Keeper::new(Archive::in_memory(1 << 20)),
        clock: || Timestamp::UNIX_EPOCH,
    })
}

/// An object from JSON, as a watch brings it.
pub(crate) fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

/// A Project of this name in the tenant acme's namespace, at this version.
pub(crate) fn project(name: &str, version: u32) -> Value {
    json!({
        "apiVersion": "imagefactory.dev/v1alpha1",
        "kind": "Project",
        "metadata": {"name": name, "namespace": "tenant-acme", "uid": format!("uid-{name}"), "resourceVersion": version.to_string(), "generation": 1},
        "spec": {},
    })
}
