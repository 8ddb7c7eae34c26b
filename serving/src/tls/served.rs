//! The certificate that is served, taken anew at each handshake.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// A certificate and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// Certificate, and what leads to its authority, PEM.
    pub certificate: String,
    /// Private key, PEM.
    pub key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// A holder of one certificate. Cloning gives another handle to the same.
#[derive(Clone, Debug, Default)]
pub struct Served(Arc<RwLock<Option<Loaded>>>);

/// A pair as text, and as TLS uses it.
type Loaded = (Pair, Arc<CertifiedKey>);

/// The certificate can't be served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No PEM.
    #[error("certificate or key is no PEM")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// Nothing that TLS can use.
    #[error("certificate and key can't be used")]
    Key(#[from] rustls::Error),
}

impl Served {
    /// Serves this one from the next handshake on. Says whether it is another than before.
    ///
    /// # Errors
    /// When it can't be used; then the one before is still served.
    pub fn load(&self, pair: &Pair) -> Result<bool, LoadError> {
        if self.pair().as_ref() == Some(pair) {
            return Ok(false);
        }
        let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes())?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let certified = CertifiedKey::from_der(chain, key, &provider)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some((pair.clone(), Arc::new(certified)));
        Ok(true)
    }

    /// The pair that is served.
    #[must_use]
    pub fn pair(&self) -> Option<Pair> {
        let served = self.0.read().unwrap_or_else(PoisonError::into_inner);
        served.as_ref().map(|(pair, _)| pair.clone())
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let served = self.0.read().unwrap_or_else(PoisonError::into_inner);
        served.as_ref().map(|(_, certified)| certified.clone())
    }
}
