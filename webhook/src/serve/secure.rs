//! The secure port: HTTP/1.1 over TLS, which is what the API server speaks to webhooks.

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
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::certs::Served;

/// Longest handshake, and longest wait for a request's head.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most connections at a time. An API server keeps a few dozen.
const MAX_CONNECTIONS: usize = 1024;

/// When a server ends: first it asks its clients to go, then it takes no more of them, and goes when those are done.
#[derive(Clone, Debug, Default)]
pub struct Closing {
    /// Answers say that the connection closes after them. New connections are still taken.
    pub soon: CancellationToken,
    /// No connection is taken any more, and those that are idle are closed.
    pub now: CancellationToken,
}

/// TLS with the certificate that is served at the time of each handshake.
///
/// # Errors
/// When the provider of cryptography lacks what TLS needs.
pub fn tls(served: &Served) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(served.clone()));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Serves until `closing` says so, and until what was being answered is answered.
pub async fn serve(listener: TcpListener, tls: Arc<ServerConfig>, app: Router, closing: Closing) {
    let soon = closing.soon.clone();
    let app = app.layer(middleware::from_fn(move |request, next: Next| {
        let soon = soon.clone();
        async move {
            let mut answer = next.run(request).await;
            if soon.is_cancelled() {
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(header::CONNECTION, close);
            }
            answer
        }
    }));
    let acceptor = TlsAcceptor::from(tls);
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let tasks = TaskTracker::new();
    while let Some(stream) = accept(&listener, &closing.now).await {
        let Ok(place) = room.clone().acquire_owned().await else {
            break;
        };
        let (acceptor, app, now) = (acceptor.clone(), app.clone(), closing.now.clone());
        tasks.spawn(async move {
            converse(stream, acceptor, app, now).await;
            drop(place);
        });
    }
    drop(listener);
    tasks.close();
    if timeout(PATIENCE, tasks.wait()).await.is_err() {
        warn!("connections are broken off that do not end");
    }
}

async fn accept(listener: &TcpListener, stop: &CancellationToken) -> Option<TcpStream> {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => return Some(stream),
            Err(error) => {
                // Most often no file descriptor is left: others must end first.
                warn!(%error, "could not take a connection");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, acceptor: TlsAcceptor, app: Router, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "answers may be held back");
    }
    let stream = match timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!(%error, "handshake failed"),
        Err(_) => return debug!("handshake took too long"),
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Some(Duration::from_secs(300)))
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
