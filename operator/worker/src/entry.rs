//! From environment to termination message: which step, what it is told, what it says.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

use imagefactory_core::step::{Builder, PrepareStep, Prepared, Pushed, Report, STEP_VARIABLE, StepFailure};
use imagefactory_crds::build::FailureClass;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::signal::unix::{SignalKind, signal};

use crate::ca::{self, Roots};
use crate::failure::{ca_failure, failure};
use crate::places::Places;
use crate::{cache, evaluate, install, prepare, publish, push, resolve, scan, unstage};

/// Variable that names another file for the termination message. For tests.
pub const TERMINATION_LOG_VARIABLE: &str = "TERMINATION_LOG";
/// Variable that names another root for everything that is mounted. For tests.
pub const ROOT_VARIABLE: &str = "IMAGEFACTORY_ROOT";
const TERMINATION_LOG: &str = "/dev/termination-log";

/// Where the termination message goes.
pub(crate) fn termination_log() -> PathBuf {
    std::env::var_os(TERMINATION_LOG_VARIABLE).map_or_else(|| PathBuf::from(TERMINATION_LOG), PathBuf::from)
}

/// Where everything is mounted.
pub(crate) fn places() -> Places {
    std::env::var_os(ROOT_VARIABLE).map_or_else(Places::default, Places::below)
}

/// What a shell reports of a process that was ended by SIGTERM.
const TERMINATED: u8 = 143;

/// Does a step, writes its report, and tells by the exit code whether it did its work.
pub async fn run(command: Option<&str>) -> ExitCode {
    let places = places();
    let message = Message::new(termination_log());
    tokio::select! {
        report = dispatch(command, &places, &message) => message.finish(&report),
        () = stopped() => message.broken_off(),
    }
}

/// The termination message.
struct Message {
    path: PathBuf,
    told: OnceLock<String>,
}

impl Message {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            told: OnceLock::new(),
        }
    }

    /// Writes what is done already, for the case that the step does not come to its end.
    fn tell<T: Serialize>(&self, done: &T) {
        let text = Report::Done(done).encode();
        match std::fs::write(&self.path, &text) {
            Ok(()) => drop(self.told.set(text)),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "report could not be written before the step's end");
            }
        }
    }

    fn finish(&self, report: &Written) -> ExitCode {
        // What stands there is not written again: for a moment it would not stand there.
        if self.told.get() != Some(&report.text)
            && let Err(error) = std::fs::write(&self.path, &report.text)
        {
            tracing::error!(path = %self.path.display(), %error, "report could not be written");
            return ExitCode::FAILURE;
        }
        if report.done {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn broken_off(&self) -> ExitCode {
        if self.told.get().is_some() {
            tracing::warn!("step was stopped when its work was done");
            return ExitCode::SUCCESS;
        }
        tracing::warn!("step was stopped before its end");
        ExitCode::from(TERMINATED)
    }
}

/// A report as it is written, and whether it is a good one.
struct Written {
    text: String,
    done: bool,
}

async fn dispatch(command: Option<&str>, places: &Places, message: &Message) -> Written {
    match command {
        Some("prepare") => step(async |told| prepared(&told, places).await).await,
        Some("load-cache") => step(async |told| cache::load(&told, places, &roots(places)?).await).await,
        Some("push") => {
            let tell = |pushed: &Pushed| message.tell(pushed);
            step(async |told| push::run(&told, places, &roots(places)?, tell).await).await
        }
        Some("evaluate") => step(async |told| evaluate::run(&told, places, &roots(places)?).await).await,
        Some("publish") => step(async |told| publish::run(&told, places, &roots(places)?).await).await,
        Some("unstage") => step(async |told| unstage::run(&told, places, &roots(places)?).await).await,
        Some("resolve") => step(async |told| resolve::run(&told, places, &roots(places)?).await).await,
        Some("scan") => step(async |told| scan::run(&told, places).await).await,
        // Told by its name alone.
        Some("install") => write(install::run(places)),
        _ => write::<()>(Err(invalid(
            "the worker knows the steps prepare, load-cache, push, install, resolve, scan, evaluate, publish and unstage",
        ))),
    }
}

/// Prepares a build, and leaves the program there that starts a builder which has no entry point of ours.
async fn prepared(told: &PrepareStep, places: &Places) -> Result<Prepared, StepFailure> {
    let prepared = prepare::run_in(told, places).await?;
    if told.builder == Builder::Kaniko {
        install::launcher(places)?;
    }
    Ok(prepared)
}

async fn step<S: DeserializeOwned, T: Serialize>(work: impl AsyncFnOnce(S) -> Result<T, StepFailure>) -> Written {
    match told() {
        Ok(told) => write(work(told).await),
        Err(failure) => write::<T>(Err(failure)),
    }
}

fn told<S: DeserializeOwned>() -> Result<S, StepFailure> {
    let text = std::env::var(STEP_VARIABLE).map_err(|_| invalid("no step in the environment"))?;
    serde_json::from_str(&text).map_err(|error| invalid(&format!("the step can't be read: {error}")))
}

fn invalid(message: &str) -> StepFailure {
    failure(
        FailureClass::Infrastructure,
        "InvalidStep",
        message,
        "Check that operator and worker are of the same version.",
    )
}

fn roots(places: &Places) -> Result<Roots, StepFailure> {
    ca::install(places, false).map_err(|error| ca_failure(&error))
}

fn write<T: Serialize>(result: Result<T, StepFailure>) -> Written {
    let done = result.is_ok();
    match &result {
        Ok(_) => tracing::info!("step is done"),
        Err(StepFailure {
            class,
            reason,
            message,
            next,
        }) => {
            tracing::error!(class = class.as_str(), reason, next, "step failed: {message}");
        }
    }
    Written {
        text: result.map_or_else(Report::Failed, Report::Done).encode(),
        done,
    }
}

/// The kubelet's way to end a pod. The first process of a container is not ended by the signal itself.
async fn stopped() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            terminate.recv().await;
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM can't be waited for");
            std::future::pending::<()>().await;
        }
    }
}
