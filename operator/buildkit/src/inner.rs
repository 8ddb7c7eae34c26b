//! The process in the namespaces: daemon up, one build, daemon down.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};

use imagefactory_core::step::buildkit::{BuildkitStep, EXIT_BUILD_FAILED, EXIT_NO_EMULATION};

use crate::arguments::build_arguments;
use crate::daemon::{Daemon, program};
use crate::error::LaunchError;
use crate::outer::read_step;
use crate::platforms::{not_runnable, wanted_in_vain};
use crate::tail::Tail;
use crate::workdir::Workdir;
use crate::{namespace, say};

/// Enters the namespaces and builds; the exit code.
#[must_use]
pub fn run() -> u8 {
    match namespace::enter()
        .and_then(|()| read_step())
        .and_then(|step| build(&step))
    {
        Ok(code) => code,
        Err(error) => {
            say(&error.in_full());
            error.exit_code()
        }
    }
}

fn build(step: &BuildkitStep) -> Result<u8, LaunchError> {
    let workdir = Workdir::new(&step.state);
    workdir.prepare(step)?;
    let mut daemon = Daemon::start(step, &workdir)?;
    let runnable = daemon.wait_until_it_answers()?;
    let foreign = not_runnable(&step.platforms, &runnable);
    if !foreign.is_empty() {
        say(&format!(
            "no emulation for {} on this node: a RUN step of that platform will fail",
            foreign.join(", ")
        ));
    }
    let (status, tail) = run_client(step, &workdir)?;
    if status.success() {
        return Ok(0);
    }
    // The kernel for want of memory, or a step: a build that failed by itself has an exit code.
    if let Some(signal) = status.signal() {
        return Err(LaunchError::Client(signal));
    }
    // A build fails as well when its daemon does, and that is nothing that a Dockerfile can mend.
    daemon.survived()?;
    if let Some(platform) = wanted_in_vain(&foreign, &tail) {
        say(&format!(
            "no emulation for {platform} on this node: a RUN step needs it. Build on a node of that platform or one with \
             emulation (binfmt_misc with QEMU), or let RUN steps work for the node's platform (FROM --platform=$BUILDPLATFORM)"
        ));
        return Ok(EXIT_NO_EMULATION);
    }
    Ok(EXIT_BUILD_FAILED)
}

/// Runs `buildctl build`, its log passed on as it comes; how it ended, and the end of its log.
fn run_client(step: &BuildkitStep, workdir: &Workdir) -> Result<(ExitStatus, Tail), LaunchError> {
    let failed = |source| LaunchError::Program {
        program: "buildctl",
        source,
    };
    let mut client = program("buildctl", step, workdir)
        .args(build_arguments(step, workdir))
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut tail = Tail::default();
    if let Some(mut log) = client.stderr.take() {
        tail.pass_on(&mut log, &mut io::stderr()).map_err(failed)?;
    }
    let status = client.wait().map_err(failed)?;
    Ok((status, tail))
}

/// A program of the image with an environment of ours alone: of what the container was told, the step above all,
/// nothing goes on to a process that tenant code could look at.
pub(crate) fn clean_command(path: &str) -> Command {
    let mut command = Command::new(path);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null());
    command
}
