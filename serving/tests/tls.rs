//! A certificate in two files, as it is served before, across and after a change of them, over real connections.
#![allow(clippy::unwrap_used, reason = "a test says why it ends")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use imagefactory_serving::connections::{Closing, Limits, Wire, serve};
use imagefactory_serving::tls::{Files, Served, config};
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const NAME: &str = "audit.test";

/// A certificate of its own authority, in the two files.
fn write_certificate(folder: &Path) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    std::fs::write(folder.join("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().to_vec()
}

/// What is answered, if the certificate that is shown is of this authority.
async fn ask(address: std::net::SocketAddr, trusted: &[u8]) -> Option<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.to_vec().into()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await.unwrap();
    let mut stream = connector
        .connect(ServerName::try_from(NAME).unwrap(), stream)
        .await
        .ok()?;
    let request = format!("GET / HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    Some(answer)
}

#[tokio::test]
async fn a_new_certificate_is_served_without_a_restart_and_a_bad_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (files, served) = (Files::in_folder(folder), Served::default());
    assert!(files.load(&served).is_err() && served.pair().is_none());
    let first = write_certificate(folder);
    assert!(files.load(&served).unwrap() && served.pair().is_some());
    assert!(!files.load(&served).unwrap(), "the same is no news");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let limits = Limits {
        connections: 2,
        handshake: Duration::from_secs(5),
        head: Duration::from_secs(5),
        idle: Duration::from_secs(60),
    };
    let app = Router::new().route("/", get(async || "!"));
    let closing = Closing::at(stop.clone());
    let server = tokio::spawn(serve(
        listener,
        Wire::tls(config(&served).unwrap()),
        app,
        limits,
        closing,
    ));
    assert!(ask(address, &first).await.unwrap().starts_with("HTTP/1.1 200"));
    // One file of two is new, and then both.
    let key = std::fs::read(folder.join("tls.key")).unwrap();
    let second = write_certificate(folder);
    let new_key = std::fs::read(folder.join("tls.key")).unwrap();
    std::fs::write(folder.join("tls.key"), key).unwrap();
    assert!(files.load(&served).is_err());
    assert!(ask(address, &first).await.is_some());
    std::fs::write(folder.join("tls.key"), new_key).unwrap();
    assert!(files.load(&served).unwrap());
    assert!(ask(address, &first).await.is_none());
    assert!(ask(address, &second).await.unwrap().starts_with("HTTP/1.1 200"));
    // A connection that says nothing holds nobody up.
    let silent = TcpStream::connect(address).await.unwrap();
    assert!(ask(address, &second).await.is_some());
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(20), server)
        .await
        .unwrap()
        .unwrap();
    drop(silent);
}
