//! Makes authorities and leaves: ECDSA keys that no other process has seen.

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use time::OffsetDateTime;

use super::{Pair, PairError};

/// How long before its making a certificate is valid, for clocks that go behind ours.
pub const BACKDATED: SignedDuration = SignedDuration::from_mins(5);

/// An authority that signs leaves alone.
///
/// # Errors
/// When the provider of cryptography fails.
pub fn authority(now: Timestamp, life: SignedDuration) -> Result<Pair, PairError> {
    let mut params = begin(now, life, &format!("Image Factory webhook {}", now.as_second()))?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

/// A leaf for these DNS names, signed by `authority`.
///
/// # Errors
/// When the authority can't be read, or the provider of cryptography fails.
pub fn leaf(authority: &Pair, names: &[String], now: Timestamp, life: SignedDuration) -> Result<Pair, PairError> {
    // A common name has at most 64 characters, and no client reads it.
    let mut params = begin(now, life, "Image Factory")?;
    params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, KeyPair::from_pem(&authority.key)?)?;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

fn begin(now: Timestamp, life: SignedDuration, name: &str) -> Result<CertificateParams, PairError> {
    let mut params = CertificateParams::default();
    params.not_before = moment(now - BACKDATED)?;
    params.not_after = moment(now + life)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from_slice(&(rand::random::<u128>() >> 1).to_be_bytes()));
    Ok(params)
}

fn moment(at: Timestamp) -> Result<OffsetDateTime, PairError> {
    OffsetDateTime::from_unix_timestamp(at.as_second()).map_err(|_| PairError::Clock)
}
