//! From first breath to last: log, settings, caches, certificates, ports; and then their order of ending.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use imagefactory_serving::api_server;
use imagefactory_serving::audit::{Address, Intake};
use imagefactory_serving::plain::{self, ServeError};
use imagefactory_serving::tls::{self, Files};
use imagefactory_serving::{Gates, logging, signals};
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use kube::Client;
use kube::client::ClientBuilder;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::audit::Recorder;
use crate::audit::recorder::deliverer;
use crate::audit::spool::{Spool, SpoolError};
use crate::caches::Caches;
use crate::certs::Served;
use crate::certs::cluster::Cluster;
use crate::certs::keeper::Keeper;
use crate::certs::pair::ends;
use crate::config::{Args, Certificates};
use crate::door::Door;
use crate::health;
use crate::metrics::Metrics;
use crate::news;
use crate::restore;
use crate::router;
use crate::serve::secure;
use crate::settings::{Settings, SettingsError};

/// Most threads that answer. A decision takes microseconds, and a node's cores are not all for the door: each thread costs
/// a stack, and buffers of its own.
const MOST_WORKERS: usize = 4;

/// The process can't begin, or must not go on.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// No runtime or signals.
    #[error("could not start the runtime")]
    Runtime(#[source] std::io::Error),
    /// Settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The API server's address is not known.
    #[error("could not find the API server")]
    Infer(#[from] kube::config::InferConfigError),
    /// No client.
    #[error("could not make a client of the API server")]
    Client(#[source] kube::Error),
    /// The plain port.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The secure port.
    #[error("could not listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The spool.
    #[error("could not open the spool")]
    Spool(#[from] SpoolError),
    /// TLS.
    #[error("could not set up TLS")]
    Tls(#[from] rustls::Error),
}

/// Runs until asked to end.
///
/// # Errors
/// When it can't begin.
pub fn run(args: &Args) -> Result<(), StartupError> {
    logging::begin(args.log_format);
    let runtime = Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
        .map_err(StartupError::Runtime)?;
    runtime.block_on(serve(args))
}

fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_WORKERS))
}

async fn serve(args: &Args) -> Result<(), StartupError> {
    let settings = Settings::read(&args.settings)?;
    info!(version = env!("CARGO_PKG_VERSION"), "starting");
    let stop = signals::stop().map_err(StartupError::Runtime)?;
    let metrics = Arc::new(Metrics::default());
    let ready = Gates::default();
    let caches = Caches::new(args.stale());
    let client = connect(&caches).await?;
    tokio::spawn(join_all(caches.watches(&client)));
    health::add_caches(&ready, &caches);
    metrics.add_collector(health::Ages(caches.clone()));
    metrics.add_collector(health::Parts(ready.clone()));

    let served = Served::default();
    let authorities = keep_certificates(args, &client, &served, &metrics, &ready);
    let end = CancellationToken::new();
    let (recorder, delivery) = record(args, authorities, &metrics, &ready, &end)?;
    let door = Door::new(caches, &settings, recorder, metrics.clone());
    let leaving = stop.clone();
    ready.add("ending", move || leaving.is_cancelled().then(|| "its end".to_owned()));

    let plain = plain::bind(args.health_listen).await?;
    let shown = plain::Served {
        metrics: metrics.shown().clone(),
        ready,
        alive: Gates::default(),
    };
    tokio::spawn(plain::serve(plain, shown, CancellationToken::new()));
    let closing = secure::Closing::default();
    tokio::spawn(close(stop, closing.clone(), Duration::from_secs(args.linger_seconds)));
    let listener = listen(args.listen).await?;
    // The door, and with it the way to the audit, is gone when the last connection is.
    secure::serve(listener, secure::tls(&served)?, router::app(door), closing).await;
    if let Some(delivery) = delivery {
        finish(delivery, &end, Duration::from_secs(args.drain_seconds)).await;
    }
    info!("ended");
    Ok(())
}

async fn finish(mut delivery: JoinHandle<()>, end: &CancellationToken, patience: Duration) {
    if timeout(patience, &mut delivery).await.is_err() {
        end.cancel();
        // What is in flight ends within its own patience; what is left is on the spool.
        let _ = timeout(Duration::from_secs(2), delivery).await;
    }
}

/// Where events go: to the intake, else to the spool, else to the log.
fn record(
    args: &Args,
    authorities: watch::Receiver<String>,
    metrics: &Arc<Metrics>,
    ready: &Gates,
    end: &CancellationToken,
) -> Result<(Recorder, Option<JoinHandle<()>>), StartupError> {
    let Some(url) = args.audit_url.clone() else {
        warn!("no address of the audit's intake: events go to the log alone");
        return Ok((Recorder::Log, None));
    };
    let authorities = match &args.audit_ca {
        Some(file) => tls::follow_text(file.clone()),
        None => authorities,
    };
    let intake = Intake::new(Address {
        url,
        token: args.audit_token.clone(),
        authorities,
    });
    let spool = Spool::open(&args.spool, args.spool_bytes)?;
    let (delivery, deliverer) = deliverer(spool, intake, metrics.clone());
    let shown = delivery.clone_full();
    ready.add("spool", move || {
        shown().then(|| "room in the spool: does the audit's intake answer?".to_owned())
    });
    let task = tokio::spawn(deliverer.run(end.clone()));
    Ok((Recorder::Delivery(delivery), Some(task)))
}

/// First clients are asked to go elsewhere, while word spreads that this process is not ready; then the port closes.
async fn close(stop: CancellationToken, closing: secure::Closing, linger: Duration) {
    stop.cancelled().await;
    closing.soon.cancel();
    tokio::time::sleep(linger).await;
    closing.now.cancel();
}

fn keep_certificates(
    args: &Args,
    client: &Client,
    served: &Served,
    metrics: &Arc<Metrics>,
    ready: &Gates,
) -> watch::Receiver<String> {
    let shown = served.clone();
    ready.add("certificate", move || {
        shown.pair().is_none().then(|| "a certificate to serve".to_owned())
    });
    match args.certificates {
        Certificates::Files => {
            let files = Files::in_folder(&args.certificates_folder);
            let metrics = metrics.clone();
            tokio::spawn(tls::follow(files, served.clone(), move |pair| {
                let until = ends(&pair.certificate);
                metrics.certificate_ends(until.map_or(0, jiff::Timestamp::as_second));
                info!(until = until.map(tracing::field::display), "certificate loaded");
            }));
            watch::channel(String::new()).1
        }
        Certificates::Own => {
            let cluster = Cluster::new(client.clone(), args.names());
            let keeper = Keeper::new(cluster.clone(), args.terms(), served.clone(), metrics.clone());
            let shown = keeper.clone();
            ready.add("configuration", move || {
                (!shown.is_trusted()).then(|| "the webhook configurations to hold its authority".to_owned())
            });
            let (changed, changes) = watch::channel(0);
            let name = args.names().webhook();
            tokio::spawn(news::of::<ValidatingWebhookConfiguration>(
                client.clone(),
                name.clone(),
                changed.clone(),
            ));
            tokio::spawn(news::of::<MutatingWebhookConfiguration>(client.clone(), name, changed));
            let bundle = keeper.bundle();
            tokio::spawn(restore::run(cluster, changes.clone(), bundle.clone(), metrics.clone()));
            tokio::spawn(keeper.run(changes));
            bundle
        }
    }
}

async fn connect(caches: &Caches) -> Result<Client, StartupError> {
    let config = api_server::config(concat!("image-factory-webhook/", env!("CARGO_PKG_VERSION"))).await?;
    let builder = ClientBuilder::try_from(config).map_err(StartupError::Client)?;
    Ok(builder.with_layer(&caches.listen()).build())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartupError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| StartupError::Listen(address, error))
}
