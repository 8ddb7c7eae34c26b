//! How a secure port speaks TLS.

use std::sync::Arc;

use rustls::ServerConfig;

use super::served::Served;

/// TLS with the certificate that is served at the time of each handshake.
///
/// # Errors
/// When the provider of cryptography lacks what TLS needs.
pub fn config(served: &Served) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(served.clone()));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
