//! The intake's certificate: two files, read again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::runner::chain;

/// How often the files are looked at.
const PERIOD: Duration = Duration::from_secs(15);

/// Why the files can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("could not read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the certificate or its key is no PEM")]
    Pem(#[source] rustls::pki_types::pem::Error),
    #[error("the certificate and its key can't be used")]
    Use(#[source] rustls::Error),
}

/// The certificate as it is now. Cloning gives another handle to the same one.
#[derive(Clone)]
pub(super) struct Certificate {
    paths: Arc<(PathBuf, PathBuf)>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// What the files held when they were used last.
    content: (Vec<u8>, Vec<u8>),
    config: Option<Arc<ServerConfig>>,
}

impl Certificate {
    pub(super) fn at(certificate: PathBuf, key: PathBuf) -> Self {
        Self {
            paths: Arc::new((certificate, key)),
            state: Arc::default(),
        }
    }

    /// Reads the files again and again, for ever. What can't be used changes nothing.
    pub(super) async fn keep_current(&self) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.read() {
                Ok(true) => info!("the intake's certificate was read"),
                Ok(false) => {}
                Err(error) => warn!(error = chain(&error), "the intake's certificate can't be read"),
            }
        }
    }

    /// Whether there was something new.
    pub(super) fn read(&self) -> Result<bool, TlsError> {
        let content = (read(&self.paths.0)?, read(&self.paths.1)?);
        if self.state().content == content {
            return Ok(false);
        }
        let config = config(&content.0, &content.1)?;
        *self.state() = State {
            content,
            config: Some(Arc::new(config)),
        };
        Ok(true)
    }

    pub(super) fn config(&self) -> Option<Arc<ServerConfig>> {
        self.state().config.clone()
    }

    pub(super) fn waits_for(&self) -> Option<String> {
        self.config()
            .is_none()
            .then(|| format!("a certificate in {}", self.paths.0.display()))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

/// A pair that does not belong together (one file was replaced before the other) is refused.
fn config(certificate: &[u8], key: &[u8]) -> Result<ServerConfig, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
    let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Pem)?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certificates.map_err(TlsError::Pem)?, key)
        .map_err(TlsError::Use)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
