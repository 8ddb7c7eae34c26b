//! The audit's own process, and the commands that read what it stored (docs/decisions/0022, docs/audit.md).
//!
//! | module | does |
//! |---|---|
//! | [`intake`] | POST /intake/v1/events: who may, how much, and what is answered |
//! | [`reviews`] | whose token it is, by the API server |
//! | [`tls`] | the certificate, read again when it changes |
//! | [`listen`] | connections, with limits |
//! | [`shelf`] | the store, opened until it opens |
//! | [`count`] | what is told to Prometheus |
//! | [`show`] | lists and verifies |

mod count;
mod intake;
mod listen;
mod reviews;
mod shelf;
mod show;
#[cfg(test)]
mod tests;
mod tls;

pub(crate) use show::{list, verify};

use std::net::SocketAddr;
use std::sync::Arc;

use imagefactory_store::{Broken, Options, StoreError};
use tokio::net::TcpListener;
use tracing::info;

use crate::config::AuditServeArgs;
use crate::startup::Role;
use count::Counted;
use intake::Intake;
use reviews::Reviews;
use shelf::Shelf;
use tls::Certificate;

/// Why the audit can't be stored, listed or verified.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The port can't be opened.
    #[error("could not take events on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The database can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain is broken.
    #[error("entry {} is bad: {}", .0.seq, show::says(.0.problem))]
    Broken(Broken),
    /// An entry can't be written as JSON.
    #[error("could not write an entry as JSON")]
    Json(#[from] serde_json::Error),
    /// The output is closed.
    #[error("could not write")]
    Output(#[from] std::io::Error),
}

/// Takes events until the process is asked to end; what was taken is stored first.
///
/// # Errors
/// When the port can't be opened, or the URL is of no database that we know.
pub(crate) async fn serve(role: Role, args: AuditServeArgs) -> Result<(), AuditError> {
    let options = Options {
        fold_rate: args.fold_rate,
        ..Options::default()
    };
    let shelf = Shelf::default();
    let counted = Arc::new(Counted::new(shelf.clone()));
    role.metrics.add_collector(counted.collector());
    let (opened, certificate) = (shelf.clone(), Certificate::at(args.tls_cert, args.tls_key));
    role.ready.add("database", move || opened.waits_for());
    let shown = certificate.clone();
    role.ready.add("certificate", move || shown.waits_for());
    let intake = Intake {
        shelf: shelf.clone(),
        reviews: Arc::new(Reviews::new(role.client, args.audience, args.allowed)),
        counted,
        room: intake::room(),
    };
    let listener = TcpListener::bind(args.intake)
        .await
        .map_err(|source| AuditError::Listen {
            address: args.intake,
            source,
        })?;
    info!(address = %args.intake, "taking audit events");
    let app = intake::app(intake);
    let stop = role.stop.clone();
    tokio::select! {
        ended = shelf.keep_open(&args.database.url, options) => return Err(ended.into()),
        () = certificate.keep_current() => {}
        () = listen::serve(listener, certificate.clone(), app, stop) => {}
    }
    shelf.close().await;
    Ok(())
}
