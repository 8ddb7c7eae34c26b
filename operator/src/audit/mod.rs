//! The audit's own process, and the commands that read what it stored (docs/decisions/0022, docs/audit.md).
//!
//! | module | does |
//! |---|---|
//! | [`intake`] | POST /intake/v1/events: who may, how much, and what is answered |
//! | [`reviews`] | whose token it is, by the API server |
//! | [`shelf`] | the store, opened until it opens |
//! | [`count`] | what is told to Prometheus |
//! | [`show`] | lists and verifies |

mod count;
mod intake;
mod reviews;
mod shelf;
mod show;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use show::{list, verify};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use imagefactory_serving::connections::{self, Closing, Limits, Wire};
use imagefactory_serving::tls::{self, Files, Served};
use imagefactory_store::{Broken, Options, StoreError};
use tokio::net::TcpListener;
use tracing::info;

use crate::config::AuditServeArgs;
use crate::startup::Role;
use count::Counted;
use intake::Intake;
use reviews::Reviews;
use shelf::Shelf;

/// Senders are few.
const LIMITS: Limits = Limits {
    connections: 256,
    handshake: Duration::from_secs(5),
    head: Duration::from_secs(5),
    idle: Duration::from_secs(60),
};

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
    /// TLS can't be set up.
    #[error("could not set up TLS")]
    Tls(#[from] rustls::Error),
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
    let (opened, served) = (shelf.clone(), Served::default());
    role.ready.add("database", move || opened.waits_for());
    let files = Files {
        certificate: args.tls_cert,
        key: args.tls_key,
    };
    let (shown, place) = (served.clone(), files.certificate.display().to_string());
    role.ready.add("certificate", move || {
        shown.pair().is_none().then(|| format!("a certificate in {place}"))
    });
    let intake = Intake {
        shelf: shelf.clone(),
        reviews: Arc::new(Reviews::new(role.client, args.audience, args.allowed)),
        counted,
        bodies: intake::bodies(),
    };
    let listener = TcpListener::bind(args.intake)
        .await
        .map_err(|source| AuditError::Listen {
            address: args.intake,
            source,
        })?;
    info!(address = %args.intake, "taking audit events");
    let app = intake::app(intake);
    let (config, closing) = (tls::config(&served)?, Closing::at(role.stop.clone()));
    let told = |_: &_| info!("the intake's certificate was read");
    tokio::select! {
        ended = shelf.keep_open(&args.database.url, options) => return Err(ended.into()),
        () = tls::follow(files, served, told) => {}
        () = connections::serve(listener, Wire::tls(config), app, LIMITS, closing) => {}
    }
    shelf.close().await;
    Ok(())
}
