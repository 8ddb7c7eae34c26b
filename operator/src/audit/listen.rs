//! Connections: so many at a time, and none that is held open for nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::tls::Certificate;

/// Connections at a time.
const CONNECTIONS: usize = 256;
/// Longest handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Longest time to send the head of a request, which is also how long an idle connection is kept.
const HEAD: Duration = Duration::from_secs(60);
/// How long requests that run may take when the process is asked to end.
const LAST: Duration = Duration::from_secs(10);

/// Until `stop`; requests that run then are answered.
pub(super) async fn serve(listener: TcpListener, certificate: Certificate, app: Router, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &room) => accepted,
            Some(_) = connections.join_next() => continue,
        };
        if let Some((stream, permit)) = accepted {
            connections.spawn(connection(
                stream,
                certificate.clone(),
                app.clone(),
                (stop.clone(), permit),
            ));
        }
    }
    drop(listener);
    if timeout(LAST, async { while connections.join_next().await.is_some() {} })
        .await
        .is_err()
    {
        warn!("requests were cut off");
    }
}

async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    // Never closed.
    let permit = room.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(error) => {
            // Too many open files: waiting helps, asking again at once does not.
            warn!(%error, "a connection could not be accepted");
            sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn connection(
    stream: TcpStream,
    certificate: Certificate,
    app: Router,
    (stop, _permit): (CancellationToken, OwnedSemaphorePermit),
) {
    let Some(config) = certificate.config() else { return };
    // Answers are small: waiting for more to send would only cost time.
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await else {
        debug!("a handshake failed");
        return;
    };
    let service = TowerToHyperService::new(app);
    let mut served = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended early");
    }
}
