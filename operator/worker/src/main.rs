//! `worker prepare|load-cache|push|install|resolve|scan|evaluate|publish|unstage`: one step of a build or a scan. What to do stands in the
//! environment, what was done in the termination message. `worker launch <program> [<argument>…]` starts a builder of another image.

use std::process::ExitCode;

use imagefactory_worker::{entry, launch};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|word| word == "launch") {
        return launch::run(arguments);
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(false)
        .init();
    // The first one installed counts; nothing before this line can have installed another.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::error!("another TLS provider was installed before ours");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the runtime could not be started");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(entry::run(std::env::args().nth(1).as_deref()));
    // A step that was stopped may have left a thread behind that reads or fetches: it is not waited for.
    runtime.shutdown_background();
    code
}
