//! A request to a registry, before it is sent.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use super::auth::Scope;
use super::error::RegistryError;
use super::name::Repository;

/// Longest wait for an answer to a request without a large body.
const SHORT: Duration = Duration::from_secs(60);
/// Slowest transfer of a large body that is waited for, in bytes a second.
const SLOWEST: u64 = 64 << 10;

/// Whether a request reads, writes or removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Pull,
    Push,
    Delete,
}

/// A request.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) repository: &'a Repository,
    pub(super) access: Access,
    /// For a mount: the repository of the same host that is read from.
    pub(super) mount_from: Option<&'a Repository>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// What is asked for, for messages: a tag or a digest.
    pub(super) what: String,
    pub(super) timeout: Duration,
}

impl<'a> Call<'a> {
    pub(super) fn new(method: Method, url: Url, repository: &'a Repository, access: Access) -> Self {
        let what = String::new();
        Self {
            method,
            url,
            repository,
            access,
            mount_from: None,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            what,
            timeout: SHORT,
        }
    }

    pub(super) fn what(mut self, what: impl Into<String>) -> Self {
        self.what = what.into();
        self
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// For a transfer of `size` bytes in either direction.
    pub(super) fn transfers(mut self, size: u64) -> Self {
        self.timeout = SHORT + Duration::from_secs(size / SLOWEST);
        self
    }

    pub(super) fn scope(&self) -> Scope {
        match self.access {
            Access::Pull => Scope::pull(self.repository),
            Access::Delete => Scope::delete(self.repository),
            Access::Push => Scope::push(self.repository, self.mount_from),
        }
    }

    /// Whether it goes to the registry of its repository: same host, same port, with TLS.
    pub(super) fn is_to_own_host(&self) -> bool {
        self.is_own_host(&self.url)
    }

    /// Whether that is the registry itself: an answer may come from where it sent us to.
    pub(super) fn is_own_host(&self, other: &Url) -> bool {
        let Ok(own) = url(self.repository, "") else {
            return false;
        };
        other.scheme() == "https"
            && other.host_str() == own.host_str()
            && other.port_or_known_default() == own.port_or_known_default()
    }
}

/// URL of `path` in the repository, as in `manifests/latest`.
pub(super) fn url(repository: &Repository, path: &str) -> Result<Url, RegistryError> {
    let text = format!("https://{}/v2/{}/{path}", repository.endpoint(), repository.path());
    Url::parse(&text).map_err(|error| RegistryError::Protocol {
        repository: repository.clone(),
        detail: error.to_string(),
    })
}
