//! The plain port: /metrics, /livez, /readyz.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::health::Gates;
use crate::metrics::{CONTENT_TYPE, Metrics};

/// What is served.
#[derive(Clone)]
pub struct Served {
    /// What the process counts.
    pub metrics: Arc<Metrics>,
    /// Whether it is ready.
    pub ready: Gates,
}

/// The routes.
pub fn app(served: Served) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state(served)
}

async fn metrics(State(served): State<Served>) -> Response {
    match served.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Like Kubernetes' own: `ok`, or which gates are closed; with `?verbose` every gate.
async fn readyz(State(served): State<Served>, RawQuery(query): RawQuery) -> Response {
    let states = served.ready.states();
    let open = states.iter().all(|(_, waits_for)| waits_for.is_none());
    let verbose = query.is_some_and(|query| query.split('&').any(|pair| pair.starts_with("verbose")));
    let mut text = String::new();
    for (name, waits_for) in states {
        match waits_for {
            Some(what) => text.push_str(&format!("[-] {name} waits for {what}\n")),
            None if verbose => text.push_str(&format!("[+] {name} ok\n")),
            None => {}
        }
    }
    if open {
        return (StatusCode::OK, text + "ok\n").into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}
