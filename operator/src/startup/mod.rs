//! The roles of the program, from first breath to last: log, settings, runtime, and then [`leading`] or
//! [`crate::credentials`].

mod audit;
mod client;
mod error;
mod leading;

pub use audit::{audit, audit_list, audit_verify};
pub use error::{StartupError, report};

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use imagefactory_core::settings::Settings;
use kube::Client;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::archive::Archive;
use crate::config::{self, CommonArgs, CredentialsArgs, LogsArgs, RunArgs, SelftestArgs};
use crate::credentials;
use crate::metrics::{Health, Metrics};
use crate::selftest::{self, Release};
use crate::show_logs;
use imagefactory_serving::Gates;
use imagefactory_serving::plain::{self, Served};
use imagefactory_serving::{logging, signals};

/// What both roles begin with.
pub(crate) struct Role {
    pub(crate) settings: Arc<Settings>,
    pub(crate) client: Client,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) ready: Gates,
    pub(crate) alive: Gates,
    /// Cancelled when the process is asked to end.
    pub(crate) stop: CancellationToken,
}

/// The role `run`.
///
/// # Errors
/// When it can't begin, or must not go on: a lost lease, a task that ended.
pub fn run(args: &RunArgs) -> Result<(), StartupError> {
    logging::begin(args.common.log_format);
    runtime()?.block_on(async {
        let role = begin(&args.common).await?;
        leading::lead(role, args).await
    })
}

/// The role `credentials`.
///
/// # Errors
/// When it can't begin, or must not go on.
pub fn credentials(args: CredentialsArgs) -> Result<(), StartupError> {
    logging::begin(args.common.log_format);
    runtime()?.block_on(async {
        let role = begin(&args.common).await?;
        credentials::run(role, args.source)
            .await
            .map_err(StartupError::Credentials)
    })
}

/// The role `selftest`.
///
/// # Errors
/// When it can't begin, or a check failed.
pub fn selftest(args: &SelftestArgs, out: &mut impl Write) -> Result<(), StartupError> {
    let settings = config::load(&args.config)?;
    let failed = runtime()?.block_on(async {
        let release = Release {
            api: client::connect(Arc::default()).await?,
            operator: client::to(&selftest::operator_url(&settings))?,
            settings: &settings,
        };
        let patience = Duration::from_secs(args.wait_seconds);
        Ok::<_, StartupError>(selftest::run(&release, patience, out).await?)
    })?;
    match failed {
        0 => Ok(()),
        failed => Err(StartupError::Selftest(failed)),
    }
}

/// The command `logs`.
///
/// # Errors
/// When the build or its logs can't be found or read.
pub fn logs(args: &LogsArgs) -> Result<(), StartupError> {
    let settings = config::load(&args.config)?;
    let archive = Archive::open(&settings)?;
    let mut output = std::io::stdout();
    let shown = show_logs::show(args, Client::try_default(), &archive, &mut output);
    Ok(Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartupError::Runtime)?
        .block_on(shown)?)
}

fn runtime() -> Result<Runtime, StartupError> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(StartupError::Runtime)
}

async fn begin(args: &CommonArgs) -> Result<Role, StartupError> {
    let settings = config::load(&args.config)?;
    info!(version = env!("CARGO_PKG_VERSION"), config = %args.config.display(), "starting");
    if !settings.require_user_namespaces {
        warn!("pods of tenants run WITHOUT user namespaces: requireUserNamespaces is false");
    }
    let metrics = Arc::new(Metrics::default());
    let role = Role {
        settings: Arc::new(settings),
        client: client::connect(metrics.clone()).await?,
        metrics,
        ready: Gates::default(),
        alive: Gates::default(),
        stop: signals::stop().map_err(StartupError::Runtime)?,
    };
    role.metrics.add_collector(Health(role.ready.clone()));
    serve(plain::bind(args.listen).await?, &role);
    Ok(role)
}

/// Serves metrics and health until the process ends: its last seconds are worth looking at too.
fn serve(listener: TcpListener, role: &Role) {
    let served = Served {
        metrics: role.metrics.shown().clone(),
        ready: role.ready.clone(),
        alive: role.alive.clone(),
    };
    tokio::spawn(plain::serve(listener, served, CancellationToken::new()));
}
