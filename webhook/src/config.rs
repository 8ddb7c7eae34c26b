//! Flags. What decisions rest on is in a file instead ([`crate::settings`]).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use imagefactory_serving::logging::LogFormat;
use jiff::SignedDuration;

use crate::certs::Terms;
use crate::certs::cluster::Names;

/// Image Factory's admission webhook.
#[derive(Clone, Debug, Parser)]
#[command(name = "webhook", version)]
pub struct Args {
    /// Address of the secure port.
    #[arg(long, default_value = "[::]:8443")]
    pub listen: SocketAddr,
    /// Address of the plain port: metrics and health.
    #[arg(long, default_value = "[::]:8080")]
    pub health_listen: SocketAddr,
    /// File with what decisions rest on.
    #[arg(long, default_value = "/etc/image-factory/settings.json")]
    pub settings: PathBuf,
    /// Namespace of the release.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: String,
    /// Prefix of names of the release's objects.
    #[arg(long)]
    pub prefix: String,
    /// Longest silence of a watch before nothing is decided any more, in seconds.
    #[arg(long, default_value_t = 180)]
    pub stale_seconds: u64,
    /// Where certificates come from.
    #[arg(long, value_enum, default_value_t = Certificates::Own)]
    pub certificates: Certificates,
    /// With `files`: folder of tls.crt and tls.key.
    #[arg(long, default_value = "/var/run/image-factory/certificates")]
    pub certificates_folder: PathBuf,
    /// With `self`: life of a leaf, in seconds.
    #[arg(long, default_value_t = 2_592_000)]
    pub leaf_seconds: u32,
    /// With `self`: life of an authority, in seconds.
    #[arg(long, default_value_t = 63_072_000)]
    pub authority_seconds: u32,
    /// With `self`: how long a new authority is only trusted before it signs, in seconds.
    #[arg(long, default_value_t = 900)]
    pub settle_seconds: u32,
    /// How long answers ask clients to open new connections before the process ends, in seconds.
    #[arg(long, default_value_t = 5)]
    pub linger_seconds: u64,
    /// Address of the audit's intake, as in https://image-factory-audit.image-factory-system.svc:8443. Without it events go
    /// to the log alone.
    #[arg(long)]
    pub audit_url: Option<http::Uri>,
    /// File of the token that the intake knows us by.
    #[arg(long, default_value = "/var/run/image-factory/audit/token")]
    pub audit_token: PathBuf,
    /// File of the authorities that sign the intake's certificate. With certificates of its own the webhook knows them.
    #[arg(long)]
    pub audit_ca: Option<PathBuf>,
    /// Folder of the spool: a volume that outlives the container.
    #[arg(long, default_value = "/var/spool/image-factory")]
    pub spool: PathBuf,
    /// Most bytes of the spool.
    #[arg(long, default_value_t = 67_108_864)]
    pub spool_bytes: u64,
    /// How long the spool may be drained at the end, in seconds.
    #[arg(long, default_value_t = 25)]
    pub drain_seconds: u64,
    /// Form of the log.
    #[arg(long, value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
}

/// Where certificates come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Certificates {
    /// Made, renewed and shared by the replicas themselves.
    #[value(name = "self")]
    Own,
    /// Mounted, and kept current by somebody else.
    Files,
}

impl Args {
    /// What our objects are called.
    #[must_use]
    pub fn names(&self) -> Names {
        Names {
            namespace: self.namespace.clone(),
            prefix: self.prefix.clone(),
        }
    }

    /// How long certificates live.
    #[must_use]
    pub fn terms(&self) -> Terms {
        let seconds = |count: u32| SignedDuration::from_secs(i64::from(count));
        Terms {
            names: self.names().dns("webhook"),
            leaf: seconds(self.leaf_seconds),
            authority: seconds(self.authority_seconds),
            settle: seconds(self.settle_seconds),
        }
    }

    /// Longest silence of a watch.
    #[must_use]
    pub fn stale(&self) -> Duration {
        Duration::from_secs(self.stale_seconds)
    }
}
