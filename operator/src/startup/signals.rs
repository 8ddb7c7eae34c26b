//! Being asked to end.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::StartupError;

/// A token that is cancelled by SIGTERM or SIGINT.
pub(super) fn stop() -> Result<CancellationToken, StartupError> {
    let terminate = signal(SignalKind::terminate()).map_err(StartupError::Runtime)?;
    let interrupt = signal(SignalKind::interrupt()).map_err(StartupError::Runtime)?;
    let stop = CancellationToken::new();
    tokio::spawn(wait(terminate, interrupt, stop.clone()));
    Ok(stop)
}

async fn wait(mut terminate: Signal, mut interrupt: Signal, stop: CancellationToken) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!("asked to end");
    stop.cancel();
}
