//! The webhook's program.

use std::process::ExitCode;

use clap::Parser;
use imagefactory_webhook::config::Args;
use imagefactory_webhook::startup;

fn main() -> ExitCode {
    // Before anything speaks TLS: exactly one provider, whatever dependencies link.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return ExitCode::FAILURE;
    }
    match startup::run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = imagefactory_webhook::chain(&error), "ended");
            ExitCode::FAILURE
        }
    }
}
