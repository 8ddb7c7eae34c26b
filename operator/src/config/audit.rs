//! Flags of `operator audit`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use imagefactory_crds::audit::EventKind;
use imagefactory_crds::denial::Code;
use imagefactory_store::{Head, Outcome};
use jiff::Timestamp;

use super::CommonArgs;

/// What is done with the audit.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Takes events over HTTPS and stores them.
    Serve(Box<AuditServeArgs>),
    /// Lists entries, newest first.
    List(Box<AuditListArgs>),
    /// Verifies the hash chain and names the first bad entry.
    Verify(AuditVerifyArgs),
}

/// Where the audit is.
#[derive(Debug, Args)]
pub struct DatabaseArgs {
    /// The database: `sqlite:///path/to/audit.db`, or `postgres://user:password@host/database`.
    #[arg(
        long = "database",
        env = "DATABASE_URL",
        default_value = "sqlite:///var/lib/image-factory/audit/audit.db",
        hide_env_values = true
    )]
    pub url: String,
}

/// Flags of the role `audit serve`.
#[derive(Debug, Args)]
pub struct AuditServeArgs {
    /// What all roles take.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Where the audit is.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Where events are taken, over TLS.
    #[arg(long, env = "INTAKE_LISTEN", default_value = "0.0.0.0:8443")]
    pub intake: SocketAddr,
    /// File with the certificate and what leads to its authority, PEM. It is read again when it changes.
    #[arg(long, default_value = "/etc/image-factory/tls/tls.crt")]
    pub tls_cert: PathBuf,
    /// File with the certificate's key, PEM.
    #[arg(long, default_value = "/etc/image-factory/tls/tls.key")]
    pub tls_key: PathBuf,
    /// Audience that the tokens of senders are made for.
    #[arg(long, default_value = "image-factory-audit")]
    pub audience: String,
    /// User name of a sender, as in `system:serviceaccount:<namespace>:<name>`; may be given more than once.
    #[arg(long = "allow", required = true)]
    pub allowed: Vec<String>,
    /// Equal denials of one minute that are stored one by one; more become one entry with a count.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub fold_rate: u32,
}

/// Form of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuditOutput {
    /// For people.
    Table,
    /// One JSON object per line.
    Json,
}

/// Flags of the command `audit list`.
#[derive(Debug, Args)]
pub struct AuditListArgs {
    /// Where the audit is.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Not before this time, as in 2026-01-31T00:00:00Z.
    #[arg(long)]
    pub since: Option<Timestamp>,
    /// Before this time.
    #[arg(long)]
    pub until: Option<Timestamp>,
    /// User name.
    #[arg(long)]
    pub actor: Option<String>,
    /// `create`, `update`, `delete`, or a phase.
    #[arg(long)]
    pub action: Option<String>,
    /// denial, attempt, confirmation or transition.
    #[arg(long, value_parser = kind)]
    pub kind: Option<EventKind>,
    /// Kind of the resource, as in `Build`.
    #[arg(long)]
    pub resource: Option<String>,
    /// Namespace of the resource.
    #[arg(long, short)]
    pub namespace: Option<String>,
    /// Name of the resource.
    #[arg(long)]
    pub name: Option<String>,
    /// denied, confirmed, pending, unconfirmed, attempted, unattempted or happened.
    #[arg(long, value_parser = outcome)]
    pub result: Option<Outcome>,
    /// Tenant.
    #[arg(long)]
    pub tenant: Option<String>,
    /// Project.
    #[arg(long)]
    pub project: Option<String>,
    /// Code of a denial, as in `permission_denied`.
    #[arg(long, value_parser = code)]
    pub code: Option<Code>,
    /// Only entries before this one, for the next page.
    #[arg(long)]
    pub before: Option<i64>,
    /// Most entries.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(imagefactory_store::MAX_PAGE)))]
    pub limit: u32,
    /// How long an attempt may wait for its confirmation, in seconds.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub confirm_seconds: u32,
    /// Form of the list.
    #[arg(long, short, value_enum, default_value_t = AuditOutput::Table)]
    pub output: AuditOutput,
}

/// Flags of the command `audit verify`.
#[derive(Debug, Args)]
pub struct AuditVerifyArgs {
    /// Where the audit is.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// What an earlier `verify` printed, as <seq>:<hash>: the chain must still hold it.
    #[arg(long, value_parser = head)]
    pub noted: Option<Head>,
}

fn kind(word: &str) -> Result<EventKind, String> {
    EventKind::parse(word).ok_or_else(|| one_of(EventKind::ALL.map(EventKind::as_str)))
}

fn outcome(word: &str) -> Result<Outcome, String> {
    Outcome::parse(word).ok_or_else(|| one_of(Outcome::ALL.map(Outcome::as_str)))
}

fn code(word: &str) -> Result<Code, String> {
    Code::parse(word).ok_or_else(|| one_of(Code::ALL.map(Code::as_str)))
}

fn one_of<const N: usize>(words: [&str; N]) -> String {
    format!("must be one of {}", words.join(", "))
}

fn head(text: &str) -> Result<Head, String> {
    let parsed = text.split_once(':').and_then(|(seq, hash)| {
        let seq = seq.parse().ok()?;
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (is_hash && seq > 0).then(|| Head {
            seq,
            hash: hash.to_owned(),
        })
    });
    parsed.ok_or_else(|| "must be <seq>:<hash>, as verify prints it".to_owned())
}
