//! Bodies of requests, held whole: for so long at most, and so many bytes of them together.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use http::{HeaderMap, StatusCode, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::connections::places::{Place, Stage};

/// Room is counted in these.
const UNIT: usize = 4096;

/// How much is borne.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Most bytes of one.
    pub most: usize,
    /// Bodies up to this length are short: they are read without waiting for room, so that nobody who says that he will send
    /// much, or sends it slowly, keeps them out. There are as many of them at most as there are connections.
    pub short: usize,
    /// Most bytes of short ones that are worked on. With none, no body is short.
    pub short_room: usize,
    /// Most bytes of the others, from before they are read.
    pub long_room: usize,
    /// Longest wait for room and for all of the body.
    pub patience: Duration,
}

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It has more bytes than are borne.
    #[error("the body is too long")]
    TooLong,
    /// It was not all there in time.
    #[error("the body did not come in time")]
    TooSlow,
    /// Others hold what may be held.
    #[error("too much is asked at a time")]
    NoRoom,
}

impl BodyError {
    /// How it is answered.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// A body. What is made of it is often larger than it: keep the room until that is gone as well.
#[derive(Debug)]
pub struct Held {
    /// All of it.
    pub bytes: Bytes,
    /// What it takes of the room.
    pub room: OwnedSemaphorePermit,
}

/// Reads bodies. Cloning gives another handle to the same room.
#[derive(Clone, Debug)]
pub struct Bodies {
    limits: BodyLimits,
    short: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

impl Bodies {
    /// With all its room free.
    #[must_use]
    pub fn new(limits: BodyLimits) -> Self {
        Self {
            limits,
            short: Arc::new(Semaphore::new(limits.short_room.div_ceil(UNIT))),
            long: Arc::new(Semaphore::new(limits.long_room.div_ceil(UNIT))),
        }
    }

    /// All of a request's body.
    ///
    /// # Errors
    /// When it is too long, too slow, or more than there is room for.
    pub async fn read(&self, request: Request) -> Result<Held, BodyError> {
        self.read_up_to(request, self.limits.most).await
    }

    /// As [`Bodies::read`], of at most so many bytes.
    ///
    /// # Errors
    /// As there.
    pub async fn read_up_to(&self, request: Request, most: usize) -> Result<Held, BodyError> {
        let deadline = Instant::now() + self.limits.patience;
        let (head, body) = request.into_parts();
        let length = length(&head.headers).unwrap_or(most);
        if length > most {
            return Err(BodyError::TooLong);
        }
        let read = async {
            let read = timeout_at(deadline, to_bytes(body, length)).await;
            let read = read.map_err(|_| BodyError::TooSlow)?;
            read.map_err(|_| BodyError::TooLong)
        };
        let is_short = length <= self.limits.short && self.limits.short_room > 0;
        let held = if is_short {
            let bytes = read.await?;
            let room = room(&self.short, bytes.len(), deadline).await?;
            Held { bytes, room }
        } else {
            let room = room(&self.long, length, deadline).await?;
            let bytes = read.await?;
            Held { bytes, room }
        };
        // From here on its connection waits for us.
        if let Some(place) = head.extensions.get::<Arc<Place>>() {
            place.enter(Stage::Answering);
        }
        Ok(held)
    }
}

async fn room(room: &Arc<Semaphore>, bytes: usize, deadline: Instant) -> Result<OwnedSemaphorePermit, BodyError> {
    let units = u32::try_from(bytes.div_ceil(UNIT).max(1)).map_err(|_| BodyError::TooLong)?;
    match timeout_at(deadline, room.clone().acquire_many_owned(units)).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => Err(BodyError::NoRoom),
    }
}

fn length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use futures::stream;

    const LIMITS: BodyLimits = BodyLimits {
        most: 4 * UNIT,
        short: UNIT,
        short_room: UNIT,
        long_room: 4 * UNIT,
        patience: Duration::from_secs(3),
    };

    fn request(length: usize, body: Body) -> Request {
        let builder = Request::post("/").header(header::CONTENT_LENGTH, length);
        builder.body(body).unwrap()
    }

    fn whole(length: usize) -> Request {
        request(length, Body::from(vec![b'x'; length]))
    }

    fn stalled(length: usize) -> Request {
        request(
            length,
            Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_given_up_and_gives_its_room_back() {
        let bodies = Bodies::new(LIMITS);
        for length in [1, LIMITS.most] {
            let began = Instant::now();
            let error = bodies.read(stalled(length)).await.unwrap_err();
            assert_eq!((error, began.elapsed()), (BodyError::TooSlow, LIMITS.patience));
        }
        assert_eq!(bodies.long.available_permits(), 4);
        assert_eq!(bodies.short.available_permits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn long_ones_wait_for_each_other_and_short_ones_for_none_of_them() {
        let bodies = Bodies::new(LIMITS);
        let held = bodies.read(whole(LIMITS.most)).await.unwrap();
        assert_eq!(bodies.read(whole(2 * UNIT)).await.unwrap_err(), BodyError::NoRoom);
        let began = Instant::now();
        assert_eq!(bodies.read(whole(UNIT)).await.unwrap().bytes.len(), UNIT);
        assert_eq!(began.elapsed(), Duration::ZERO);
        drop(held);
        assert!(bodies.read(whole(2 * UNIT)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn short_ones_that_stall_keep_nobody_out() {
        let bodies = Bodies::new(LIMITS);
        let others: Vec<_> = (0..100)
            .map(|_| {
                tokio::spawn({
                    let bodies = bodies.clone();
                    async move { bodies.read(stalled(UNIT)).await }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        let began = Instant::now();
        assert!(bodies.read(whole(UNIT)).await.is_ok());
        assert_eq!(began.elapsed(), Duration::ZERO);
        drop(others);
    }

    #[tokio::test(start_paused = true)]
    async fn where_no_body_is_short_an_empty_one_is_read_at_once_all_the_same() {
        let bodies = Bodies::new(BodyLimits {
            short: 0,
            short_room: 0,
            ..LIMITS
        });
        let began = Instant::now();
        assert!(bodies.read(whole(0)).await.unwrap().bytes.is_empty());
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn what_is_longer_than_it_says_or_than_is_borne_is_refused() {
        let bodies = Bodies::new(LIMITS);
        let none = Request::post("/").body(Body::from(vec![0; LIMITS.most + 1])).unwrap();
        for request in [whole(LIMITS.most + 1), request(1, Body::from("ab")), none] {
            assert_eq!(bodies.read(request).await.unwrap_err(), BodyError::TooLong);
        }
        let error = bodies.read_up_to(whole(2), 1).await.unwrap_err();
        assert_eq!(error.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
