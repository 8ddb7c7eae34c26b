//! What a registry asks for before it serves: basic authentication, or a token from the service that it names.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::credentials::Credential;
use super::name::Repository;

/// How long a token serves that does not say so; the specification's value.
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// A token is fetched anew this long before its end, so that it does not end on its way.
const MARGIN: Duration = Duration::from_secs(10);

/// What a host asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User name and password with each request.
    Basic,
    /// A token from the service at `realm`.
    Bearer { realm: Url, service: Option<String> },
}

impl Challenge {
    /// The challenge of an answer; a token is preferred to a password. The error says what is wrong with it.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, &'static str> {
        let mut basic = None;
        for value in headers.get_all(WWW_AUTHENTICATE) {
            let text = value.to_str().map_err(|_| "its challenge is not ASCII")?;
            for challenge in http_auth::parse_challenges(text).map_err(|_| "its challenge can't be read")? {
                if challenge.scheme.eq_ignore_ascii_case("bearer") {
                    return bearer(&challenge).map(Some);
                }
                if challenge.scheme.eq_ignore_ascii_case("basic") {
                    basic = Some(Self::Basic);
                }
            }
        }
        Ok(basic)
    }
}

fn bearer(challenge: &http_auth::ChallengeRef<'_>) -> Result<Challenge, &'static str> {
    let parameter = |name: &str| {
        let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_unescaped())
    };
    let realm = parameter("realm").ok_or("its challenge names no token service")?;
    let realm = Url::parse(&realm).map_err(|_| "its challenge names a token service that is not a URL")?;
    // The password goes there: never in the clear, whatever the registry says.
    if realm.scheme() != "https" {
        return Err("its challenge names a token service without TLS");
    }
    Ok(Challenge::Bearer {
        realm,
        service: parameter("service"),
    })
}

/// What a token is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scope(Vec<String>);

impl Scope {
    pub(super) fn pull(repository: &Repository) -> Self {
        Self(vec![format!("repository:{}:pull", repository.path())])
    }

    pub(super) fn delete(repository: &Repository) -> Self {
        Self(vec![format!("repository:{}:pull,delete", repository.path())])
    }

    /// Push to one repository; with `mount_from` also pull from another of the same host.
    pub(super) fn push(repository: &Repository, mount_from: Option<&Repository>) -> Self {
        let mut scopes = vec![format!("repository:{}:pull,push", repository.path())];
        scopes.extend(mount_from.map(|source| format!("repository:{}:pull", source.path())));
        Self(scopes)
    }
}

/// URL of the token service with what is asked of it.
pub(super) fn token_url(realm: &Url, service: Option<&str>, scope: &Scope) -> Url {
    let mut url = realm.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        for scope in &scope.0 {
            query.append_pair("scope", scope);
        }
    }
    url
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// A token as the header that carries it, and how long it serves.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) header: HeaderValue,
    until: Instant,
}

impl Token {
    /// Reads a token service's answer; none if there is no token in it.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let answer: TokenAnswer = serde_json::from_slice(body).ok()?;
        let token = if answer.token.is_empty() {
            answer.access_token
        } else {
            answer.token
        };
        if token.is_empty() {
            return None;
        }
        let life = answer
            .expires_in
            .map_or(DEFAULT_LIFE, Duration::from_secs)
            .min(Duration::from_secs(3600));
        let header = secret_header(&format!("Bearer {token}"))?;
        Some(Self {
            header,
            until: Instant::now() + life.saturating_sub(MARGIN),
        })
    }
}

/// The header of basic authentication.
pub(super) fn basic_header(credential: &Credential) -> Option<HeaderValue> {
    let pair = format!("{}:{}", credential.username, credential.password.expose_secret());
    secret_header(&format!("Basic {}", STANDARD.encode(pair)))
}

fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// What is known of hosts: their challenges, and tokens that still serve.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    challenges: Mutex<HashMap<String, Challenge>>,
    tokens: Mutex<HashMap<(String, Scope), Token>>,
}

impl Sessions {
    pub(super) fn challenge(&self, host: &str) -> Option<Challenge> {
        self.challenges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(host)
            .cloned()
    }

    pub(super) fn learn(&self, host: &str, challenge: Challenge) {
        self.challenges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(host.to_owned(), challenge);
    }

    pub(super) fn token(&self, host: &str, scope: &Scope) -> Option<Token> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens
            .get(&(host.to_owned(), scope.clone()))
            .filter(|token| token.until > Instant::now())
            .cloned()
    }

    pub(super) fn keep(&self, host: &str, scope: &Scope, token: Token) {
        self.tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((host.to_owned(), scope.clone()), token);
    }

    pub(super) fn forget(&self, host: &str, scope: &Scope) {
        self.tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&(host.to_owned(), scope.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(text: &str) -> Result<Option<Challenge>, &'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_str(text).unwrap());
        Challenge::of(&headers)
    }

    #[test]
    fn challenges_are_read() {
        assert_eq!(challenge("Basic realm=\"Registry\""), Ok(Some(Challenge::Basic)));
        assert_eq!(challenge("Negotiate"), Ok(None));
        let bearer = challenge("Bearer realm=\"https://auth.r.io/token\",service=\"r.io\"")
            .unwrap()
            .unwrap();
        let Challenge::Bearer { realm, service } = bearer else {
            panic!("not a bearer challenge")
        };
        let scope = Scope::push(
            &Repository::parse("r.io/a").unwrap(),
            Some(&Repository::parse("r.io/b").unwrap()),
        );
        assert_eq!(
            token_url(&realm, service.as_deref(), &scope).as_str(),
            "https://auth.r.io/token?service=r.io&scope=repository%3Aa%3Apull%2Cpush&scope=repository%3Ab%3Apull"
        );
    }

    #[test]
    fn a_token_service_without_tls_is_refused() {
        for realm in ["http://auth.r.io/token", "ftp://auth.r.io", "auth.r.io", ""] {
            assert!(challenge(&format!("Bearer realm=\"{realm}\"")).is_err(), "{realm}");
        }
        assert!(challenge("Bearer service=\"r.io\"").is_err());
    }

    #[test]
    fn a_token_that_is_no_header_value_is_none() {
        assert!(Token::read(br#"{"token":"a\nb"}"#).is_none());
        assert!(Token::read(br#"{"token":""}"#).is_none());
        assert!(Token::read(b"<html>").is_none());
        let token = Token::read(br#"{"access_token":"abc","expires_in":300}"#).unwrap();
        assert_eq!(token.header.to_str().unwrap(), "Bearer abc");
        assert!(!format!("{token:?}").contains("abc"));
    }

    #[test]
    fn a_token_that_ends_in_a_moment_is_not_used() {
        let sessions = Sessions::default();
        let scope = Scope::pull(&Repository::parse("r.io/a").unwrap());
        sessions.keep(
            "r.io",
            &scope,
            Token::read(br#"{"token":"abc","expires_in":5}"#).unwrap(),
        );
        assert!(sessions.token("r.io", &scope).is_none());
        sessions.keep("r.io", &scope, Token::read(br#"{"token":"abc"}"#).unwrap());
        assert!(sessions.token("r.io", &scope).is_some());
        assert!(sessions.token("s.io", &scope).is_none());
        sessions.forget("r.io", &scope);
        assert!(sessions.token("r.io", &scope).is_none());
    }
}
