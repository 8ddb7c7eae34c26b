//! Reviews over TLS and HTTP/1.1 on connections that stay open, as the API server sends them.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::error::{BenchError, Result, Trying};
use crate::pace::{Turn, hand_out};

/// An open connection to the webhook.
pub struct Connection(SendRequest<Full<Bytes>>);

/// Opens one.
///
/// # Errors
/// When it can't be opened.
pub async fn connect(port: u16, authority: &str) -> Result<Connection> {
    let wrong = |error: &dyn std::error::Error| BenchError::Wrong(format!("no connection to the webhook: {error}"));
    let certificate = CertificateDer::from_pem_slice(authority.as_bytes()).map_err(|error| wrong(&error))?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).map_err(|error| wrong(&error))?;
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(|error| wrong(&error))?;
    let stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .trying("could not connect")?;
    stream.set_nodelay(true).trying("could not set up a connection")?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .trying("could not connect over TLS")?;
    let (send, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| wrong(&error))?;
    tokio::spawn(connection);
    Ok(Connection(send))
}

impl Connection {
    /// Sends a review, and fails if it is not let in.
    ///
    /// # Errors
    /// When it is not.
    pub async fn ask(&mut self, review: Bytes) -> Result<()> {
        let failed = |error: &dyn std::error::Error| BenchError::Wrong(format!("a review failed: {error}"));
        let request = Request::post("/validate?timeout=3s")
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(review))
            .map_err(|error| failed(&error))?;
        self.0.ready().await.map_err(|error| failed(&error))?;
        let answer = self.0.send_request(request).await.map_err(|error| failed(&error))?;
        let body = answer
            .into_body()
            .collect()
            .await
            .map_err(|error| failed(&error))?
            .to_bytes();
        if body.windows(14).any(|window| window == b"\"allowed\":true") {
            return Ok(());
        }
        Err(BenchError::Wrong(format!(
            "not let in: {}",
            String::from_utf8_lossy(&body)
        )))
    }
}

/// What a request that had its turn took. Both count from when it was due, so that a wait for the one before it is a wait of this
/// one too.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// Until the client began to send it, which is nothing of the webhook's but that wait.
    pub sent: Duration,
    /// Until it was answered.
    pub answered: Duration,
}

/// Asks at a pace over some connections.
///
/// # Errors
/// When a review fails.
pub async fn at_pace(
    connections: Vec<Connection>,
    reviews: Arc<Vec<Bytes>>,
    per_second: u32,
    seconds: u64,
) -> Result<Vec<Answered>> {
    let mut takers = Vec::new();
    let tasks = connections.into_iter().map(|mut connection| {
        let (taker, mut turns) = mpsc::unbounded_channel::<Turn>();
        takers.push(taker);
        let reviews = reviews.clone();
        tokio::spawn(async move {
            let mut times = Vec::new();
            while let Some(turn) = turns.recv().await {
                let sent = turn.due.elapsed();
                connection.ask(review(&reviews, turn.number)).await?;
                let answered = turn.due.elapsed();
                times.push(Answered { sent, answered });
            }
            Ok(times)
        })
    });
    let tasks = tasks.collect();
    hand_out(takers, per_second, u64::from(per_second) * seconds)?;
    joined(tasks).await
}

/// Asks as fast as it is answered; how many were in that time.
///
/// # Errors
/// When a review fails.
pub async fn at_full_speed(connections: Vec<Connection>, reviews: Arc<Vec<Bytes>>, time: Duration) -> Result<f64> {
    let began = Instant::now();
    let tasks = connections.into_iter().map(|mut connection| {
        let reviews = reviews.clone();
        tokio::spawn(async move {
            let mut count = 0u64;
            while began.elapsed() < time {
                connection.ask(review(&reviews, count)).await?;
                count += 1;
            }
            Ok(vec![count])
        })
    });
    let all: u64 = joined(tasks.collect()).await?.into_iter().sum();
    Ok(all as f64 / began.elapsed().as_secs_f64())
}

fn review(reviews: &[Bytes], number: u64) -> Bytes {
    // Scattered, so that neighbours in the list are not asked about one after the other.
    let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let index = usize::try_from(scattered).unwrap_or_default() % reviews.len().max(1);
    reviews.get(index).cloned().unwrap_or_default()
}

async fn joined<T>(tasks: Vec<JoinHandle<Result<Vec<T>>>>) -> Result<Vec<T>> {
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.map_err(|error| BenchError::Wrong(error.to_string()))??);
    }
    Ok(all)
}
