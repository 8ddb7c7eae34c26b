//! The operator's program: one role for each process.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use imagefactory_operator::config::{AuditCommand, Cli, Command};
use imagefactory_operator::{crds, startup};

fn main() -> ExitCode {
    // Before anything speaks TLS: exactly one provider, whatever dependencies link.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return ExitCode::FAILURE;
    }
    let ended = match Cli::parse().command {
        Command::Run(args) => startup::run(&args),
        Command::Credentials(args) => startup::credentials(args),
        Command::Selftest(args) => startup::selftest(&args, &mut std::io::stdout()),
        Command::Logs(args) => startup::logs(&args),
        Command::Audit(AuditCommand::Serve(args)) => startup::audit(*args),
        Command::Audit(AuditCommand::List(args)) => startup::audit_list(&args, &mut std::io::stdout().lock()),
        Command::Audit(AuditCommand::Verify(args)) => startup::audit_verify(&args, &mut std::io::stdout().lock()),
        Command::Crds => crds::print(&mut std::io::stdout().lock()).map_err(Into::into),
        Command::Version => writeln!(std::io::stdout(), "operator {}", env!("CARGO_PKG_VERSION")).map_err(Into::into),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => startup::report(&error),
    }
}
