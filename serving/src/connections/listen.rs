//! HTTP/1.1 over connections, plain or over TLS: so many at a time, and none that is held open for nothing. When all places
//! are taken and somebody comes, one goes that is not being answered (`places.rs`).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{self, Next};
use http::{HeaderValue, Request, header};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::heard::Heard;
use super::places::{Holding, Place, Places, Stage};

/// How long requests that run may take when a server ends.
const LAST: Duration = Duration::from_secs(10);
/// How soon another connection is asked to go when none has gone.
const AGAIN: Duration = Duration::from_millis(20);
/// Most bytes of a head, and of what is read of a body at once.
const BUFFER: usize = 64 * 1024;

/// How much is borne of clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections at a time.
    pub connections: usize,
    /// Longest handshake. A plain connection has none.
    pub handshake: Duration,
    /// Longest time from the first byte of a request to the end of its head.
    pub head: Duration,
    /// How long a connection is kept that asks nothing.
    pub idle: Duration,
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

/// How bytes come over a connection.
#[derive(Clone)]
pub enum Wire {
    /// As they are.
    Plain,
    /// Over TLS.
    Tls(TlsAcceptor),
}

impl Wire {
    /// Over TLS, so configured.
    #[must_use]
    pub fn tls(config: Arc<ServerConfig>) -> Self {
        Self::Tls(TlsAcceptor::from(config))
    }
}

/// Serves until `closing` says so, and until what was being answered is answered.
pub async fn serve(listener: TcpListener, wire: Wire, app: Router, limits: Limits, closing: Closing) {
    let app = asking_to_go(app, closing.soon.clone());
    let room = Arc::new(Semaphore::new(limits.connections));
    let places = Places::default();
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = closing.now.cancelled() => break,
            accepted = accept(&listener, &room, &places) => accepted,
        };
        let Some((stream, permit)) = accepted else { continue };
        let holding = places.take();
        let (wire, app, now) = (wire.clone(), app.clone(), closing.now.clone());
        tasks.spawn(async move {
            meet(stream, &wire, app, (limits, &holding), now).await;
            drop((holding, permit));
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

/// Who comes has a place: if none is free, another connection goes for it.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    places: &Places,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let (stream, _) = match listener.accept().await {
        Ok(accepted) => accepted,
        Err(error) => {
            // Most often no file descriptor is left: others must end first.
            warn!(%error, "could not take a connection");
            sleep(Duration::from_millis(100)).await;
            return None;
        }
    };
    if let Ok(permit) = room.clone().try_acquire_owned() {
        return Some((stream, permit));
    }
    loop {
        places.make_room();
        if let Ok(permit) = timeout(AGAIN, room.clone().acquire_owned()).await {
            // Never closed.
            return Some((stream, permit.ok()?));
        }
    }
}

async fn meet(
    stream: TcpStream,
    wire: &Wire,
    app: Router,
    (limits, holding): (Limits, &Holding),
    stop: CancellationToken,
) {
    // Answers are small: waiting for more to send would only cost time.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "answers may be held back");
    }
    let place = &holding.place;
    let Wire::Tls(acceptor) = wire else {
        return converse(stream, app, (limits, place), stop).await;
    };
    let shaken = tokio::select! {
        shaken = timeout(limits.handshake, acceptor.accept(stream)) => shaken,
        why = place.has_to_go(limits.handshake) => return debug!(why, "let go in its handshake"),
    };
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!(%error, "handshake failed"),
        Err(_) => return debug!("handshake took too long"),
    };
    converse(stream, app, (limits, place), stop).await;
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    app: Router,
    (limits, place): (Limits, &Arc<Place>),
    stop: CancellationToken,
) {
    place.enter(Stage::New);
    let stream = Heard {
        stream,
        place: place.clone(),
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), told(app, place));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        why = place.has_to_go(limits.head) => return debug!(why, "let go"),
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "connection ended");
    }
}

/// Tells the place of a connection when a request has begun and when it was answered. Who reads a body tells it when that
/// is there: the place goes along with the request.
fn told(
    app: Router,
    place: &Arc<Place>,
) -> impl Service<Request<Incoming>, Response = axum::response::Response, Error = Infallible, Future: Send> + use<> {
    let (app, place) = (TowerToHyperService::new(app), place.clone());
    service_fn(move |mut request: Request<Incoming>| {
        let place = place.clone();
        let is_whole = request.body().is_end_stream();
        place.enter(if is_whole { Stage::Answering } else { Stage::Body });
        request.extensions_mut().insert(place.clone());
        let answer = app.call(request);
        async move {
            let answer = answer.await;
            place.enter(Stage::Idle);
            answer
        }
    })
}
