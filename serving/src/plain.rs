//! The plain port: /metrics, /livez, /healthz, /readyz.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::connections::{self, Closing, Limits, Wire};
use crate::exposition::{CONTENT_TYPE, Exposition};
use crate::gates::Gates;

/// Kubelet and Prometheus keep a connection each. Who holds more must not take file descriptors from the secure port, nor keep
/// a probe from being answered.
const LIMITS: Limits = Limits {
    connections: 64,
    handshake: Duration::ZERO,
    head: Duration::from_secs(5),
    // Longer than the pause between two scrapes.
    idle: Duration::from_secs(120),
};

/// What is served.
#[derive(Clone, Debug)]
pub struct Served {
    /// What the process counts.
    pub metrics: Exposition,
    /// Whether the process is ready.
    pub ready: Gates,
    /// Whether the process lives.
    pub alive: Gates,
}

/// The port can't be opened.
#[derive(Debug, thiserror::Error)]
#[error("could not serve metrics and health on {address}")]
pub struct ServeError {
    address: SocketAddr,
    source: std::io::Error,
}

/// The routes.
pub fn app(served: Served) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/healthz", get(livez))
        .route("/readyz", get(readyz))
        .with_state(served)
}

/// Opens the port.
///
/// # Errors
/// When the port can't be opened.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ServeError { address, source })
}

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, served: Served, stop: CancellationToken) {
    connections::serve(listener, Wire::Plain, app(served), LIMITS, Closing::at(stop)).await;
}

async fn metrics(State(served): State<Served>) -> Response {
    match served.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn livez(State(served): State<Served>, RawQuery(query): RawQuery) -> Response {
    answer(&served.alive, query.as_deref())
}

async fn readyz(State(served): State<Served>, RawQuery(query): RawQuery) -> Response {
    answer(&served.ready, query.as_deref())
}

/// Like Kubernetes' own: `ok`, or which gates are closed; with `?verbose` every gate.
fn answer(gates: &Gates, query: Option<&str>) -> Response {
    let states = gates.states();
    let open = states.iter().all(|gate| gate.waits_for.is_none());
    let verbose = query.is_some_and(|query| {
        query
            .split('&')
            .any(|pair| pair == "verbose" || pair.starts_with("verbose="))
    });
    let mut text = String::new();
    for gate in states {
        match gate.waits_for {
            Some(what) => text.push_str(&format!("[-] {} waits for {what}\n", gate.name)),
            None if verbose => text.push_str(&format!("[+] {} ok\n", gate.name)),
            None => {}
        }
    }
    if open {
        text.push_str("ok\n");
    }
    (
        if open {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        },
        text,
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use http::Request;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tower::ServiceExt;

    fn served() -> Served {
        let (ready, alive) = (Gates::default(), Gates::default());
        ready.add("builds", || None);
        ready.add("tenants", || Some("the first list of tenants".to_owned()));
        alive.add("election", || None);
        Served {
            metrics: Exposition::new("1.2.3"),
            ready,
            alive,
        }
    }

    async fn ask(path: &str) -> (StatusCode, String, Option<String>) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = app(served()).oneshot(request).await.unwrap();
        let content = answer
            .headers()
            .get(header::CONTENT_TYPE)
            .map(|value| value.to_str().unwrap().to_owned());
        let (parts, body) = answer.into_parts();
        (
            parts.status,
            String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap(),
            content,
        )
    }

    #[tokio::test]
    async fn a_closed_gate_makes_the_process_unready_and_says_what_it_waits_for() {
        let (status, text, _) = ask("/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(text, "[-] tenants waits for the first list of tenants\n");
        let (_, text, _) = ask("/readyz?verbose").await;
        assert_eq!(text, "[+] builds ok\n[-] tenants waits for the first list of tenants\n");
    }

    #[tokio::test]
    async fn a_process_that_is_not_ready_lives() {
        for path in ["/livez", "/healthz"] {
            assert_eq!(ask(path).await.0, StatusCode::OK, "{path}");
        }
        assert_eq!(ask("/livez?verbose").await.1, "[+] election ok\nok\n");
    }

    #[tokio::test]
    async fn who_opens_more_connections_than_there_are_places_keeps_no_probe_from_its_answer() {
        let listener = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(listener, served(), stop.clone()));
        let mut silent = Vec::new();
        for _ in 0..LIMITS.connections + 8 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /liv").await.unwrap();
            silent.push(stream);
        }
        let mut probe = TcpStream::connect(address).await.unwrap();
        probe
            .write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        probe.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"),
            "{answer}"
        );
        // The first that said half a request had to go for it.
        assert_eq!(silent[0].read(&mut [0]).await.unwrap_or(0), 0);
        drop(silent);
        stop.cancel();
        server.await.unwrap();
    }

    #[tokio::test]
    async fn metrics_are_open_metrics_with_an_end() {
        let (status, text, content) = ask("/metrics").await;
        assert_eq!((status, content.as_deref()), (StatusCode::OK, Some(CONTENT_TYPE)));
        assert!(text.contains("imagefactory_build_info{version=\"1.2.3\"}"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
