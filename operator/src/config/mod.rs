//! Every flag and variable, and the installation's settings, read and checked once.

mod audit;
mod check;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use imagefactory_core::settings::Settings;
use imagefactory_serving::logging::LogFormat;

pub use audit::{AuditCommand, AuditListArgs, AuditOutput, AuditServeArgs, AuditVerifyArgs, DatabaseArgs};
pub use check::Problem;

/// Image Factory's operator.
#[derive(Debug, Parser)]
#[command(name = "operator", about = "Image Factory's operator", arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The roles of the program.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Turns Tenants, Projects and Builds into what they ask for.
    Run(RunArgs),
    /// Places staging credentials in tenants' namespaces, and makes the scanner's token.
    Credentials(CredentialsArgs),
    /// Asks whether the release answers; `helm test` runs it in the cluster.
    Selftest(SelftestArgs),
    /// Prints the logs that are kept of a build or a scan.
    Logs(LogsArgs),
    /// Stores, lists and verifies the audit.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Prints the CustomResourceDefinitions as YAML.
    Crds,
    /// Prints the version.
    Version,
}

/// Flags of the role `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// What both roles take.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Length of the leader's lease, in seconds.
    #[arg(long, env = "LEASE_SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(3..=120))]
    pub lease_seconds: u64,
    /// Address of the audit's intake, as in https://image-factory-audit.image-factory-system.svc:8443. Without it the audit is
    /// told nothing.
    #[arg(long, env = "AUDIT_URL")]
    pub audit_url: Option<http::Uri>,
    /// File of the token that the intake knows us by.
    #[arg(long, default_value = "/var/run/image-factory/audit/token")]
    pub audit_token: PathBuf,
    /// File of the authorities that sign the intake's certificate. It is read again when it changes.
    #[arg(long, default_value = "/var/run/image-factory/audit/ca.crt")]
    pub audit_ca: PathBuf,
}

/// Flags of the role `credentials`.
#[derive(Debug, Args)]
pub struct CredentialsArgs {
    /// What both roles take.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Directory with a docker configuration for each tenant, `<tenant>.json`, and `_default.json` for all others.
    #[arg(long, env = "CREDENTIALS_SOURCE", default_value = "/credentials/source")]
    pub source: PathBuf,
}

/// Flags of the role `selftest`.
#[derive(Debug, Args)]
pub struct SelftestArgs {
    /// The installation's settings, which the chart writes.
    #[arg(long, env = "CONFIG", default_value = "/etc/image-factory/config.yaml")]
    pub config: PathBuf,
    /// How long to ask again before a check counts as failed, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub wait_seconds: u64,
}

/// Flags of the command `logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// What the logs are of: with --namespace `<build>` or `<kind>/<name>`, as in `imagescan/nightly`; without it
    /// `<namespace>/<build>`, or `<tenant>/<project>/<uid>` of a Build or an ImageScan that is gone.
    pub name: String,
    /// Namespace of the Build or the ImageScan.
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// Only this attempt.
    #[arg(long)]
    pub attempt: Option<u32>,
    /// Only this container, as in `build`.
    #[arg(short, long)]
    pub container: Option<String>,
    /// The installation's settings, which the chart writes.
    #[arg(long, env = "CONFIG", default_value = "/etc/image-factory/config.yaml")]
    pub config: PathBuf,
}

/// Flags of both roles.
#[derive(Debug, Args)]
pub struct CommonArgs {
    /// The installation's settings, which the chart writes.
    #[arg(long, env = "CONFIG", default_value = "/etc/image-factory/config.yaml")]
    pub config: PathBuf,
    /// Where /metrics, /healthz, /livez and /readyz are served.
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Form of the log. What is logged, RUST_LOG says.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
    /// Name of the pod that the process runs in. Default: the host's name with a random suffix.
    #[arg(long, env = "POD_NAME", hide = true)]
    pub pod_name: Option<String>,
}

impl RunArgs {
    /// Length of the leader's lease.
    #[must_use]
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds)
    }
}

/// Why the settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("could not read the settings {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what the chart writes.
    #[error("could not parse the settings {path}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why, and where.
        source: serde_yaml::Error,
    },
    /// Values that can't be.
    #[error("the settings {path} can't be used: {}", Problem::list(.problems))]
    Check {
        /// The file.
        path: PathBuf,
        /// All of them.
        problems: Vec<Problem>,
    },
}

/// Reads and checks the settings.
///
/// # Errors
/// When they can't be read, parsed or used. All problems are told at once.
pub fn load(path: &Path) -> Result<Settings, ConfigError> {
    let path = path.to_owned();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(ConfigError::Read { path, source }),
    };
    let settings: Settings = match serde_yaml::from_str(&text) {
        Ok(settings) => settings,
        Err(source) => return Err(ConfigError::Parse { path, source }),
    };
    let problems = check::problems(&settings);
    if problems.is_empty() {
        Ok(settings)
    } else {
        Err(ConfigError::Check { path, problems })
    }
}

#[cfg(test)]
mod tests;
