//! What the certificate of a pair says.

use imagefactory_serving::tls::Pair;
use jiff::Timestamp;
use rcgen::KeyPair;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::{Pem, parse_x509_pem};

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Valid from.
    pub from: Timestamp,
    /// Valid until.
    pub until: Timestamp,
    /// DNS names, sorted.
    pub names: Vec<String>,
}

/// Certificates can't be read or made.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// No PEM of a certificate.
    #[error("a certificate can't be read: {0}")]
    Certificate(String),
    /// No PEM of a key, or the provider of cryptography failed.
    #[error("a key or certificate could not be made or read")]
    Key(#[from] rcgen::Error),
    /// The two don't belong together.
    #[error("key and certificate do not belong together")]
    Mismatch,
    /// A time beyond what certificates can say.
    #[error("the clock shows a time that no certificate can hold")]
    Clock,
}

/// Checks that the key is the certificate's, and says what that says.
///
/// # Errors
/// When either can't be read, or they don't belong together.
pub fn facts(pair: &Pair) -> Result<Facts, PairError> {
    let key = KeyPair::from_pem(&pair.key)?;
    with_certificate(&pair.certificate, |certificate| {
        if certificate.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(PairError::Mismatch);
        }
        said(certificate)
    })
}

/// Whether the certificate was signed with the key of `authority`'s.
#[must_use]
pub fn is_signed_by(pair: &Pair, authority: &str) -> bool {
    let signed = with_certificate(authority, |authority| {
        with_certificate(&pair.certificate, |certificate| {
            Ok(certificate.verify_signature(Some(authority.public_key())).is_ok())
        })
    });
    signed.unwrap_or(false)
}

/// When a certificate ends; none if it can't be read.
#[must_use]
pub fn ends(certificate: &str) -> Option<Timestamp> {
    with_certificate(certificate, said).ok().map(|facts| facts.until)
}

fn with_certificate<T>(
    pem: &str,
    look: impl FnOnce(&X509Certificate<'_>) -> Result<T, PairError>,
) -> Result<T, PairError> {
    let unreadable = |error: String| PairError::Certificate(error);
    let (_, pem): (_, Pem) = parse_x509_pem(pem.as_bytes()).map_err(|error| unreadable(error.to_string()))?;
    let certificate = pem.parse_x509().map_err(|error| unreadable(error.to_string()))?;
    look(&certificate)
}

fn said(certificate: &X509Certificate<'_>) -> Result<Facts, PairError> {
    let time = |seconds| Timestamp::from_second(seconds).map_err(|_| PairError::Clock);
    let alternative = certificate
        .subject_alternative_name()
        .map_err(|error| PairError::Certificate(error.to_string()))?;
    let mut names: Vec<String> = alternative
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect();
    names.sort();
    Ok(Facts {
        from: time(certificate.validity().not_before.timestamp())?,
        until: time(certificate.validity().not_after.timestamp())?,
        names,
    })
}
