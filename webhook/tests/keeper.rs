//! The keeper of certificates against an API server in memory: replicas that race, and a crash before and after each request.
#![allow(clippy::unwrap_used, reason = "a test says why it ends")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use imagefactory_webhook::certs::cluster::{Cluster, Names};
use imagefactory_webhook::certs::keeper::Keeper;
use imagefactory_webhook::certs::{Served, Terms};
use imagefactory_webhook::metrics::Metrics;
use jiff::SignedDuration;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// Objects by path, and when to break.
#[derive(Clone, Default)]
struct Api(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    requests: usize,
    writes: usize,
    /// The request of this number is not answered; `true`: it is done all the same.
    breaks: Option<(usize, bool)>,
}

impl State {
    fn answer(&mut self, method: &Method, path: &str, body: &[u8]) -> (StatusCode, Value) {
        self.requests += 1;
        let breaks = self.breaks.filter(|(at, _)| *at == self.requests);
        if matches!(breaks, Some((_, false))) {
            return (StatusCode::INTERNAL_SERVER_ERROR, status(500));
        }
        let answer = self.act(method, path, body);
        match breaks {
            Some(_) => (StatusCode::INTERNAL_SERVER_ERROR, status(500)),
            None => answer,
        }
    }

    fn act(&mut self, method: &Method, path: &str, body: &[u8]) -> (StatusCode, Value) {
        let sent = || serde_json::from_slice::<Value>(body).unwrap();
        match *method {
            Method::GET => match self.objects.get(path) {
                Some(object) => (StatusCode::OK, object.clone()),
                None => (StatusCode::NOT_FOUND, status(404)),
            },
            Method::POST => {
                let object = sent();
                let path = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap());
                match self.objects.contains_key(&path) {
                    true => (StatusCode::CONFLICT, status(409)),
                    false => self.store(path, object),
                }
            }
            Method::PUT => {
                let object = sent();
                let known = &self.objects[path]["metadata"]["resourceVersion"];
                match object["metadata"]["resourceVersion"] == *known {
                    true => self.store(path.to_owned(), object),
                    false => (StatusCode::CONFLICT, status(409)),
                }
            }
            _ => {
                let mut object = self.objects[path].clone();
                let patch: json_patch::Patch = serde_json::from_slice(body).unwrap();
                json_patch::patch(&mut object, &patch).unwrap();
                self.store(path.to_owned(), object)
            }
        }
    }

    fn store(&mut self, path: String, mut object: Value) -> (StatusCode, Value) {
        self.version += 1;
        self.writes += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.objects.insert(path, object.clone());
        (StatusCode::OK, object)
    }
}

fn status(code: u16) -> Value {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        _ => "InternalError",
    };
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "x"})
}

const HOOKS: &str = "/apis/admissionregistration.k8s.io/v1";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/ns/deployments/f-webhook";

impl Api {
    fn with_configurations() -> Self {
        let api = Self::default();
        for plural in ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"] {
            let webhook = json!({"name": "a.imagefactory.dev", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "clientConfig": {"service": {"name": "f-webhook", "namespace": "ns"}}});
            let object = json!({"metadata": {"name": "f-webhook"}, "webhooks": [webhook]});
            let mut state = api.0.lock().unwrap();
            state.store(format!("{HOOKS}/{plural}/f-webhook"), object);
        }
        let deployment = json!({"metadata": {"name": "f-webhook", "uid": "of-the-deployment"}});
        api.0.lock().unwrap().store(DEPLOYMENT.to_owned(), deployment);
        api.0.lock().unwrap().writes = 0;
        api
    }

    fn client(&self) -> Client {
        let state = self.0.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let state = state.clone();
            async move {
                let (parts, body) = request.into_parts();
                let bytes: Bytes = body.collect().await.unwrap().to_bytes();
                // Others get their turn between any two requests.
                tokio::task::yield_now().await;
                let (status, value) = state.lock().unwrap().answer(&parts.method, parts.uri.path(), &bytes);
                let body = Body::from(serde_json::to_vec(&value).unwrap());
                Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap())
            }
        });
        Client::new(service, "ns")
    }

    fn get(&self, path: &str) -> Value {
        self.0.lock().unwrap().objects.get(path).cloned().unwrap_or_default()
    }

    fn secret(&self, name: &str, key: &str) -> Value {
        self.get(&format!("/api/v1/namespaces/ns/secrets/{name}"))["data"][key].clone()
    }

    fn count(&self, of: fn(&State) -> usize) -> usize {
        of(&self.0.lock().unwrap())
    }

    fn is_whole(&self) -> bool {
        let bundle = self.secret("f-webhook-tls", "ca.crt");
        let trusting = ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"].map(|plural| {
            self.get(&format!("{HOOKS}/{plural}/f-webhook"))["webhooks"][0]["clientConfig"]["caBundle"].clone()
        });
        bundle.is_string()
            && trusting.iter().all(|trusted| *trusted == bundle)
            && self.secret("f-audit-tls", "ca.crt") == bundle
            && self.get("/api/v1/namespaces/ns/configmaps/f-ca")["data"]["ca.crt"].is_string()
    }
}

