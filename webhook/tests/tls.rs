//! A real TLS client, before, across and after a change of the certificate, and while the server ends.
#![allow(clippy::unwrap_used, reason = "a test says why it ends")]

mod client;

use axum::Router;
use axum::routing::get;
use imagefactory_webhook::certs::{Pair, Served, make};
use imagefactory_webhook::serve::secure::{Closing, serve, tls};
use jiff::{SignedDuration, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;

use client::{NAME, connect};

fn made() -> (Pair, Pair) {
    let (now, life) = (Timestamp::now(), SignedDuration::from_hours(1));
    let authority = make::authority(now, life).unwrap();
    let leaf = make::leaf(&authority, &[NAME.to_owned()], now, life).unwrap();
    (authority, leaf)
}

/// One answer's head; the body is one byte.
async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream
        .write_all(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n!") {
        text.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(text).unwrap().to_lowercase()
}

#[tokio::test]
async fn a_new_certificate_is_served_from_the_next_handshake_on_and_open_connections_stay() {
    let served = Served::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let closing = Closing::default();
    let app = Router::new().route("/", get(async || "!"));
    let server = tokio::spawn(serve(listener, tls(&served).unwrap(), app, closing.clone()));

    let (old, leaf) = made();
    assert!(connect(port, &old).await.is_err(), "nothing is served yet");
    assert!(served.load(&leaf).unwrap());
    assert!(!served.load(&leaf).unwrap(), "the same is no news");
    let mut before = connect(port, &old).await.unwrap();
    assert!(ask(&mut before).await.starts_with("http/1.1 200"));

    let (new, leaf) = made();
    assert!(served.load(&leaf).unwrap());
    assert!(
        connect(port, &old).await.is_err(),
        "the old authority is not served any more"
    );
    let mut after = connect(port, &new).await.unwrap();
    assert!(ask(&mut before).await.starts_with("http/1.1 200"));
    assert!(ask(&mut after).await.starts_with("http/1.1 200"));

    let spoilt = Pair {
        key: made().1.key,
        ..leaf
    };
    assert!(served.load(&spoilt).is_err());
    let mut still = connect(port, &new).await.unwrap();

    closing.soon.cancel();
    assert!(ask(&mut before).await.contains("connection: close"));
    assert!(connect(port, &new).await.is_ok(), "who comes late is still served");
    closing.now.cancel();
    server.await.unwrap();
    assert_eq!(
        still.read(&mut [0; 8]).await.unwrap_or(0),
        0,
        "idle connections are closed"
    );
}
