//! The two doors over HTTP: `/validate` and `/mutate`.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use imagefactory_serving::bodies::{Bodies, BodyError, BodyLimits, Held};
use kube::core::admission::AdmissionResponse;
use tokio::sync::OwnedSemaphorePermit;
use tracing::warn;

use crate::door::Door;
use crate::review::{Asked, MAX_REVIEW_BYTES, ReviewError, read};

/// What is made of a review takes up to sixteen times its length, so the longest come one at a time. Nearly all reviews are
/// short. An API server waits for three seconds.
const BODIES: BodyLimits = BodyLimits {
    most: MAX_REVIEW_BYTES,
    short: 32 * 1024,
    short_room: 4 * 1024 * 1024,
    long_room: MAX_REVIEW_BYTES,
    patience: Duration::from_secs(3),
};

/// What the routes need.
#[derive(Clone)]
struct Serving {
    door: Door,
    bodies: Bodies,
}

/// The routes.
pub fn app(door: Door) -> Router {
    Router::new()
        .route("/validate", post(validate))
        .route("/mutate", post(mutate))
        .with_state(Serving {
            door,
            bodies: Bodies::new(BODIES),
        })
}

/// Why something is not answered as a review.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Review(#[from] ReviewError),
}

async fn validate(State(Serving { door, bodies }): State<Serving>, request: Request) -> Response {
    match asked(&bodies, request).await {
        Ok((asked, _room)) => send(door.validate(&asked).await),
        Err(error) => refuse(&error),
    }
}

async fn mutate(State(Serving { door, bodies }): State<Serving>, request: Request) -> Response {
    match asked(&bodies, request).await {
        Ok((asked, _room)) => send(door.mutate(&asked).await),
        Err(error) => refuse(&error),
    }
}

/// What is asked, and the room that it takes until it is answered.
async fn asked(bodies: &Bodies, request: Request) -> Result<(Asked, OwnedSemaphorePermit), Unanswered> {
    let Held { bytes, room } = bodies.read(request).await?;
    Ok((read(&bytes)?, room))
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

fn refuse(error: &Unanswered) -> Response {
    warn!(%error, "refused to read");
    let status = match error {
        Unanswered::Body(error) => error.status(),
        Unanswered::Review(error) => error.status(),
    };
    (status, format!("{error}\n")).into_response()
}
