//! The audit's intake, over HTTPS, with a token of an audience of its own that is read anew as it changes.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use http::{Method, Request, StatusCode, header};
use imagefactory_crds::audit::{AuditEvent, Batch, Known, Question};
use kube::client::Body;
use kube::config::AuthInfo;
use kube::{Client, Config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

/// Where events are posted to, below the intake's address.
const EVENTS: &str = "/intake/v1/events";
/// Where it is asked which are stored.
const KNOWN: &str = "/intake/v1/known";

/// A delivery failed.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// No answer in time.
    #[error("the intake did not answer in time")]
    Late,
    /// No way to it.
    #[error("the intake can't be reached")]
    Client(#[source] Box<kube::Error>),
    /// It does not want the events, and never will.
    #[error("the intake refuses the events with {0}")]
    Refused(StatusCode),
    /// It can't take them now.
    #[error("the intake answers {0}")]
    Unwell(StatusCode),
    /// The address, or the batch.
    #[error("the request can't be made")]
    Request(#[from] http::Error),
    /// The events.
    #[error("the events can't be written as JSON")]
    Json(#[from] serde_json::Error),
}

impl IntakeError {
    /// Whether the same events will be refused again and again.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Json(_))
    }
}

/// Where the intake is, and who we are to it.
#[derive(Clone, Debug)]
pub struct Address {
    /// Its address.
    pub url: http::Uri,
    /// File of our token.
    pub token: PathBuf,
    /// PEM of the authorities that sign its certificate, as they change.
    pub authorities: watch::Receiver<String>,
}

/// A client of the intake. It is made anew when the authorities change.
#[derive(Clone)]
pub struct Intake {
    address: Address,
    client: Arc<Mutex<Option<(String, Client)>>>,
}

impl Intake {
    /// A client that has not connected yet.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            client: Arc::default(),
        }
    }

    /// Delivers events: when this is well, they are durable there.
    ///
    /// # Errors
    /// When they may not be.
    pub async fn deliver(&self, events: &[AuditEvent], patience: Duration) -> Result<(), IntakeError> {
        let body = serde_json::to_vec(&Batch {
            events: events.to_vec(),
        })?;
        self.post(EVENTS, body, patience).await.map(drop)
    }

    /// Asks which of these ids are of events that are stored.
    ///
    /// # Errors
    /// When it is not answered.
    pub async fn known(&self, ids: Vec<String>, patience: Duration) -> Result<HashSet<String>, IntakeError> {
        let body = serde_json::to_vec(&Question { ids })?;
        let answer = self.post(KNOWN, body, patience).await?;
        let answer: Known = serde_json::from_slice(&answer)?;
        Ok(answer.known.into_iter().collect())
    }

    async fn post(&self, path: &str, body: Vec<u8>, patience: Duration) -> Result<Bytes, IntakeError> {
        match timeout(patience, self.ask(path, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(IntakeError::Late),
        }
    }

    async fn ask(&self, path: &str, body: Vec<u8>) -> Result<Bytes, IntakeError> {
        let failed = |error| IntakeError::Client(Box::new(error));
        let client = self.client().await.map_err(failed)?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))?;
        let answer = client.send(request).await.map_err(failed)?;
        match answer.status() {
            status if status.is_success() => {
                // Read to its end, the connection serves again. What is lost of it matters to who asked something.
                Ok(answer.into_body().collect_bytes().await.unwrap_or_default())
            }
            status @ (StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY) => {
                Err(IntakeError::Refused(status))
            }
            status => Err(IntakeError::Unwell(status)),
        }
    }

    async fn client(&self) -> kube::Result<Client> {
        let mut known = self.client.lock().await;
        let authorities = self.address.authorities.borrow().clone();
        if let Some((with, client)) = &*known
            && *with == authorities
        {
            return Ok(client.clone());
        }
        let mut config = Config::new(self.address.url.clone());
        let ders = CertificateDer::pem_slice_iter(authorities.as_bytes());
        config.root_cert = Some(ders.flatten().map(|der| der.to_vec()).collect());
        config.connect_timeout = Some(Duration::from_millis(500));
        config.read_timeout = Some(Duration::from_secs(10));
        // Who sends has somewhere else to leave events, or keeps them: a 503 is an answer, at once.
        config.default_retry = false;
        config.auth_info = AuthInfo {
            token_file: Some(self.address.token.display().to_string()),
            ..AuthInfo::default()
        };
        let client = Client::try_from(config)?;
        *known = Some((authorities, client.clone()));
        Ok(client)
    }
}