fn keeper(api: &Api) -> (Keeper, Served) {
    let names = Names {
        namespace: "ns".to_owned(),
        prefix: "f".to_owned(),
    };
    let terms = Terms {
        names: names.dns("webhook"),
        leaf: SignedDuration::from_hours(24),
        authority: SignedDuration::from_hours(240),
        settle: SignedDuration::from_mins(15),
    };
    let served = Served::default();
    let cluster = Cluster::new(api.client(), names);
    (
        Keeper::new(cluster, terms, served.clone(), Arc::new(Metrics::default())),
        served,
    )
}

#[tokio::test]
async fn one_look_makes_everything_and_the_next_writes_nothing() {
    let api = Api::with_configurations();
    let (keeper, served) = keeper(&api);
    assert!(!keeper.is_trusted());
    keeper.look().await.unwrap();
    assert!(api.is_whole() && keeper.is_trusted() && served.pair().is_some());
    let writes = api.count(|state| state.writes);
    keeper.look().await.unwrap();
    assert_eq!(
        api.count(|state| state.writes),
        writes,
        "a look that finds all well writes nothing"
    );
}

#[tokio::test]
async fn replicas_that_begin_at_once_serve_the_same_certificate() {
    let api = Api::with_configurations();
    let replicas: Vec<_> = (0..4).map(|_| keeper(&api)).collect();
    futures::future::join_all(replicas.iter().map(|(keeper, _)| keeper.look())).await;
    for (keeper, _) in &replicas {
        keeper.look().await.unwrap();
    }
    let first = replicas[0].1.pair().unwrap();
    assert!(replicas.iter().all(|(_, served)| served.pair() == Some(first.clone())));
    assert!(api.is_whole());
}

#[tokio::test]
async fn a_crash_before_or_after_any_request_is_mended_by_the_next_look() {
    let all = {
        let api = Api::with_configurations();
        keeper(&api).0.look().await.unwrap();
        api.count(|state| state.requests)
    };
    assert!(all > 8, "{all}");
    for at in 1..=all {
        for done in [false, true] {
            let api = Api::with_configurations();
            api.0.lock().unwrap().breaks = Some((at, done));
            assert!(keeper(&api).0.look().await.is_err(), "request {at} breaks");
            let (next, served) = keeper(&api);
            next.look().await.unwrap();
            assert!(api.is_whole() && next.is_trusted(), "request {at}, done: {done}");
            assert!(served.pair().is_some());
        }
    }
}

#[tokio::test]
async fn a_configuration_that_lost_its_authority_gets_it_back_and_one_that_is_missing_holds_up_nothing_but_readiness() {
    let api = Api::with_configurations();
    let path = format!("{HOOKS}/mutatingwebhookconfigurations/f-webhook");
    let (first, _) = keeper(&api);
    first.look().await.unwrap();
    api.0.lock().unwrap().objects.get_mut(&path).unwrap()["webhooks"][0]["clientConfig"]["caBundle"] = "bm8=".into();
    first.look().await.unwrap();
    assert!(api.is_whole());
    api.0.lock().unwrap().objects.remove(&path);
    first.look().await.unwrap();
    assert!(first.is_trusted(), "what was there once is put back by others");
    let (late, served) = keeper(&api);
    late.look().await.unwrap();
    assert!(!late.is_trusted() && served.pair().is_some());
}

#[tokio::test]
async fn what_is_written_goes_with_the_release_and_nothing_is_written_once_it_went() {
    let api = Api::with_configurations();
    keeper(&api).0.look().await.unwrap();
    for path in ["secrets/f-webhook-tls", "secrets/f-audit-tls", "configmaps/f-ca"] {
        let object = api.get(&format!("/api/v1/namespaces/ns/{path}"));
        let owners = &object["metadata"]["ownerReferences"];
        assert_eq!(owners[0]["uid"], "of-the-deployment", "{path}: {owners}");
    }

    let gone = Api::with_configurations();
    gone.0.lock().unwrap().objects.remove(DEPLOYMENT);
    assert!(keeper(&gone).0.look().await.is_err());
    assert_eq!(gone.count(|state| state.writes), 0);
}
