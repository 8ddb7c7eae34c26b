//! Whose token it is: the API server is asked, and a yes is remembered for less than a minute.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout};

/// How long a yes counts.
const REMEMBERED: Duration = Duration::from_secs(50);
/// Most tokens that are remembered: senders are few pods.
const TOKENS: usize = 256;
/// Longest wait for the API server.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest token.
const LONGEST: usize = 16 * 1024;

/// Why somebody may not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("a bearer token of a service account is needed, for the audit's audience")]
    Unknown,
    #[error("this account may not send audit events")]
    Forbidden,
    #[error("the API server could not be asked whose token it is")]
    Unavailable,
}

type Hash = [u8; 32];

/// Asks whose tokens they are.
pub(super) struct Reviews {
    api: Api<TokenReview>,
    audience: String,
    allowed: BTreeSet<String>,
    /// Hashes of tokens that were good, and until when they are taken for that.
    known: Mutex<HashMap<Hash, Instant>>,
}

impl Reviews {
    pub(super) fn new(client: Client, audience: String, allowed: Vec<String>) -> Self {
        Self {
            api: Api::all(client),
            audience,
            allowed: allowed.into_iter().collect(),
            known: Mutex::default(),
        }
    }

    /// Whether who holds this token may send.
    pub(super) async fn admit(&self, token: &str) -> Result<(), Refusal> {
        if token.is_empty() || token.len() > LONGEST {
            return Err(Refusal::Unknown);
        }
        let hash: Hash = Sha256::digest(token).into();
        if self.is_known(&hash) {
            return Ok(());
        }
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences: Some(vec![self.audience.clone()]),
            },
            ..TokenReview::default()
        };
        // Counted from before the question: a token that is withdrawn meanwhile is not good for longer.
        let asked = Instant::now();
        let answer = timeout(PATIENCE, self.api.create(&PostParams::default(), &review)).await;
        let status = match answer {
            Ok(Ok(review)) => review.status.unwrap_or_default(),
            Ok(Err(_)) | Err(_) => return Err(Refusal::Unavailable),
        };
        judge(&status, &self.audience, &self.allowed)?;
        self.remember(hash, asked + REMEMBERED);
        Ok(())
    }

    fn is_known(&self, hash: &Hash) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(hash).is_some_and(|until| *until > Instant::now())
    }

    fn remember(&self, hash: Hash, until: Instant) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, until| *until > Instant::now());
        if known.len() < TOKENS {
            known.insert(hash, until);
        }
    }
}

/// What the API server's answer means. An answer that names no audience is of an authenticator that knows none: it has
/// not looked whether the token was made for us.
fn judge(status: &TokenReviewStatus, audience: &str, allowed: &BTreeSet<String>) -> Result<(), Refusal> {
    let for_us = status.audiences.iter().flatten().any(|named| named == audience);
    if status.authenticated != Some(true) || !for_us {
        return Err(Refusal::Unknown);
    }
    let user = status
        .user
        .as_ref()
        .and_then(|user| user.username.as_deref())
        .unwrap_or_default();
    if allowed.contains(user) {
        Ok(())
    } else {
        Err(Refusal::Forbidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::authentication::v1::UserInfo;

    fn status(authenticated: bool, audience: &str, user: &str) -> TokenReviewStatus {
        TokenReviewStatus {
            authenticated: Some(authenticated),
            audiences: Some(vec![audience.to_owned()]),
            user: Some(UserInfo {
                username: Some(user.to_owned()),
                ..UserInfo::default()
            }),
            error: None,
        }
    }

    #[test]
    fn a_token_counts_if_it_is_good_for_us_and_of_an_account_that_may() {
        let allowed = BTreeSet::from(["webhook".to_owned()]);
        let judged = |status: &TokenReviewStatus| judge(status, "us", &allowed);
        assert_eq!(judged(&status(true, "us", "webhook")), Ok(()));
        assert_eq!(judged(&status(true, "us", "other")), Err(Refusal::Forbidden));
        assert_eq!(judged(&status(false, "us", "webhook")), Err(Refusal::Unknown));
        assert_eq!(judged(&status(true, "them", "webhook")), Err(Refusal::Unknown));
        let blind = TokenReviewStatus {
            audiences: None,
            ..status(true, "us", "webhook")
        };
        assert_eq!(judged(&blind), Err(Refusal::Unknown));
        assert_eq!(judged(&TokenReviewStatus::default()), Err(Refusal::Unknown));
    }
}
