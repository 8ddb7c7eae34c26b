//! What no API server sends, over a real socket: slow clients, bodies that never end, more connections than there is room
//! for, requests that are none. Each is answered or let go, and who asks well meanwhile is answered.
#![allow(clippy::unwrap_used, reason = "a test says why it ends")]

mod client;

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use imagefactory_webhook::audit::Recorder;
use imagefactory_webhook::caches::Caches;
use imagefactory_webhook::certs::{Pair, Served, make};
use imagefactory_webhook::door::Door;
use imagefactory_webhook::metrics::Metrics;
use imagefactory_webhook::router::app;
use imagefactory_webhook::serve::secure::{Closing, serve, tls};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use client::NAME;

const CREATE: &str = include_str!("reviews/build-create.json");
/// A well-behaved client is answered within this, whatever others do.
const SOON: Duration = Duration::from_secs(3);

/// The webhook's own port, with caches that know nothing: what it answers is a refusal, and an answer.
struct Hook {
    port: u16,
    authority: Pair,
    closing: Closing,
}

impl Hook {
    async fn begin() -> Self {
        let (now, life) = (Timestamp::now(), SignedDuration::from_hours(1));
        let authority = make::authority(now, life).unwrap();
        let served = Served::default();
        served
            .load(&make::leaf(&authority, &[NAME.to_owned()], now, life).unwrap())
            .unwrap();
        let settings = serde_json::from_value(json!({
            "onboarding": {"build": false},
            "persons": {"platformGroups": [], "securityGroups": [], "gitopsAccounts": [], "ownAccounts": []},
        }));
        let caches = Caches::new(Duration::from_secs(180));
        let door = Door::new(caches, &settings.unwrap(), Recorder::Log, Arc::new(Metrics::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, closing) = (listener.local_addr().unwrap().port(), Closing::default());
        tokio::spawn(serve(listener, tls(&served).unwrap(), app(door), closing.clone()));
        Self {
            port,
            authority,
            closing,
        }
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        client::connect(self.port, &self.authority).await.unwrap()
    }

    /// What a client that does everything right is told.
    async fn answers(&self) -> String {
        let answer = timeout(SOON, self.sends(&post(CREATE.as_bytes(), CREATE.len()))).await;
        let answer = answer.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }

    /// What comes back for these bytes, whatever they are, on a connection of their own.
    async fn sends(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // It may be closed before all is sent.
        let _ = stream.write_all(bytes).await;
        let _ = stream.flush().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn post(body: &[u8], length: usize) -> Vec<u8> {
    let head =
        format!("POST /validate HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// The review's object with something in its place.
fn with(pointer: &str, value: Value) -> Vec<u8> {
    let mut review: Value = serde_json::from_str(CREATE).unwrap();
    *review.pointer_mut(pointer).unwrap() = value;
    review.to_string().into_bytes()
}

#[tokio::test]
async fn every_strange_body_has_an_answer_of_its_own() {
    let hook = Hook::begin().await;
    let deep = CREATE.replace(
        "\"FROM scratch\\n\"",
        &format!("{}{}", "[".repeat(1000), "]".repeat(1000)),
    );
    assert!(deep.len() > CREATE.len() + 1900);
    let mut torn = CREATE.as_bytes().to_vec();
    torn[200] = 0xff;
    let mut unknown: Value = serde_json::from_str(CREATE).unwrap();
    unknown["request"]["object"]["spec"]["unheardOf"] = json!({"a": [1, 2]});
    unknown["unheardOf"] = json!(1);
    let cases = [
        ("deep", deep.into_bytes(), "400"),
        ("not UTF-8", torn, "400"),
        ("empty", Vec::new(), "400"),
        ("unknown fields", unknown.to_string().into_bytes(), "200"),
        ("unknown kind", with("/request/kind/kind", json!("Pod")), "200"),
        ("unknown version", with("/request/kind/version", json!("v2")), "200"),
        ("dry run", with("/request/dryRun", json!(true)), "200"),
        (
            "3 MB",
            with(
                "/request/object/metadata/managedFields/0/manager",
                json!("x".repeat(3 << 20)),
            ),
            "200",
        ),
        ("20 MB", vec![b' '; 20 << 20], "413"),
    ];
    for (what, body, status) in cases {
        let answer = hook.sends(&post(&body, body.len())).await;
        // A client that is still sending when it is refused may find the connection gone before it reads why.
        let is_cut = what == "20 MB" && answer.is_empty();
        assert!(
            is_cut || answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{what}: {answer:.300}"
        );
        if status == "200" {
            assert!(
                answer.contains(r#""allowed":false"#) && answer.contains(r#""code":"#),
                "{what}: {answer:.600}"
            );
        }
    }
    hook.answers().await;
}

#[tokio::test]
async fn what_is_no_request_or_asks_elsewhere_is_refused() {
    let hook = Hook::begin().await;
    let get = format!("GET /validate HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n");
    let elsewhere = format!("POST /metrics HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    let long = format!(
        "POST /validate HTTP/1.1\r\nHost: {NAME}\r\nX: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let twice =
        format!("POST /validate HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde");
    for (bytes, status) in [
        (get.as_bytes(), "405"),
        (elsewhere.as_bytes(), "404"),
        (twice.as_bytes(), "400"),
        (b"\x16\x03\x01 nonsense\r\n\r\n", "400"),
        (long.as_bytes(), "431"),
    ] {
        let answer = hook.sends(bytes).await;
        let is_cut = status == "431" && answer.is_empty();
        assert!(
            is_cut || answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{status}: {answer:.300}"
        );
    }
    // No TLS at all.
    let mut plain = TcpStream::connect(("127.0.0.1", hook.port)).await.unwrap();
    plain.write_all(&post(CREATE.as_bytes(), CREATE.len())).await.unwrap();
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said).await;
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    hook.answers().await;
}

#[tokio::test]
async fn bodies_that_are_half_sent_and_clients_that_go_away_hold_up_nobody() {
    let hook = Hook::begin().await;
    let mut held = Vec::new();
    for number in 0..100 {
        let mut stream = hook.connect().await;
        stream
            .write_all(&post(&CREATE.as_bytes()[..100], CREATE.len()))
            .await
            .unwrap();
        // Some stay and say nothing more, some go.
        if number % 2 == 0 {
            held.push(stream);
        }
    }
    assert!(hook.answers().await.contains("decision_unavailable"));
    drop(held);
}

#[tokio::test]
async fn a_client_that_sends_a_byte_at_a_time_is_answered_when_it_is_done() {
    let hook = Hook::begin().await;
    let mut stream = hook.connect().await;
    let request = post(CREATE.as_bytes(), CREATE.len());
    let (head, slow) = request.split_at(request.len() - 40);
    stream.write_all(head).await.unwrap();
    for byte in slow {
        stream.write_all(&[*byte]).await.unwrap();
        stream.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// More than there are places.
const CROWD: usize = 1100;

/// So many connections that have each sent this, those that are not let go on the way.
async fn crowd(hook: &Hook, sent: &[u8]) -> Vec<TlsStream<TcpStream>> {
    let connections = stream::iter(0..CROWD).map(async |_| {
        let connected = timeout(SOON, client::connect(hook.port, &hook.authority)).await;
        let mut stream = connected.ok()?.ok()?;
        stream.write_all(sent).await.ok()?;
        stream.flush().await.ok()?;
        Some(stream)
    });
    connections
        .buffer_unordered(64)
        .filter_map(async |stream| stream)
        .collect()
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_every_place_and_does_not_go_on_keeps_nobody_out() {
    let hook = Hook::begin().await;
    let kept = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
    let cases = [
        ("a body that stalls", post(&CREATE.as_bytes()[..100], CREATE.len())),
        ("a long body that stalls", post(CREATE.as_bytes(), 8 << 20)),
        ("a head that stalls", post(b"", 0)[..40].to_vec()),
        ("nothing", Vec::new()),
        ("a request, and then nothing", kept.into_bytes()),
    ];
    for (what, sent) in cases {
        let held = crowd(&hook, &sent).await;
        assert!(held.len() > CROWD / 2, "{what}: {}", held.len());
        let answer = timeout(SOON, hook.sends(&post(CREATE.as_bytes(), CREATE.len()))).await;
        assert!(answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")), "{what}");
        drop(held);
    }
}

#[tokio::test]
async fn a_request_that_stalls_is_given_up_after_seconds() {
    let hook = Hook::begin().await;
    let body = post(&CREATE.as_bytes()[..100], CREATE.len());
    let head = post(b"", 0)[..40].to_vec();
    for (what, sent, status) in [("body", body, "HTTP/1.1 408"), ("head", head, "")] {
        let answer = timeout(2 * SOON, hook.sends(&sent)).await;
        assert!(
            answer.as_deref().is_ok_and(|answer| answer.starts_with(status)),
            "{what}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn connections_without_a_handshake_take_no_place_for_long() {
    let hook = Hook::begin().await;
    let mut silent = Vec::new();
    for _ in 0..CROWD {
        silent.push(TcpStream::connect(("127.0.0.1", hook.port)).await.unwrap());
    }
    hook.answers().await;
    drop(silent);
    hook.closing.now.cancel();
}
