//! The events of a watch, one by one: broken off, late, unseen, swapped.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tower::BoxError;

use super::{Answered, Layer, answer};
use crate::fault::EventFault;

/// How late an event comes, on the operator's clock.
const LATE: Duration = Duration::from_secs(3);
/// How long the next event is waited for, to swap.
const NEXT: Duration = Duration::from_secs(2);

type Line = Result<Bytes, BoxError>;

/// The answer to a watch, with what the schedule does to its events.
pub fn through(layer: Arc<Layer>, at: &str, answered: Answered) -> Answered {
    let kind = at.rsplit(' ').next().unwrap_or_default().to_owned();
    answered.map(|body| {
        let lines = lines(body.into_data_stream().boxed());
        let events = events(layer, kind, lines.boxed());
        StreamBody::new(events.map(|line| line.map(Frame::data))).boxed_unsync()
    })
}

fn lines(bytes: BoxStream<'static, Line>) -> impl Stream<Item = Line> + Send {
    futures::stream::unfold((bytes, BytesMut::new()), |(mut bytes, mut rest)| async move {
        loop {
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest.split_to(end + 1).freeze();
                return Some((Ok(line), (bytes, rest)));
            }
            match bytes.next().await? {
                Ok(more) => rest.extend_from_slice(&more),
                Err(error) => return Some((Err(error), (bytes, rest))),
            }
        }
    })
}

struct Passing {
    layer: Arc<Layer>,
    kind: String,
    lines: BoxStream<'static, Line>,
    /// What was read and is not passed on yet.
    next: Vec<Line>,
    is_over: bool,
}

fn events(layer: Arc<Layer>, kind: String, lines: BoxStream<'static, Line>) -> impl Stream<Item = Line> + Send {
    let passing = Passing {
        layer,
        kind,
        lines,
        next: Vec::new(),
        is_over: false,
    };
    futures::stream::unfold(passing, |mut passing| async move {
        let line = passing.next().await?;
        Some((line, passing))
    })
}

impl Passing {
    async fn next(&mut self) -> Option<Line> {
        if let Some(line) = self.next.pop() {
            return Some(line);
        }
        if self.is_over {
            return None;
        }
        let line = match self.lines.next().await? {
            Ok(line) => line,
            Err(error) => return Some(Err(error)),
        };
        if self.layer.is_stale() {
            sleep(LATE).await;
            self.layer.catch_up();
        }
        if is_bookmark(&line) {
            return Some(Ok(line));
        }
        match self.layer.number_event(&self.kind) {
            None => Some(Ok(line)),
            Some(EventFault::Cut) => self.ends(Err(answer::lost())),
            Some(EventFault::Gone) => self.ends(Ok(gone())),
            Some(EventFault::Late) => {
                sleep(LATE).await;
                Some(Ok(line))
            }
            Some(EventFault::Unseen) => {
                sleep(LATE).await;
                self.ends(Ok(gone()))
            }
            Some(EventFault::Crash) => self.layer.crash().await,
            Some(EventFault::Swapped) => Some(self.swap(line).await),
        }
    }

    fn ends(&mut self, line: Line) -> Option<Line> {
        self.is_over = true;
        Some(line)
    }

    async fn swap(&mut self, line: Bytes) -> Line {
        match timeout(NEXT, self.lines.next()).await {
            Ok(Some(Ok(next))) if !is_bookmark(&next) => {
                self.layer.number_event(&self.kind);
                // The same object's events come in their order always.
                let (first, second) = if name(&line) == name(&next) {
                    (line, next)
                } else {
                    (next, line)
                };
                self.next.push(Ok(second));
                Ok(first)
            }
            Ok(Some(other)) => {
                self.next.push(other);
                Ok(line)
            }
            Ok(None) | Err(_) => Ok(line),
        }
    }
}

fn is_bookmark(line: &[u8]) -> bool {
    line.starts_with(b"{\"type\":\"BOOKMARK\"")
}

fn name(line: &[u8]) -> Option<String> {
    let event: Value = serde_json::from_slice(line).ok()?;
    Some(event["object"]["metadata"]["name"].as_str()?.to_owned())
}

fn gone() -> Bytes {
    let event = json!({"type": "ERROR", "object": answer::failure(410, "Expired")});
    Bytes::from(format!("{event}\n"))
}
