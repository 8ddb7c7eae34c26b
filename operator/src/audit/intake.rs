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
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use imagefactory_crds::audit::{Batch, Known, MAX_BATCH, MAX_EVENT_BYTES, MAX_QUESTION, Question};
use imagefactory_store::{Appended, StoreError};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};
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
/// Bodies that are held at a time, in units of [`UNIT`]: four of the longest.
const UNITS: usize = 4 * MAX_BODY.div_ceil(UNIT);
const UNIT: usize = 4096;
/// Longest wait for a body.
const BODY: Duration = Duration::from_secs(10);

/// What the intake needs.
#[derive(Clone)]
pub(super) struct Intake {
    pub(super) shelf: Shelf,
    pub(super) reviews: Arc<Reviews>,
    pub(super) counted: Arc<Counted>,
    pub(super) room: Arc<Semaphore>,
}

/// Room for bodies.
pub(super) fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(UNITS))
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
    #[error("the body is too long")]
    TooLong,
    #[error("the body did not come in time")]
    TooSlow,
    #[error("the body is no batch of events, or no question: {0}")]
    Body(serde_json::Error),
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
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Body(_) | Self::TooMany(_) | Self::TooManyIds(_) | Self::Store(StoreError::Invalid { .. }) => {
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
        let _room = self.room_for(request.headers()).await?;
        let body = read(request, MAX_BODY).await?;
        let batch = parse(&body)?;
        drop(body);
        let store = self.shelf.store().ok_or(Refused::NotOpen)?;
        let began = Instant::now();
        let appended = store.append(batch.events).await?;
        self.counted.appended(appended, began.elapsed());
        Ok(appended)
    }

    /// Which events of those that are asked for are stored. For who begins anew and does not know what was told.
    async fn known(&self, request: Request) -> Result<Vec<String>, Refused> {
        self.reviews.admit(bearer(request.headers())).await?;
        let body = read(request, MAX_QUESTION_BODY).await?;
        let Question { ids } = serde_json::from_slice(&body).map_err(Refused::Body)?;
        if ids.len() > MAX_QUESTION {
            return Err(Refused::TooManyIds(ids.len()));
        }
        let reader = self.shelf.reader().ok_or(Refused::NotOpen)?;
        match timeout(BODY, reader.known(&ids)).await {
            Ok(known) => Ok(known?),
            Err(_) => Err(Refused::Store(StoreError::TooSlow)),
        }
    }

    async fn room_for(&self, headers: &HeaderMap) -> Result<SemaphorePermit<'_>, Refused> {
        let length = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let length: usize = length.unwrap_or(MAX_BODY);
        if length > MAX_BODY {
            return Err(Refused::TooLong);
        }
        let units = u32::try_from(length.div_ceil(UNIT).max(1)).unwrap_or(u32::MAX);
        match timeout(BODY, self.room.acquire_many(units)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Refused::Store(StoreError::Busy)),
        }
    }
}

async fn read(request: Request, most: usize) -> Result<Bytes, Refused> {
    match timeout(BODY, to_bytes(request.into_body(), most)).await {
        Ok(body) => body.map_err(|_| Refused::TooLong),
        Err(_) => Err(Refused::TooSlow),
    }
}

fn parse(body: &Bytes) -> Result<Batch, Refused> {
    let batch: Batch = serde_json::from_slice(body).map_err(Refused::Body)?;
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
