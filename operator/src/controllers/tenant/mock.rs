//! An API server for tests of the edge: answers as a scenario says, and remembers what it was asked.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use imagefactory_core::settings::Settings;
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::watcher::Event;
use serde::Serialize;
use serde_json::{Value, json};

use crate::context::Context;
use crate::metrics::Metrics;
use crate::watches::Guarded;
use crate::watches::{Hub, Hubs, Watched};

/// The time in tests.
pub(in crate::controllers) fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

/// What the API server holds, by path, what it refuses, and what it was asked.
#[derive(Default)]
pub(in crate::controllers) struct Mock {
    objects: BTreeMap<String, Value>,
    refusals: BTreeMap<String, u16>,
    log: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Mock {
    /// It holds this object.
    pub(in crate::controllers) fn holds(mut self, path: &str, object: &impl Serialize) -> Self {
        self.objects
            .insert(path.to_owned(), serde_json::to_value(object).unwrap());
        self
    }

    /// It answers this request (verb and path) with that code, the first time.
    pub(in crate::controllers) fn refuses(mut self, request: &str, code: u16) -> Self {
        self.refusals.insert(request.to_owned(), code);
        self
    }

    /// Starts it.
    pub(in crate::controllers) fn start(self, hubs: &Hubs) -> Server {
        let log = self.log.clone();
        let state = Arc::new(Mutex::new(self));
        let service = tower::service_fn(move |request: Request<Body>| {
            let state = state.clone();
            async move {
                let line = format!("{} {}", request.method(), request.uri().path());
                let bytes = request.into_body().collect_bytes().await?;
                let (code, body) = state
                    .lock()
                    .unwrap()
                    .answer(&line, serde_json::from_slice(&bytes).unwrap_or_default());
                let body = Body::from(serde_json::to_vec(&body)?);
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Response::builder().status(code).body(body)?)
            }
        });
        let client = Client::new(service, "default");
        let recorder = Recorder::new(
            client.clone(),
            Reporter {
                controller: "test".to_owned(),
                instance: None,
            },
        );
        let context = Context {
            client,
            settings: Arc::new(settings()),
            stores: hubs.stores(),
            dispatcher: Arc::new(crate::dispatcher::Dispatcher::new(&settings())),
            recorder,
            metrics: Arc::new(Metrics::default()),
            keeper: crate::keeper::Keeper::new(crate::archive::Archive::in_memory(1 << 20)),
            clock: now,
        };
        Server {
            context: Arc::new(context),
            log,
        }
    }

    fn answer(&mut self, request: &str, body: Value) -> (u16, Value) {
        self.log.lock().unwrap().push((request.to_owned(), body.clone()));
        if let Some(code) = self.refusals.remove(request) {
            return failure(request, code);
        }
        let (verb, path) = request.split_once(' ').unwrap();
        let held = self.objects.get(path.trim_end_matches("/status"));
        match (verb, held) {
            ("GET" | "DELETE", Some(object)) => (200, object.clone()),
            ("GET" | "DELETE", None) => failure(request, 404),
            // The answer to a status is the whole object.
            ("PATCH", Some(object)) if path.ends_with("/status") => (200, object.clone()),
            _ => (200, body),
        }
    }
}

fn failure(request: &str, code: u16) -> (u16, Value) {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 if request.starts_with("POST ") => "AlreadyExists",
        409 => "Conflict",
        422 => "Invalid",
        _ => "InternalError",
    };
    let message = format!("refused with {code}");
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code});
    (code, status)
}

/// A running [`Mock`].
pub(in crate::controllers) struct Server {
    pub(in crate::controllers) context: Arc<Context>,
    log: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Server {
    /// What it was asked, in order.
    pub(in crate::controllers) fn requests(&self) -> Vec<String> {
        self.log
            .lock()
            .unwrap()
            .iter()
            .map(|(request, _)| request.clone())
            .collect()
    }

    /// What it was asked beside reads.
    pub(in crate::controllers) fn writes(&self) -> Vec<String> {
        self.requests()
            .into_iter()
            .filter(|request| !request.starts_with("GET "))
            .collect()
    }

    /// What it was sent, in order.
    pub(in crate::controllers) fn bodies(&self) -> Vec<Value> {
        self.log.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }

    /// The status that was written last.
    pub(in crate::controllers) fn status(&self) -> Value {
        let log = self.log.lock().unwrap();
        let written = log.iter().rev().find(|(request, _)| request.ends_with("/status"));
        written.map(|(_, body)| body["status"].clone()).unwrap_or_default()
    }
}

/// A watch shows this object.
pub(in crate::controllers) fn show<K: Watched + Debug>(hub: &Hub<K>, object: K) {
    assert_eq!(hub.take(Event::Apply(Guarded(Ok(object)))), None);
}

/// A watch shows that this object is gone.
pub(in crate::controllers) fn hide<K: Watched + Debug>(hub: &Hub<K>, object: K) {
    assert_eq!(hub.take(Event::Delete(Guarded(Ok(object)))), None);
}

fn settings() -> Settings {
    serde_json::from_value(json!({
        "releaseNamespace": "image-factory",
        "workNamespace": "image-factory-work",
        "clusterRolePrefix": "image-factory",
        "operatorServiceAccount": "operator",
        "credentialsServiceAccount": "credentials",
        "images": {"worker": "worker", "kaniko": "kaniko", "buildkit": "buildkit", "trivy": "trivy", "pullPolicy": "IfNotPresent"},
        "onboarding": {"build": true},
        "staging": {"prefix": "registry.example.com/staging", "secret": "staging", "scope": "Shared"},
        "output": {"prefix": "registry.example.com/images", "secret": "output", "scope": "Shared"},
        "caBundle": "pem",
        "builds": {
            "defaultTimeout": "1h", "volumeSize": "20Gi", "jobDeadlineSeconds": 900, "jobTtlSeconds": 600,
            "pendingDeadlineSeconds": 600
        },
        "scan": {"serverUrl": "http://scanner", "tokenSecret": "scanner"},
        "tenants": {"defaultQuota": {"pods": 20}, "defaultLimits": {"cpu": "1"}}
    }))
    .unwrap()
}
