//! What the registry of the tests holds and what it saw.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use imagefactory_worker::registry::Digest;
use serde_json::Value;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) authorization: Option<String>,
}

impl Seen {
    pub(crate) fn of(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let authorization = headers
            .get(header::AUTHORIZATION)
            .map(|value| value.to_str().unwrap().to_owned());
        let query = uri.query().unwrap_or_default().to_owned();
        Self {
            method: method.clone(),
            path: uri.path().to_owned(),
            query,
            authorization,
        }
    }

    pub(crate) fn writes(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD)
    }
}

#[derive(Default)]
pub(crate) struct Repo {
    pub(crate) blobs: HashMap<String, Bytes>,
    pub(crate) manifests: HashMap<String, (String, Bytes)>,
    pub(crate) tags: HashMap<String, String>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) repos: HashMap<String, Repo>,
    pub(crate) seen: Vec<Seen>,
    /// Statuses that the next requests get, whatever they ask for.
    pub(crate) next_answers: Vec<StatusCode>,
    /// How many more writes are taken before all are refused: a publisher that was killed.
    pub(crate) writes_left: Option<usize>,
    /// How many uploads fail at their end.
    pub(crate) fail_uploads: usize,
    /// How many puts of a referrers tag are said to be taken and then lost, as to another writer.
    pub(crate) lose_index_puts: usize,
    /// Blob downloads are redirected here.
    pub(crate) blobs_at: Option<String>,
    /// Uploads are told to go on here.
    pub(crate) uploads_at: Option<String>,
    /// Blobs are served with this instead of their bytes.
    pub(crate) served_instead: Option<Bytes>,
    /// Requests whose path holds this are never answered.
    pub(crate) hangs_at: Option<String>,
    /// After a put of this tag, somebody else puts another manifest over it.
    pub(crate) overwrite_tag: Option<String>,
}

impl State {
    pub(crate) fn repo(&mut self, name: &str) -> &mut Repo {
        self.repos.entry(name.to_owned()).or_default()
    }

    /// Whether a manifest's parts are there, as registries check it.
    pub(crate) fn complete(&mut self, repo: &str, body: &Bytes) -> bool {
        let Ok(document) = serde_json::from_slice::<Value>(body) else {
            return false;
        };
        let repo = self.repo(repo);
        let list = |name: &str| {
            document
                .get(name)
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default()
        };
        let blobs = list("layers").into_iter().chain(document.get("config").cloned());
        let digest = |entry: &Value| entry["digest"].as_str().unwrap_or_default().to_owned();
        blobs.into_iter().all(|entry| repo.blobs.contains_key(&digest(&entry)))
            && list("manifests")
                .iter()
                .all(|entry| repo.manifests.contains_key(&digest(entry)))
    }

    pub(crate) fn put_blob(&mut self, repo: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.repo(repo)
            .blobs
            .insert(digest.to_string(), Bytes::copy_from_slice(bytes));
        digest
    }

    pub(crate) fn put_manifest(&mut self, repo: &str, media_type: &str, text: &str) -> Digest {
        let digest = Digest::of(text.as_bytes());
        self.repo(repo).manifests.insert(
            digest.to_string(),
            (media_type.to_owned(), Bytes::copy_from_slice(text.as_bytes())),
        );
        digest
    }
}
