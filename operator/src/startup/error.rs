//! Why a process can't begin, or must not go on.

use std::io::Write;
use std::process::ExitCode;

use crate::archive::ArchiveError;
use crate::audit::AuditError;
use crate::config::ConfigError;
use crate::crds::PrintError;
use crate::credentials::CredentialsError;
use crate::leader::Lost;
use crate::runner::chain;
use crate::show_logs::ShowLogsError;
use imagefactory_serving::plain::ServeError;

/// Why a process can't begin, or must not go on.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// The settings can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No thread, no timer, no signal handler.
    #[error("could not start the runtime")]
    Runtime(#[source] std::io::Error),
    /// Neither a service account's token nor a kubeconfig.
    #[error("could not find out how to reach the API server")]
    Infer(#[from] kube::config::InferConfigError),
    /// The client can't be made.
    #[error("could not make the API server's client")]
    Client(#[source] kube::Error),
    /// The address of the operator's Service is none.
    #[error("could not make the operator's address")]
    Address(#[from] http::uri::InvalidUri),
    /// The port can't be opened.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Another process may act now.
    #[error("this process must not act any more")]
    Lost(#[from] Lost),
    /// A task that runs as long as the process does has ended.
    #[error("{0} ended, which it must not")]
    Ended(&'static str),
    /// The role `credentials` can't go on.
    #[error(transparent)]
    Credentials(CredentialsError),
    /// The release does not answer as it should.
    #[error("{0} of the checks failed")]
    Selftest(usize),
    /// The object store can't be opened.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Logs can't be shown.
    #[error(transparent)]
    ShowLogs(#[from] ShowLogsError),
    /// The audit can't be stored, listed or verified.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The definitions can't be printed.
    #[error(transparent)]
    Print(#[from] PrintError),
    /// The output is closed.
    #[error("could not write")]
    Output(#[from] std::io::Error),
}

/// Says why the process ends, in the log if there is one already.
pub fn report(error: &StartupError) -> ExitCode {
    let text = chain(error);
    if tracing::dispatcher::has_been_set() {
        tracing::error!(error = text, "ending");
    } else {
        // Nothing is left to tell a failure to.
        let _ = writeln!(std::io::stderr(), "error: {text}");
    }
    ExitCode::FAILURE
}
