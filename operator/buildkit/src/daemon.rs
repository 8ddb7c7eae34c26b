//! `buildkitd` of one build.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use imagefactory_core::step::buildkit::BuildkitStep;

use crate::error::{LaunchError, file};
use crate::inner::clean_command;
use crate::platforms::read_platforms;
use crate::say;
use crate::tail::last_lines;
use crate::workdir::Workdir;

/// How long the daemon may take to answer. It takes less than a second; a busy node needs more.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a daemon that no longer answers may take to be gone.
const LAST_WORDS: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);
/// What the programs of the image inherit, if it is set: where pull credentials and certificate authorities lie.
const PASSED_ON: [&str; 2] = ["DOCKER_CONFIG", "SSL_CERT_FILE"];
/// Where the programs of the image lie.
const BINARIES: &str = "/usr/bin";

/// A running daemon. It is killed when this is dropped: its state ends with the pod.
pub struct Daemon {
    process: Child,
    step: BuildkitStep,
    workdir: Workdir,
}

/// A program of the image, with the environment that both daemon and client need.
pub(crate) fn program(name: &str, step: &BuildkitStep, workdir: &Workdir) -> Command {
    let mut command = clean_command(&format!("{BINARIES}/{name}"));
    command
        .env("PATH", BINARIES)
        .env("HOME", workdir.home())
        .env("TMPDIR", workdir.temporary())
        .env("XDG_RUNTIME_DIR", workdir.run())
        .envs(step.proxy.variables());
    for name in PASSED_ON {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command
}

impl Daemon {
    /// Starts it.
    ///
    /// # Errors
    /// No log file, no program.
    pub fn start(step: &BuildkitStep, workdir: &Workdir) -> Result<Self, LaunchError> {
        let log_path = workdir.daemon_log();
        let log = File::create(&log_path).map_err(file("making", &log_path))?;
        let process = program("buildkitd", step, workdir)
            .arg("--config")
            .arg(workdir.configuration())
            .args(["--rootless", "--oci-worker-no-process-sandbox"])
            .stderr(log)
            .spawn()
            .map_err(|source| LaunchError::Program {
                program: "buildkitd",
                source,
            })?;
        Ok(Self {
            process,
            step: step.clone(),
            workdir: workdir.clone(),
        })
    }

    /// Waits until it answers; the platforms whose programs it can run.
    ///
    /// # Errors
    /// A daemon that ended, or was silent for too long.
    pub fn wait_until_it_answers(&mut self) -> Result<Vec<String>, LaunchError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.still_lives()?;
            if self.workdir.socket().exists()
                && let Some(platforms) = self.ask()?
            {
                return Ok(platforms);
            }
            if Instant::now() > deadline {
                self.show_log();
                return Err(LaunchError::Daemon("did not answer".to_owned()));
            }
            thread::sleep(PAUSE);
        }
    }

    fn ask(&self) -> Result<Option<Vec<String>>, LaunchError> {
        let output = program("buildctl", &self.step, &self.workdir)
            .arg(format!("--addr={}", self.workdir.address()))
            .args(["debug", "workers", "--format={{json .}}"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .output()
            .map_err(|source| LaunchError::Program {
                program: "buildctl",
                source,
            })?;
        Ok(output.status.success().then(|| read_platforms(&output.stdout)))
    }

    /// Whether it survived the build. The socket of a process that is killed closes before its parent can see its end,
    /// so the daemon is asked, and waited for where it is silent.
    ///
    /// # Errors
    /// How it ended, or that it is silent.
    pub fn survived(&mut self) -> Result<(), LaunchError> {
        if self.ask()?.is_some() {
            return Ok(());
        }
        let deadline = Instant::now() + LAST_WORDS;
        while Instant::now() < deadline {
            self.still_lives()?;
            thread::sleep(PAUSE);
        }
        self.show_log();
        Err(LaunchError::Daemon("no longer answers".to_owned()))
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// How it ended, its last lines shown.
    fn still_lives(&mut self) -> Result<(), LaunchError> {
        match self.process.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                self.show_log();
                Err(LaunchError::Daemon(format!("ended by itself ({status})")))
            }
            Err(source) => Err(LaunchError::Program {
                program: "buildkitd",
                source,
            }),
        }
    }

    fn show_log(&self) {
        for line in last_lines(&self.workdir.daemon_log(), 20) {
            say(&format!("buildkitd: {line}"));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Where it is gone already, nothing is left to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
