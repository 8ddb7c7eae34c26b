//! Measures the operator: on an API server of its own, beside a contender that decides nothing, in one run.
//!
//! | module | does |
//! |---|---|
//! | [`rig`] | brings up a control plane (`imagefactory_rig`), the operator and the rest, and takes all down |
//! | [`double`] | the kubelet's double: ends pods with the reports of a good build |
//! | [`recorded`], [`null`] | the contender that decides nothing: repeats what the operator wrote for one build |
//! | [`https`], [`pace`] | reviews, sent as the API server sends them, each when it is due |
//! | [`load`], [`observer`], [`audit`] | makes builds, or others' runs; sees when what came; counts requests |
//! | [`figures`], [`output`] | what is measured, and how it is told |
//!
//! `docs/benchmarks.md` says what the figures mean and what they do not.

mod audit;
mod double;
mod figures;
mod https;
mod load;
mod null;
mod observer;
mod output;
mod pace;
mod recorded;
mod rig;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use imagefactory_rig::{error, reports};

use error::{BenchError, Result, Trying};
use figures::{Group, Scale};
use output::Figures;
use rig::Places;

#[derive(Debug, Parser)]
#[command(name = "bench", about = "Measures the operator")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Takes figures and prints them.
    Run(RunArgs),
    /// Plays the kubelet.
    #[command(hide = true)]
    Double {
        #[arg(long)]
        kubeconfig: PathBuf,
        /// Label of the pods that it ends.
        #[arg(long)]
        pods: String,
    },
    /// Plays the contender that decides nothing.
    #[command(hide = true)]
    Null {
        #[arg(long)]
        kubeconfig: PathBuf,
        #[arg(long)]
        recorded: PathBuf,
        /// A build is over when its first pod is.
        #[arg(long)]
        one_pod: bool,
    },
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Directory of etcd, kube-apiserver and kube-controller-manager.
    #[arg(long)]
    tools: PathBuf,
    /// The operator's program.
    #[arg(long)]
    operator: PathBuf,
    /// The webhook's program; by default the one beside the operator's.
    #[arg(long)]
    webhook: Option<PathBuf>,
    /// A file with lines of figures that were taken elsewhere, to stand in the same table.
    #[arg(long)]
    lines: Option<PathBuf>,
    /// The repository.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// How much of everything.
    #[arg(long, value_enum, default_value = "full")]
    scale: Scale,
    /// Builds that are drained in each block, instead of the scale's.
    #[arg(long)]
    drain: Option<usize>,
    /// Finished builds that are kept, instead of the scale's.
    #[arg(long)]
    finished: Option<usize>,
    /// Which figures.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["work", "long", "keeping", "fairness", "door", "audit"])]
    groups: Vec<Group>,
}

fn main() -> ExitCode {
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return ExitCode::FAILURE;
    }
    match work(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell a failure to.
            let _ = writeln!(std::io::stderr(), "error: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn work(command: Command) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .trying("could not start the runtime")?;
    runtime.block_on(async {
        match command {
            Command::Run(args) => run(args).await,
            Command::Double { kubeconfig, pods } => double::run(&kubeconfig, &pods).await,
            Command::Null {
                kubeconfig,
                recorded,
                one_pod,
            } => null::run(&kubeconfig, &recorded, one_pod).await,
        }
    })
}

/// Takes figures until they are there or somebody asks to end: either way everything that was started is taken down.
async fn run(args: RunArgs) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).trying("could not listen for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).trying("could not listen for signals")?;
    let mut sizes = args.scale.sizes();
    sizes.drain = args.drain.unwrap_or(sizes.drain);
    sizes.units = args.drain.unwrap_or(sizes.units);
    sizes.finished = args.finished.unwrap_or(sizes.finished);
    let places = Places {
        tools: args.tools,
        webhook: args.webhook.unwrap_or_else(|| args.operator.with_file_name("webhook")),
        operator: args.operator,
        root: args.root,
    };
    let mut figures = Figures::default();
    if let Some(lines) = &args.lines {
        figures.take_in(&std::fs::read_to_string(lines).trying("could not read the lines")?)?;
    }
    let taken = tokio::select! {
        taken = figures::take(&places, &args.groups, sizes, &mut figures) => taken,
        _ = terminate.recv() => Err(BenchError::Stopped),
        _ = interrupt.recv() => Err(BenchError::Stopped),
    };
    writeln!(std::io::stdout(), "\n{}", figures.table()).trying("could not print")?;
    taken
}
