//! PID 1 of the container: starts the inner process, reaps what build steps leave behind, and ends at once on SIGTERM,
//! which ends everything: the kernel kills a PID namespace with its first process.

use std::process::{Child, Command, Stdio};

use imagefactory_core::step::STEP_VARIABLE;
use imagefactory_core::step::buildkit::{BuildkitStep, EXIT_DAEMON, EXIT_TERMINATED};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::check::check;
use crate::error::LaunchError;
use crate::{namespace, say, used};

/// Runs the build that the environment names; the container's exit code.
#[must_use]
pub fn run() -> u8 {
    match launch() {
        Ok(code) => {
            used::tell(code);
            code
        }
        Err(error) => {
            say(&error.in_full());
            error.exit_code()
        }
    }
}

/// The step that the environment names, looked through.
///
/// # Errors
/// No step, one that is not readable, and one that can't be passed on safely.
pub fn read_step() -> Result<BuildkitStep, LaunchError> {
    let text = std::env::var(STEP_VARIABLE).map_err(|_| LaunchError::NoStep(STEP_VARIABLE))?;
    let step = serde_json::from_str(&text).map_err(LaunchError::UnreadableStep)?;
    check(&step).map_err(LaunchError::Refused)?;
    Ok(step)
}

fn launch() -> Result<u8, LaunchError> {
    read_step()?;
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD].into_iter().collect();
    signals
        .thread_block()
        .map_err(|error| LaunchError::System("signals could not be blocked", error))?;
    let mut child = start_inner()?;
    if let Err(error) = namespace::map_child(&mut child) {
        // It has said why already; what is missing is its end.
        let _ = child.kill();
        let _ = child.wait();
        return Err(error);
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    wait_for(pid, &signals)
}

fn start_inner() -> Result<Child, LaunchError> {
    Command::new("/proc/self/exe")
        .arg("inner")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|source| LaunchError::Program {
            program: "the inner process",
            source,
        })
}

fn wait_for(inner: Pid, signals: &SigSet) -> Result<u8, LaunchError> {
    loop {
        match signals.wait() {
            Ok(Signal::SIGCHLD) => {
                if let Some(code) = reap(inner)? {
                    return Ok(code);
                }
            }
            Ok(_) => {
                say("ended by SIGTERM");
                // Where this process is not PID 1, nobody else would end it.
                let _ = kill(inner, Signal::SIGKILL);
                return Ok(EXIT_TERMINATED);
            }
            Err(Errno::EINTR) => {}
            Err(error) => return Err(LaunchError::System("waiting for a signal", error)),
        }
    }
}

/// Takes all that ended, orphans of build steps included; the code of the inner process if it did.
fn reap(inner: Pid) -> Result<Option<u8>, LaunchError> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == inner => {
                return Ok(Some(u8::try_from(code).unwrap_or(EXIT_DAEMON)));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == inner => {
                say(&format!("the inner process was ended by {signal}"));
                return Ok(Some(EXIT_DAEMON));
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(None),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(LaunchError::System("waiting for a process", error)),
        }
    }
}
