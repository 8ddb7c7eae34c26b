//! Asks a Git server whether it has the repository, before the fetch: what its answer means is clear here, and
//! redirects are ours to follow or not.
//!
//! gix follows the first redirect to any host, and takes the host that it ends at as its own from there on. It does leave
//! credentials out there, but asks for new ones. Here a redirect is followed at the same server only, and gix is
//! told to follow none.

use std::time::Duration;

use reqwest::blocking::{Client, ClientBuilder, Response};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, LOCATION};
use reqwest::{Certificate, StatusCode, Url, redirect};

use super::credentials::{Account, same_server};
use super::error::GitError;
use crate::ca::Roots;

const MAX_REDIRECTS: usize = 5;
/// Longest silence of a server. A large repository is counted before it is sent, and that is reported as progress.
const PATIENCE: Duration = Duration::from_secs(120);
const ADVERTISEMENT: &str = "application/x-git-upload-pack-advertisement";
const SUFFIX: &str = "info/refs?service=git-upload-pack";

/// Tries, the first included.
const ATTEMPTS: u32 = 4;

/// The URL that serves the repository: the one given, or where its server says it lies. A server that can't be
/// reached is asked again.
pub(super) fn patiently(
    url: &Url,
    account: Option<&Account>,
    roots: &Roots,
    first_wait: Duration,
) -> Result<Url, GitError> {
    for attempt in 0..ATTEMPTS - 1 {
        match probe(url, account, roots) {
            Err(error) if error.is_transient() => {
                tracing::warn!(error = %crate::registry::chain(&error), "the Git server is asked again");
                std::thread::sleep(first_wait.saturating_mul(1 << attempt));
            }
            result => return result,
        }
    }
    probe(url, account, roots)
}

fn probe(url: &Url, account: Option<&Account>, roots: &Roots) -> Result<Url, GitError> {
    let client = configure(Client::builder(), roots)
        .and_then(|builder| builder.redirect(redirect::Policy::none()).build())
        .map_err(GitError::Client)?;
    let mut base = url.clone();
    for _ in 0..=MAX_REDIRECTS {
        let asked = refs_of(&base)?;
        let mut request = client
            .get(asked.clone())
            .header(HeaderName::from_static("git-protocol"), "version=2");
        if let Some((name, password)) = account.and_then(|account| account.for_url(&asked)) {
            request = request.basic_auth(name, Some(password));
        }
        let response = request.send().map_err(|source| unreachable(&base, source))?;
        if !response.status().is_redirection() {
            return judge(&response, url, account.is_some()).map(|()| base);
        }
        base = redirected(url, &asked, response.headers())?;
    }
    Err(GitError::RepositoryNotFound {
        url: url.to_string(),
        detail: "it redirects without end".to_owned(),
    })
}

/// What every connection to a Git server has in common: whom it trusts, and how long it waits.
pub(super) fn configure(builder: ClientBuilder, roots: &Roots) -> Result<ClientBuilder, reqwest::Error> {
    let builder = roots
        .route()
        .blocking(builder)
        .user_agent(concat!("image-factory/", env!("CARGO_PKG_VERSION")))
        .referer(false)
        .connect_timeout(Duration::from_secs(20))
        .timeout(PATIENCE);
    let authorities = Certificate::from_pem_bundle(roots.to_pem().as_bytes())?;
    Ok(if authorities.is_empty() {
        builder
    } else {
        builder.tls_certs_only(authorities)
    })
}

fn refs_of(base: &Url) -> Result<Url, GitError> {
    let text = format!("{}/{SUFFIX}", base.as_str().trim_end_matches('/'));
    Url::parse(&text).map_err(|_| GitError::Url { url: base.to_string() })
}

/// The repository that a redirect leads to, at the same server; from HTTP to HTTPS counts as the same.
fn redirected(url: &Url, asked: &Url, headers: &HeaderMap) -> Result<Url, GitError> {
    let nowhere = |detail: &str| GitError::RepositoryNotFound {
        url: url.to_string(),
        detail: detail.to_owned(),
    };
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let location = location.ok_or_else(|| nowhere("it redirects without saying where to"))?;
    let to = asked
        .join(location)
        .map_err(|_| nowhere("it redirects to something that is not a URL"))?;
    let upgraded = url.scheme() == "http"
        && to.scheme() == "https"
        && url.host() == to.host()
        && (url.port(), to.port()) == (None, None);
    if !same_server(url, &to) && !upgraded || !to.username().is_empty() || to.password().is_some() {
        return Err(GitError::Redirected {
            url: url.to_string(),
            to: to.origin().ascii_serialization(),
        });
    }
    // A page to log in at, as a rule.
    let base = to
        .as_str()
        .strip_suffix(SUFFIX)
        .ok_or_else(|| nowhere("it redirects to something that is not a repository"))?;
    Url::parse(base).map_err(|_| nowhere("it redirects to something that is not a URL"))
}

fn judge(response: &Response, url: &Url, sent: bool) -> Result<(), GitError> {
    let (url, status) = (url.to_string(), response.status());
    match status {
        StatusCode::OK => {
            let kind = response
                .headers()
                .get(CONTENT_TYPE)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default();
            if kind.split(';').next().unwrap_or_default().trim() == ADVERTISEMENT {
                return Ok(());
            }
            Err(GitError::RepositoryNotFound {
                url,
                detail: "what answers there is not a Git server".to_owned(),
            })
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(GitError::Unauthorized {
            url,
            status: status.as_u16(),
            sent,
        }),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Err(GitError::Unavailable {
            url,
            status: status.as_u16(),
        }),
        _ if status.is_server_error() => Err(GitError::Unavailable {
            url,
            status: status.as_u16(),
        }),
        _ => Err(GitError::RepositoryNotFound {
            url,
            detail: format!("HTTP status {}", status.as_u16()),
        }),
    }
}

fn unreachable(url: &Url, source: reqwest::Error) -> GitError {
    let host = url.host_str().unwrap_or_default();
    let host = url
        .port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    GitError::Unreachable {
        host,
        source: source.without_url(),
    }
}
