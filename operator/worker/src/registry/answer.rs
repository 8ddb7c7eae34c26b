//! A registry's answer: what its status says, and a body of bounded size.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};

use super::call::Call;
use super::error::RegistryError;

const MAX_ERROR_ANSWER: u64 = 16 << 10;

/// A successful answer, or what the status says.
pub(super) async fn judge(call: &Call<'_>, response: Response) -> Result<Response, RegistryError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let repository = call.repository.clone();
    if status == StatusCode::NOT_FOUND {
        return Err(RegistryError::NotFound {
            repository,
            what: call.what.clone(),
        });
    }
    let body = read_bounded(response, call, MAX_ERROR_ANSWER).await.unwrap_or_default();
    let detail = describe(status, &body);
    Err(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RegistryError::Unauthorized { repository, detail },
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => RegistryError::Unavailable {
            repository,
            detail,
            retry_after: retry_after.map(Duration::from_secs),
        },
        status if status.is_server_error() => RegistryError::Unavailable {
            repository,
            detail,
            retry_after: retry_after.map(Duration::from_secs),
        },
        _ => RegistryError::Rejected { repository, detail },
    })
}

/// Status and the first error of the body, cut and without control characters: the host may be anybody's.
fn describe(status: StatusCode, body: &[u8]) -> String {
    let parsed: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let field = |name: &str| {
        let text = parsed.as_ref()?.pointer(&format!("/errors/0/{name}"))?.as_str()?;
        Some(text.chars().filter(|c| !c.is_control()).take(200).collect::<String>())
    };
    match (field("code"), field("message")) {
        (Some(code), Some(message)) => format!("{status}: {code}: {message}"),
        (Some(text), None) | (None, Some(text)) => format!("{status}: {text}"),
        (None, None) => status.to_string(),
    }
}

/// The whole body, unless it is larger than `limit`.
pub(super) async fn read_bounded(mut response: Response, call: &Call<'_>, limit: u64) -> Result<Bytes, RegistryError> {
    let host = || call.url.host_str().unwrap_or_default().to_owned();
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(|source| RegistryError::Unreachable {
        host: host(),
        source: source.without_url(),
    })? {
        if body.len() as u64 + piece.len() as u64 > limit {
            return Err(RegistryError::TooLarge {
                repository: call.repository.clone(),
                what: call.what.clone(),
                limit,
            });
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}
