//! One request to a registry: with the right credential, to the right host, bounded in time and size, tried again
//! while that makes sense.
//!
//! Written on the HTTP client itself. The general OCI client for Rust (0.18) was looked at and left out, because
//! here what it lacks is the heart of the matter: it goes on anonymously when authentication fails, sends a password to a
//! token service without TLS, reads manifests without a bound, hides the `OCI-Subject` header, takes a refused
//! referrers index for an empty one, and panics when a manifest is put by digest and the answer has no `Location`.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url, redirect};

use super::answer::{judge, read_bounded};
use super::auth::{Challenge, Sessions, Token, basic_header, token_url};
use super::call::{Access, Call};
use super::credentials::{Credential, Credentials};
use super::error::RegistryError;
use super::retry::{Patience, Retry};
use crate::ca::Roots;

const MAX_TOKEN_ANSWER: u64 = 256 << 10;

/// HTTP client, credentials, and what was learnt of hosts.
#[derive(Debug)]
pub(super) struct Transport {
    http: reqwest::Client,
    pub(super) credentials: Credentials,
    pub(super) patience: Patience,
    sessions: Sessions,
}

impl Transport {
    pub(super) fn new(credentials: Credentials, roots: &Roots, patience: Patience) -> Result<Self, RegistryError> {
        let http = roots
            .client()
            .https_only(true)
            .referer(false)
            .redirect(redirect::Policy::limited(5))
            .connect_timeout(Duration::from_secs(10))
            // Bytes are hashed as they come: nothing may unpack them on the way.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .user_agent(concat!("image-factory/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(RegistryError::Client)?;
        Ok(Self {
            http,
            credentials,
            patience,
            sessions: Sessions::default(),
        })
    }

    /// Sends a request until it succeeds, fails for good, or has been tried often enough.
    pub(super) async fn call(&self, call: &Call<'_>) -> Result<Response, RegistryError> {
        let mut retry = Retry::new(self.patience);
        loop {
            match self.attempt(call, None).await {
                Err(error) if retry.allows(&error).await => {}
                result => return result,
            }
        }
    }

    /// Sends a request once, with `stream` as its body if given. A 401 is answered with what it asks for, except
    /// where the body is a stream and can't be sent twice.
    pub(super) async fn attempt(
        &self,
        call: &Call<'_>,
        stream: Option<reqwest::Body>,
    ) -> Result<Response, RegistryError> {
        let credential = self.credentials.for_repository(call.repository)?;
        if call.access != Access::Pull && credential.is_none() {
            return Err(RegistryError::NoCredential {
                repository: call.repository.clone(),
            });
        }
        let streams = stream.is_some();
        let mut body = stream.unwrap_or_else(|| call.body.clone().into());
        let mut again = !streams && call.is_to_own_host();
        loop {
            let authorization = self.authorization(call, credential).await?;
            let response = self.send(call, body, authorization.as_ref()).await?;
            if response.status() != StatusCode::UNAUTHORIZED {
                return judge(call, response).await;
            }
            // Whoever it redirects to asks for credentials in its name otherwise.
            if !call.is_own_host(response.url()) {
                return judge(call, response).await;
            }
            self.sessions.forget(call.repository.host(), &call.scope());
            if !again || !self.learn(call, &response, credential.is_some(), authorization.is_some())? {
                return judge(call, response).await;
            }
            again = false;
            body = call.body.clone().into();
        }
    }

    async fn send(
        &self,
        call: &Call<'_>,
        body: reqwest::Body,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, RegistryError> {
        let mut request = self
            .http
            .request(call.method.clone(), call.url.clone())
            .timeout(call.timeout)
            .headers(call.headers.clone())
            .body(body);
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value.clone());
        }
        let host = call.url.host_str().unwrap_or_default();
        request.send().await.map_err(|source| RegistryError::Unreachable {
            host: host.to_owned(),
            source: source.without_url(),
        })
    }

    /// What the challenge of a 401 is good for: true if another try has something to add.
    fn learn(
        &self,
        call: &Call<'_>,
        response: &Response,
        has_credential: bool,
        was_sent: bool,
    ) -> Result<bool, RegistryError> {
        let protocol = |detail: &str| RegistryError::Protocol {
            repository: call.repository.clone(),
            detail: detail.to_owned(),
        };
        let Some(challenge) = Challenge::of(response.headers()).map_err(protocol)? else {
            return Ok(false);
        };
        let useful = match &challenge {
            Challenge::Basic => has_credential && !was_sent,
            Challenge::Bearer { .. } => true,
        };
        self.sessions.learn(call.repository.host(), challenge);
        Ok(useful)
    }

    /// The header for this request. An upload's location may lie at another host: nothing goes there.
    async fn authorization(
        &self,
        call: &Call<'_>,
        credential: Option<&Credential>,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let host = call.repository.host();
        if !call.is_to_own_host() {
            return Ok(None);
        }
        match self.sessions.challenge(host) {
            None => Ok(None),
            Some(Challenge::Basic) => Ok(credential.and_then(basic_header)),
            Some(Challenge::Bearer { realm, service }) => {
                let scope = call.scope();
                if let Some(token) = self.sessions.token(host, &scope) {
                    return Ok(Some(token.header));
                }
                let url = token_url(&realm, service.as_deref(), &scope);
                let token = self.fetch_token(call, url, credential).await?;
                self.sessions.keep(host, &scope, token.clone());
                Ok(Some(token.header))
            }
        }
    }

    async fn fetch_token(
        &self,
        call: &Call<'_>,
        url: Url,
        credential: Option<&Credential>,
    ) -> Result<Token, RegistryError> {
        let asking = Call::new(Method::GET, url, call.repository, Access::Pull);
        let response = self
            .send(&asking, Bytes::new().into(), credential.and_then(basic_header).as_ref())
            .await?;
        let response = match judge(&asking, response).await {
            // The token service has no such account or no such path: to the caller it is all the same.
            Err(RegistryError::NotFound { repository, .. } | RegistryError::Rejected { repository, .. }) => {
                return Err(RegistryError::Unauthorized {
                    repository,
                    detail: "its token service gave no token".to_owned(),
                });
            }
            result => result?,
        };
        let body = read_bounded(response, &asking, MAX_TOKEN_ANSWER).await?;
        Token::read(&body).ok_or_else(|| RegistryError::Protocol {
            repository: call.repository.clone(),
            detail: "its token service answered without a token".to_owned(),
        })
    }
}
