//! The log: JSON for machines or text for people, filtered by RUST_LOG.

use clap::ValueEnum;
use tracing::warn;
use tracing_subscriber::EnvFilter;

/// What is logged where RUST_LOG says nothing.
const DEFAULT: &str = "info";

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Begins the log, on standard error.
pub fn begin(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let began = match format {
        LogFormat::Json => log
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .try_init(),
        LogFormat::Text => log.try_init(),
    };
    if began.is_err() {
        warn!("a log was there already");
    }
}
