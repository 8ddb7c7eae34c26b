//! The client of an HTTP system of record: one GET, with a token from a file, that says when nothing has changed.

use std::path::PathBuf;

use imagefactory_core::sor_record::listing::{Listing, MAX_BYTES, parse};
use imagefactory_core::sor_record::settings::SorHttpSettings;
use reqwest::header::{ACCEPT, AUTHORIZATION, ETAG, HeaderValue, IF_NONE_MATCH};
use reqwest::{Certificate, Client, Response, StatusCode, redirect};

use super::error::SorError;

/// Longest token, in bytes.
const MAX_TOKEN: usize = 16 * 1024;

/// An HTTP system of record, and what it said last.
pub(super) struct SystemOfRecord {
    client: Client,
    url: String,
    token: Option<PathBuf>,
    known: Option<Known>,
    listing: Listing,
}

/// What it called its last answer.
struct Known(Option<HeaderValue>);

impl SystemOfRecord {
    pub(super) fn new(settings: &SorHttpSettings, ca_bundle: Option<&str>) -> Result<Self, SorError> {
        // A redirect would take the token elsewhere.
        let mut builder = Client::builder()
            .timeout(settings.timeout().unsigned_abs())
            .redirect(redirect::Policy::none())
            .user_agent(concat!("image-factory-operator/", env!("CARGO_PKG_VERSION")));
        for pem in [ca_bundle, settings.ca_bundle.as_deref()].into_iter().flatten() {
            let certificates = Certificate::from_pem_bundle(pem.as_bytes()).map_err(SorError::Certificates)?;
            builder = builder.tls_certs_merge(certificates);
        }
        Ok(Self {
            client: builder.build().map_err(SorError::Client)?,
            url: settings.url.clone(),
            token: settings.token_file.as_ref().map(PathBuf::from),
            known: None,
            listing: Listing::default(),
        })
    }

    /// What it said last.
    pub(super) fn listing(&self) -> &Listing {
        &self.listing
    }

    /// Asks. Whether it said something else than before.
    pub(super) async fn fetch(&mut self) -> Result<bool, SorError> {
        let mut request = self.client.get(&self.url).header(ACCEPT, "application/json");
        if let Some(token) = self.read_token().await? {
            request = request.header(AUTHORIZATION, token);
        }
        if let Some(Known(Some(tag))) = &self.known {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let response = request.send().await.map_err(ask)?;
        match response.status() {
            StatusCode::NOT_MODIFIED if self.known.is_some() => Ok(false),
            StatusCode::NOT_MODIFIED => Err(SorError::NothingKnown),
            StatusCode::OK => {
                let tag = response.headers().get(ETAG).cloned();
                self.listing = parse(&body(response).await?)?;
                self.known = Some(Known(tag));
                Ok(true)
            }
            other => Err(SorError::Status(other.as_u16())),
        }
    }

    /// Read each time: whoever renews the Secret need not restart the operator.
    async fn read_token(&self) -> Result<Option<HeaderValue>, SorError> {
        let Some(path) = &self.token else { return Ok(None) };
        let token = tokio::fs::read_to_string(path)
            .await
            .map_err(|source| SorError::Token {
                path: path.clone(),
                source,
            })?;
        let token = token.trim();
        if token.is_empty() || token.len() > MAX_TOKEN {
            return Err(SorError::NoToken);
        }
        let mut header = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| SorError::NoToken)?;
        header.set_sensitive(true);
        Ok(Some(header))
    }
}

/// The URL stays out of logs: somebody may have put a secret into it.
fn ask(error: reqwest::Error) -> SorError {
    SorError::Ask(error.without_url())
}

async fn body(mut response: Response) -> Result<Vec<u8>, SorError> {
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(ask)? {
        if bytes.len() + piece.len() > MAX_BYTES {
            return Err(SorError::TooLong);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}
