//! What the self-test finds, against an API server and an operator that answer as told.

use bytes::Bytes;
use http::Response;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::testing::settings;

/// A server that answers each path with a code and a text, and everything else with 404.
fn server(answers: Vec<(&'static str, u16, String)>) -> Client {
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let found = answers.iter().find(|(path, _, _)| *path == request.uri().path());
        let (code, text) = found.map_or((404, String::new()), |(_, code, text)| (*code, text.clone()));
        async move {
            let body = Body::from(Bytes::from(text));
            Ok::<_, tower::BoxError>(Response::builder().status(code).body(body)?)
        }
    });
    Client::new(service, "default")
}

fn kinds(plurals: &[&str]) -> Value {
    let resources: Vec<Value> = plurals
        .iter()
        .map(|plural| json!({"name": plural, "singularName": "", "namespaced": true, "kind": "K", "verbs": ["get"]}))
        .collect();
    json!({"kind": "APIResourceList", "groupVersion": "imagefactory.dev/v1alpha1", "resources": resources})
}

fn deployment(name: &str, available: i32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {}, "template": {}}, "status": {"availableReplicas": available},
    })
}

const ALL: [&str; 8] = [
    "builds",
    "imagepolicies",
    "projects",
    "quarantinerequests",
    "imagescans",
    "sorrecords",
    "tenants",
    "tenantsettings",
];

fn api(plurals: &[&str], scanners: i32) -> Client {
    let deployments = "/apis/apps/v1/namespaces/image-factory-work/deployments";
    let answer = |value: Value| value.to_string();
    server(vec![
        ("/apis/imagefactory.dev/v1alpha1", 200, answer(kinds(plurals))),
        (
            leak(format!("{deployments}/image-factory-credentials")),
            200,
            answer(deployment("image-factory-credentials", 1)),
        ),
        (
            leak(format!("{deployments}/image-factory-trivy")),
            200,
            answer(deployment("image-factory-trivy", scanners)),
        ),
    ])
}

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn operator(code: u16, text: &str) -> Client {
    server(vec![("/readyz", code, text.to_owned())])
}

async fn told(api: Client, operator: Client) -> (usize, String) {
    let settings = settings();
    let release = Release {
        api,
        operator,
        settings: &settings,
    };
    let mut out = Vec::new();
    let failed = run(&release, Duration::from_secs(10), &mut out).await.unwrap();
    (failed, String::from_utf8(out).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_release_that_is_well_passes_at_once() {
    let started = Instant::now();
    let (failed, text) = told(api(&ALL, 1), operator(200, "ok\n")).await;
    assert_eq!((failed, text.matches("ok      ").count()), (0, 4), "{text}");
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_not_served_is_named() {
    let (failed, text) = told(api(&["builds", "projects", "tenants"], 1), operator(200, "ok\n")).await;
    assert_eq!(failed, 1);
    assert!(
        text.contains("tenantsettings") && text.contains("imagepolicies"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_is_not_ready_fails_with_what_it_waits_for_after_some_patience() {
    let started = Instant::now();
    let waits = "[-] tenants waits for the first list of tenants\n";
    let (failed, text) = told(api(&ALL, 1), operator(503, waits)).await;
    assert_eq!(failed, 1);
    assert!(text.contains("the first list of tenants"), "{text}");
    assert!(
        started.elapsed() > Duration::from_secs(5),
        "it was asked more than once"
    );
}

#[tokio::test(start_paused = true)]
async fn a_scanner_without_a_pod_fails() {
    let (failed, text) = told(api(&ALL, 0), operator(200, "ok\n")).await;
    assert_eq!(failed, 1);
    assert!(
        text.contains("FAILED  the scanner") && text.contains("0 of 1 pods"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_release_that_is_not_there_fails_in_every_check() {
    let (failed, text) = told(server(Vec::new()), server(Vec::new())).await;
    assert_eq!(failed, 4, "{text}");
}

#[test]
fn the_operator_is_asked_through_its_service() {
    assert_eq!(
        operator_url(&settings()),
        "http://image-factory-operator.image-factory-system.svc:8080"
    );
}
