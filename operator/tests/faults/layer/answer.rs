//! What is answered in the API server's stead, and what is read of its answers.

use std::io;

use bytes::Bytes;
use http::Response;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use kube::client::Body;
use serde_json::{Value, json};
use tower::BoxError;

use super::Answered;
use crate::fault::RequestFault;

/// An answer.
pub struct Answer {
    code: u16,
    body: Vec<u8>,
}

impl Answer {
    /// A text, as a log is.
    pub fn text(text: &str) -> Self {
        Self {
            code: 200,
            body: text.as_bytes().to_vec(),
        }
    }

    /// A failure as the API server says it.
    pub fn failure(code: u16, reason: &str) -> Self {
        Self {
            code,
            body: failure(code, reason).to_string().into_bytes(),
        }
    }

    /// As a response.
    pub fn into_response(self) -> Answered {
        let response = Response::builder()
            .status(self.code)
            .header("content-type", "application/json");
        response.body(whole(self.body.into())).unwrap()
    }
}

/// A failure as the API server says it.
pub fn failure(code: u16, reason: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason,
        "message": format!("{reason}: made up by the test"),
    })
}

/// What is said instead of sending the request; none where it is sent.
pub fn instead(fault: RequestFault, at: &str) -> Option<Result<Answer, BoxError>> {
    Some(match fault {
        RequestFault::Conflict => Ok(Answer::failure(409, "Conflict")),
        // To a watch, 410 comes as an event; as an answer it is one all the same.
        RequestFault::Gone => Ok(Answer::failure(
            410,
            if at.starts_with("LIST") { "Expired" } else { "Gone" },
        )),
        RequestFault::TooMany => Ok(Answer::failure(429, "TooManyRequests")),
        RequestFault::Internal => Ok(Answer::failure(500, "InternalError")),
        RequestFault::Lost => Err(lost()),
        RequestFault::CrashBefore
        | RequestFault::CrashAfter
        | RequestFault::CrashThenStale(_)
        | RequestFault::AnswerLost
        | RequestFault::AppliedTimeout => return None,
    })
}

/// The connection broke.
pub fn lost() -> BoxError {
    io::Error::new(
        io::ErrorKind::ConnectionReset,
        "the connection broke: made up by the test",
    )
    .into()
}

/// The version that the API server gave.
pub fn version(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    answer["metadata"]["resourceVersion"].as_str().map(str::to_owned)
}

/// A body that is there.
pub fn whole(bytes: Bytes) -> UnsyncBoxBody<Bytes, BoxError> {
    Full::new(bytes).map_err(BoxError::from).boxed_unsync()
}

/// A body that comes.
pub fn stream(body: Body) -> UnsyncBoxBody<Bytes, BoxError> {
    body.map_err(BoxError::from).boxed_unsync()
}
