//! `POST /intake/v1/events`: a batch is answered with 200 when all of it is durable, and only then. `POST /intake/v1/known`
//! says which ids are stored already, and writes nothing.
//!
//! | answer | means | who sent it |
//! |---|---|---|
//! | 200 | durable; `{"stored": n, "known": m}` | forgets it |
//! | 400 | can never be stored; nothing of it was | sends the good ones apart, and keeps the bad one out |
//! | 401, 403 | no token, or not of one who may | waits and asks again |
//! | 413 | too long | sends smaller batches |
//! | 408, 503 | not now; some of it may have been stored | sends the same again |

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use imagefactory_crds::audit::{Batch, Known, MAX_BATCH, MAX_EVENT_BYTES, MAX_QUESTION, Question};
use imagefactory_serving::bodies::{Bodies, BodyError, BodyLimits, Held};
use imagefactory_store::{Appended, StoreError};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::count::Counted;
use super::reviews::{Refusal, Reviews};
use super::shelf::Shelf;
use crate::runner::chain;

/// Longest body: a full batch, and what stands around its events.
pub(super) const MAX_BODY: usize = MAX_BATCH * (MAX_EVENT_BYTES + 1) + 1024;
/// Longest body of a question.
const MAX_QUESTION_BODY: usize = MAX_QUESTION * 128;
/// Longest wait for a body, and for an answer to a question.
const BODY: Duration = Duration::from_secs(10);
/// Four of the longest are held at a time.
const BODIES: BodyLimits = BodyLimits {
    most: MAX_BODY,
    short: 0,
    short_room: 0,
    long_room: 4 * MAX_BODY,
    patience: BODY,
};

/// What the intake needs.
#[derive(Clone)]
pub(super) struct Intake {
    pub(super) shelf: Shelf,
    pub(super) reviews: Arc<Reviews>,
    pub(super) counted: Arc<Counted>,
    pub(super) bodies: Bodies,
}

/// Room for bodies.
pub(super) fn bodies() -> Bodies {
    Bodies::new(BODIES)
}

pub(super) fn app(intake: Intake) -> Router {
    Router::new()
        .route("/intake/v1/events", post(take))
        .route("/intake/v1/known", post(known))
        .with_state(intake)
}

/// Why a batch is not stored.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Who(#[from] Refusal),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("the body is no batch of events, or no question: {0}")]
    Unreadable(serde_json::Error),
    #[error("the batch has {0} events, more than {MAX_BATCH}")]
    TooMany(usize),
    #[error("{0} ids are asked for, more than {MAX_QUESTION}")]
    TooManyIds(usize),
    #[error("the database is not open yet")]
    NotOpen,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refused {
    fn status(&self) -> StatusCode {
        match self {
            Self::Who(Refusal::Unknown) => StatusCode::UNAUTHORIZED,
            Self::Who(Refusal::Forbidden) => StatusCode::FORBIDDEN,
            Self::Who(Refusal::Unavailable) | Self::NotOpen => StatusCode::SERVICE_UNAVAILABLE,
            Self::Body(error) => error.status(),
            Self::Unreadable(_) | Self::TooMany(_) | Self::TooManyIds(_) | Self::Store(StoreError::Invalid { .. }) => {
                StatusCode::BAD_REQUEST
            }
            Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

async fn take(State(intake): State<Intake>, request: Request) -> Response {
    let taken = intake.take(request).await;
    let said = taken.map(|Appended { stored, known }| json!({"stored": stored, "known": known}));
    answered(&intake, said)
}

async fn known(State(intake): State<Intake>, request: Request) -> Response {
    let known = intake.known(request).await;
    answered(&intake, known.map(|known| json!(Known { known })))
}

fn answered(intake: &Intake, said: Result<Value, Refused>) -> Response {
    let answer = match said {
        Ok(said) => ([(header::CONTENT_TYPE, "application/json")], said.to_string()).into_response(),
        Err(refused) => {
            if let Refused::Store(error) = &refused {
                warn!(error = chain(error), "events were not stored, or not looked up");
            }
            let body = json!({"error": refused.to_string()}).to_string();
            let retry = (header::RETRY_AFTER, "1");
            (
                refused.status(),
                [(header::CONTENT_TYPE, "application/json"), retry],
                body,
            )
                .into_response()
        }
    };
    intake.counted.answered(answer.status().as_u16());
    answer
}

impl Intake {
    async fn take(&self, request: Request) -> Result<Appended, Refused> {
        // Before anything of the body is held.
        self.reviews.admit(bearer(request.headers())).await?;
        let Held { bytes, room: _room } = self.bodies.read(request).await?;
        let batch = parse(&bytes)?;
        drop(bytes);
        let store = self.shelf.store().ok_or(Refused::NotOpen)?;
        let began = Instant::now();
        let appended = store.append(batch.events).await?;
        self.counted.appended(appended, began.elapsed());
        Ok(appended)
    }

    /// Which events of those that are asked for are stored. For who begins anew and does not know what was told.
    async fn known(&self, request: Request) -> Result<Vec<String>, Refused> {
        self.reviews.admit(bearer(request.headers())).await?;
        let held = self.bodies.read_up_to(request, MAX_QUESTION_BODY).await?;
        let Question { ids } = serde_json::from_slice(&held.bytes).map_err(Refused::Unreadable)?;
        if ids.len() > MAX_QUESTION {
            return Err(Refused::TooManyIds(ids.len()));
        }
        let reader = self.shelf.reader().ok_or(Refused::NotOpen)?;
        match timeout(BODY, reader.known(&ids)).await {
            Ok(known) => Ok(known?),
            Err(_) => Err(Refused::Store(StoreError::TooSlow)),
        }
    }
}

fn parse(body: &Bytes) -> Result<Batch, Refused> {
    let batch: Batch = serde_json::from_slice(body).map_err(Refused::Unreadable)?;
    if batch.events.len() > MAX_BATCH {
        return Err(Refused::TooMany(batch.events.len()));
    }
    Ok(batch)
}

fn bearer(headers: &HeaderMap) -> &str {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| {
        value
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
    });
    token.map_or("", |(_, token)| token.trim())
}
