//! Connections over TLS, HTTP/1.1: so many at a time, and none that is held open for nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{self, Next};
use http::{HeaderValue, header};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::served::Served;

/// How long requests that run may take when a server ends.
const LAST: Duration = Duration::from_secs(10);

/// How much is borne of clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections at a time.
    pub connections: usize,
    /// Longest handshake.
    pub handshake: Duration,
    /// Longest wait for the head of a request, which is also how long an idle connection is kept.
    pub head: Duration,
}

/// When a server ends: first it asks its clients to go, then it takes no more of them, and goes when those are done.
#[derive(Clone, Debug, Default)]
pub struct Closing {
    /// Answers say that the connection closes after them. New connections are still taken.
    pub soon: CancellationToken,
    /// No connection is taken any more, and those that are idle are closed.
    pub now: CancellationToken,
}

impl Closing {
    /// Ends at once when that is cancelled.
    #[must_use]
    pub fn at(now: CancellationToken) -> Self {
        Self { soon: now.clone(), now }
    }
}

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

/// Serves until `closing` says so, and until what was being answered is answered.
pub async fn serve(listener: TcpListener, tls: Arc<ServerConfig>, app: Router, limits: Limits, closing: Closing) {
    let app = asking_to_go(app, closing.soon.clone());
    let acceptor = TlsAcceptor::from(tls);
    let room = Arc::new(Semaphore::new(limits.connections));
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = closing.now.cancelled() => break,
            accepted = accept(&listener, &room) => accepted,
        };
        let Some((stream, place)) = accepted else { continue };
        let (acceptor, app, now) = (acceptor.clone(), app.clone(), closing.now.clone());
        tasks.spawn(async move {
            converse(stream, acceptor, app, limits, now).await;
            drop(place);
        });
    }
    drop(listener);
    tasks.close();
    if timeout(LAST, tasks.wait()).await.is_err() {
        warn!("connections are broken off that do not end");
    }
}

fn asking_to_go(app: Router, soon: CancellationToken) -> Router {
    app.layer(middleware::from_fn(move |request, next: Next| {
        let soon = soon.clone();
        async move {
            let mut answer = next.run(request).await;
            if soon.is_cancelled() {
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(header::CONNECTION, close);
            }
            answer
        }
    }))
}

/// Only who has a place is taken: the others wait in the kernel's queue.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    // Never closed.
    let place = room.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            // Most often no file descriptor is left: others must end first.
            warn!(%error, "could not take a connection");
            sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn converse(stream: TcpStream, acceptor: TlsAcceptor, app: Router, limits: Limits, stop: CancellationToken) {
    // Answers are small: waiting for more to send would only cost time.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "answers may be held back");
    }
    let stream = match timeout(limits.handshake, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!(%error, "handshake failed"),
        Err(_) => return debug!("handshake took too long"),
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "connection ended");
    }
}
