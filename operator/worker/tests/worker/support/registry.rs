//! A small OCI registry over TLS: basic authentication or a token service, with or without the referrers API.

use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use imagefactory_worker::registry::Digest;
use serde_json::{Value, json};

use super::server;
use super::state::{Seen, State};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What a registry asks for.
#[derive(Clone, Debug, Default)]
pub(crate) enum Auth {
    #[default]
    Anonymous,
    Basic(&'static str, &'static str),
    /// A token of the service at this URL, which names the scopes that it is good for.
    Token(String),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) auth: Auth,
    pub(crate) referrers_api: bool,
    pub(crate) no_mount: bool,
    /// Removes nothing, as registries are by default.
    pub(crate) no_delete: bool,
    /// Refuses to remove what an index names, as Harbor and zot do.
    pub(crate) holds_parts: bool,
    /// User and password at `/token`, when it is a token service.
    pub(crate) token_user: Option<(&'static str, &'static str)>,
}

pub(crate) struct FakeRegistry {
    /// Host with port.
    pub(crate) host: String,
    pub(crate) ca_pem: String,
    state: Arc<Mutex<State>>,
}

struct Server {
    options: Options,
    state: Arc<Mutex<State>>,
    host: String,
}

type Answer = (StatusCode, Vec<(&'static str, String)>, Bytes);

impl FakeRegistry {
    pub(crate) async fn start(options: Options) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let (port, ca_pem) = server::serve(move |port| {
            let server = Arc::new(Server {
                options,
                state: shared,
                host: format!("localhost:{port}"),
            });
            Router::new().fallback(move |request: Request| handle(Arc::clone(&server), request))
        })
        .await;
        Self {
            host: format!("localhost:{port}"),
            ca_pem,
            state,
        }
    }

    pub(crate) async fn basic(user: &'static str, password: &'static str) -> Self {
        Self::start(Options {
            auth: Auth::Basic(user, password),
            ..Options::default()
        })
        .await
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// Every Authorization header that came.
    pub(crate) fn secrets_seen(&self) -> Vec<String> {
        self.seen().into_iter().filter_map(|seen| seen.authorization).collect()
    }

    pub(crate) fn writes_seen(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(Seen::writes).collect()
    }

    pub(crate) fn tag(&self, repo: &str, tag: &str) -> Option<String> {
        self.state().repo(repo).tags.get(tag).cloned()
    }
}

async fn handle(server: Arc<Server>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 256 << 20).await;
    if server.hangs(&parts) {
        std::future::pending::<()>().await;
    }
    let (status, headers, bytes) = match body {
        Ok(body) => server.answer(&parts.method, &parts.uri, &parts.headers, body),
        // The client broke off.
        Err(_) => plain(StatusCode::BAD_REQUEST),
    };
    let mut response = (status, Body::from(bytes)).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

fn plain(status: StatusCode) -> Answer {
    (status, Vec::new(), Bytes::new())
}

fn typed(media_type: &str, digest: &str, bytes: Bytes) -> Answer {
    (
        StatusCode::OK,
        vec![
            ("content-type", media_type.to_owned()),
            ("docker-content-digest", digest.to_owned()),
        ],
        bytes,
    )
}

impl Server {
    fn hangs(&self, parts: &Parts) -> bool {
        let mut state = self.state.lock().unwrap();
        let path = parts.uri.path();
        let hangs = state.hangs_at.as_ref().is_some_and(|at| path.contains(at));
        if hangs {
            let seen = Seen::of(&parts.method, &parts.uri, &parts.headers);
            state.seen.push(seen);
        }
        hangs
    }

    fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Answer {
        let mut state = self.state.lock().unwrap();
        let seen = Seen::of(method, uri, headers);
        state.seen.push(seen.clone());
        if !state.next_answers.is_empty() {
            let status = state.next_answers.remove(0);
            return (
                status,
                vec![("retry-after", "0".to_owned())],
                Bytes::from_static(br#"{"errors":[{"code":"TEST","message":"as told"}]}"#),
            );
        }
        if uri.path() == "/token" {
            return self.token(&seen);
        }
        if let Some(challenge) = self.challenge(&seen) {
            return (
                StatusCode::UNAUTHORIZED,
                vec![("www-authenticate", challenge)],
                Bytes::new(),
            );
        }
        if seen.writes()
            && let Some(left) = &mut state.writes_left
        {
            if *left == 0 {
                return plain(StatusCode::IM_A_TEAPOT);
            }
            *left -= 1;
        }
        self.route(&mut state, &seen, headers, body)
    }

    fn token(&self, seen: &Seen) -> Answer {
        let expected = self.options.token_user.map(|(user, password)| basic(user, password));
        let scopes: Vec<_> = seen
            .query
            .split('&')
            .filter_map(|pair| pair.strip_prefix("scope="))
            .collect();
        // Without the password the token is good for pulling what is public, which here is nothing.
        let token = if seen.authorization.is_some() && seen.authorization == expected {
            scopes.join("+")
        } else {
            "none".to_owned()
        };
        let body = json!({ "token": format!("t0ken.{token}"), "expires_in": 300 }).to_string();
        (StatusCode::OK, Vec::new(), Bytes::from(body))
    }

    fn challenge(&self, seen: &Seen) -> Option<String> {
        match &self.options.auth {
            Auth::Anonymous => None,
            Auth::Basic(user, password) => {
                (seen.authorization != Some(basic(user, password))).then(|| "Basic realm=\"test\"".to_owned())
            }
            Auth::Token(realm) => {
                let token = seen
                    .authorization
                    .as_deref()
                    .and_then(|header| header.strip_prefix("Bearer t0ken."));
                let repo = repo_of(&seen.path);
                let wanted = if seen.method == Method::DELETE {
                    format!("{repo}:pull,delete")
                } else if seen.writes() {
                    format!("{repo}:pull,push")
                } else {
                    format!("{repo}:pull")
                };
                let encoded = wanted.replace('/', "%2F").replace(':', "%3A").replace(',', "%2C");
                let granted = token.is_some_and(|token| token.contains(&format!("repository%3A{encoded}")));
                (!granted).then(|| format!("Bearer realm=\"{realm}\",service=\"test\",scope=\"repository:{wanted}\""))
            }
        }
    }

    fn route(&self, state: &mut State, seen: &Seen, headers: &HeaderMap, body: Bytes) -> Answer {
        let path = seen.path.strip_prefix("/v2/").unwrap_or_default();
        if let Some((repo, digest)) = path.split_once("/referrers/") {
            return if self.options.referrers_api {
                referrers(state, repo, digest)
            } else {
                plain(StatusCode::NOT_FOUND)
            };
        }
        if let Some((repo, id)) = path.split_once("/blobs/uploads/") {
            return self.upload(state, seen, (repo, id), &body);
        }
        if let Some((repo, digest)) = path.split_once("/blobs/") {
            return blob(state, seen, repo, digest);
        }
        match path.split_once("/manifests/") {
            Some((repo, name)) if seen.method == Method::PUT => self.put_manifest(state, (repo, name), headers, body),
            Some(_) if seen.method == Method::DELETE && self.options.no_delete => plain(StatusCode::METHOD_NOT_ALLOWED),
            Some((repo, name))
                if seen.method == Method::DELETE && self.options.holds_parts && named(state, repo, name) =>
            {
                plain(StatusCode::PRECONDITION_FAILED)
            }
            Some((repo, name)) if seen.method == Method::DELETE => delete(state, repo, name),
            Some((repo, name)) => manifest(state, repo, name),
            None => plain(StatusCode::NOT_FOUND),
        }
    }

    fn upload(&self, state: &mut State, seen: &Seen, (repo, id): (&str, &str), body: &Bytes) -> Answer {
        let parameter = |name: &str| {
            let found = seen
                .query
                .split('&')
                .find_map(|pair| pair.strip_prefix(&format!("{name}=")));
            found.map(|value| value.replace("%3A", ":").replace("%2F", "/"))
        };
        if seen.method == Method::POST {
            if let (Some(digest), Some(from), false) = (parameter("mount"), parameter("from"), self.options.no_mount)
                && let Some(bytes) = state.repo(&from).blobs.get(&digest).cloned()
            {
                state.repo(repo).blobs.insert(digest, bytes);
                return plain(StatusCode::CREATED);
            }
            let base = state
                .uploads_at
                .clone()
                .unwrap_or_else(|| format!("https://{}", self.host));
            return (
                StatusCode::ACCEPTED,
                vec![("location", format!("{base}/v2/{repo}/blobs/uploads/session?state=x"))],
                Bytes::new(),
            );
        }
        if state.fail_uploads > 0 {
            state.fail_uploads -= 1;
            return plain(StatusCode::SERVICE_UNAVAILABLE);
        }
        let digest = parameter("digest").unwrap_or_default();
        if id != "session" || Digest::of(body).as_str() != digest {
            return (
                StatusCode::BAD_REQUEST,
                Vec::new(),
                Bytes::from_static(br#"{"errors":[{"code":"DIGEST_INVALID","message":"no"}]}"#),
            );
        }
        state.put_blob(repo, body);
        plain(StatusCode::CREATED)
    }

    fn put_manifest(&self, state: &mut State, (repo, name): (&str, &str), headers: &HeaderMap, body: Bytes) -> Answer {
        let digest = Digest::of(&body).to_string();
        if (name.starts_with("sha256:") && name != digest) || !state.complete(repo, &body) {
            return plain(StatusCode::BAD_REQUEST);
        }
        let mut answer = Vec::new();
        let document: Value = serde_json::from_slice(&body).unwrap();
        if let (Some(subject), true) = (
            document.pointer("/subject/digest").and_then(Value::as_str),
            self.options.referrers_api,
        ) {
            answer.push(("oci-subject", subject.to_owned()));
        }
        if name.starts_with("sha256-") && state.lose_index_puts > 0 {
            state.lose_index_puts -= 1;
            return (StatusCode::CREATED, answer, Bytes::new());
        }
        let media_type = headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let overwritten = state.overwrite_tag.as_deref() == Some(name);
        let repo = state.repo(repo);
        repo.manifests.insert(digest.clone(), (media_type.clone(), body));
        if !name.starts_with("sha256:") {
            repo.tags.insert(name.to_owned(), digest);
        }
        if overwritten {
            let other = Bytes::from_static(br#"{"schemaVersion":2}"#);
            let digest = Digest::of(&other).to_string();
            repo.manifests.insert(digest.clone(), (media_type, other));
            repo.tags.insert(name.to_owned(), digest);
        }
        (StatusCode::CREATED, answer, Bytes::new())
    }
}

fn blob(state: &mut State, seen: &Seen, repo: &str, digest: &str) -> Answer {
    if let (Some(base), Method::GET) = (&state.blobs_at, seen.method.clone()) {
        return (
            StatusCode::TEMPORARY_REDIRECT,
            vec![("location", format!("{base}{}", seen.path))],
            Bytes::new(),
        );
    }
    let instead = state.served_instead.clone();
    match state.repo(repo).blobs.get(digest) {
        Some(bytes) if seen.method == Method::HEAD => (
            StatusCode::OK,
            vec![("content-length", bytes.len().to_string())],
            Bytes::new(),
        ),
        Some(bytes) => typed(
            "application/octet-stream",
            digest,
            instead.unwrap_or_else(|| bytes.clone()),
        ),
        None => plain(StatusCode::NOT_FOUND),
    }
}

fn manifest(state: &mut State, repo: &str, name: &str) -> Answer {
    let repo = state.repo(repo);
    let digest = repo.tags.get(name).cloned().unwrap_or_else(|| name.to_owned());
    match repo.manifests.get(&digest) {
        Some((media_type, bytes)) => typed(media_type, &digest, bytes.clone()),
        None => plain(StatusCode::NOT_FOUND),
    }
}

/// Whether an index names it.
fn named(state: &mut State, repo: &str, digest: &str) -> bool {
    let mut manifests = state.repo(repo).manifests.values();
    manifests.any(|(_, bytes)| {
        let document: Value = serde_json::from_slice(bytes).unwrap();
        let mut entries = document["manifests"].as_array().into_iter().flatten();
        entries.any(|entry| entry["digest"] == digest)
    })
}

fn delete(state: &mut State, repo: &str, digest: &str) -> Answer {
    let repo = state.repo(repo);
    repo.tags.retain(|_, tagged| tagged != digest);
    match repo.manifests.remove(digest) {
        Some(_) => plain(StatusCode::ACCEPTED),
        None => plain(StatusCode::NOT_FOUND),
    }
}

fn referrers(state: &mut State, repo: &str, subject: &str) -> Answer {
    let manifests = state.repo(repo).manifests.iter();
    let found: Vec<_> = manifests
        .filter_map(|(digest, (media_type, bytes))| {
            let document: Value = serde_json::from_slice(bytes).ok()?;
            (document.pointer("/subject/digest")?.as_str()? == subject)
                .then(|| json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() }))
        })
        .collect();
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": found }).to_string();
    (
        StatusCode::OK,
        vec![("content-type", INDEX.to_owned())],
        Bytes::from(index),
    )
}

fn repo_of(path: &str) -> String {
    let path = path.strip_prefix("/v2/").unwrap_or_default();
    let end = ["/manifests/", "/blobs/", "/referrers/"]
        .iter()
        .filter_map(|part| path.find(part))
        .min();
    path.chars().take(end.unwrap_or(path.len())).collect()
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
