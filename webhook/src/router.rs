//! The two doors over HTTP: `/validate` and `/mutate`.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use kube::core::admission::AdmissionResponse;
use tracing::warn;

use crate::door::Door;
use crate::review::{MAX_REVIEW_BYTES, ReviewError, read};

/// The routes.
pub fn app(door: Door) -> Router {
    Router::new()
        .route("/validate", post(validate))
        .route("/mutate", post(mutate))
        .layer(DefaultBodyLimit::max(MAX_REVIEW_BYTES))
        .with_state(door)
}

async fn validate(State(door): State<Door>, body: Bytes) -> Response {
    match read(&body) {
        Ok(asked) => send(door.validate(&asked).await),
        Err(error) => refuse(&error),
    }
}

async fn mutate(State(door): State<Door>, body: Bytes) -> Response {
    match read(&body) {
        Ok(asked) => send(door.mutate(&asked).await),
        Err(error) => refuse(&error),
    }
}

fn send(answer: AdmissionResponse) -> Response {
    match serde_json::to_vec(&answer.into_review()) {
        Ok(bytes) => ([(header::CONTENT_TYPE, "application/json")], Body::from(bytes)).into_response(),
        Err(error) => {
            warn!(%error, "an answer could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn refuse(error: &ReviewError) -> Response {
    warn!(%error, "refused to read");
    (error.status(), format!("{error}\n")).into_response()
}
