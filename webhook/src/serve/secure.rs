//! The secure port: HTTP/1.1 over TLS, which is what the API server speaks to webhooks.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
pub use imagefactory_serving::connections::Closing;
use imagefactory_serving::connections::{self, Limits, Wire};
pub use imagefactory_serving::tls::config as tls;
use rustls::ServerConfig;
use tokio::net::TcpListener;

/// An API server keeps a few dozen connections, and keeps them open.
const LIMITS: Limits = Limits {
    connections: 1024,
    handshake: Duration::from_secs(10),
    head: Duration::from_secs(3),
    // Longer than an API server keeps a connection that it does not use, so that it is never we who close it under a review.
    idle: Duration::from_secs(300),
};

/// Serves until `closing` says so, and until what was being answered is answered.
pub async fn serve(listener: TcpListener, config: Arc<ServerConfig>, app: Router, closing: Closing) {
    connections::serve(listener, Wire::tls(config), app, LIMITS, closing).await;
}
