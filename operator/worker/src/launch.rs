//! `launch`: first process of a container that runs another image's program, and tenant code with it. It changes nothing of
//! what that program reads, says and ends with; it passes signals on, takes what the program left behind, and tells at
//! the end what the container used ([`usage`]). It holds nothing, so tenant code finds nothing in it.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::process::{Command, ExitCode};

use imagefactory_core::step::usage;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::entry;

/// What a shell says of a program that it can't start.
const NOT_STARTED: u8 = 127;
/// What a shell adds to the number of the signal that ended a program.
const BY_SIGNAL: i32 = 128;

/// Runs a program with its arguments to its end, and ends with its exit code.
#[must_use]
pub fn run(command: impl Iterator<Item = OsString>) -> ExitCode {
    match supervise(command) {
        Ok(code) => {
            tell_usage(code);
            ExitCode::from(code)
        }
        Err(error) => {
            say(&format!("imagefactory: the builder can't be run: {error}"));
            ExitCode::from(NOT_STARTED)
        }
    }
}

/// A runtime of one thread, for signals alone: its memory is the container's, which is the build's.
fn supervise(mut command: impl Iterator<Item = OsString>) -> io::Result<u8> {
    let program = command
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program is named"))?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before the program starts: none of them is missed, and what is handled here is as usual in a new program.
        let mut ended = signal(SignalKind::child())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let child = Pid::from_child(&Command::new(program).args(command).spawn()?);
        loop {
            tokio::select! {
                _ = ended.recv() => if let Some(code) = reap(child)? {
                    return Ok(code);
                },
                _ = terminate.recv() => pass_on(child, Signal::TERM),
                _ = interrupt.recv() => pass_on(child, Signal::INT),
            }
        }
    })
}

fn pass_on(child: Pid, signal: Signal) {
    // Gone meanwhile: its end is told next.
    let _ = kill_process(child, signal);
}

/// Takes all that ended, orphans of the program included; the exit code of the program if it did.
fn reap(child: Pid) -> io::Result<Option<u8>> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == child => {
                let by_signal = || status.terminating_signal().map(|signal| BY_SIGNAL + signal);
                let code = status.exit_status().or_else(by_signal).unwrap_or_default();
                return Ok(Some(u8::try_from(code).unwrap_or(u8::MAX)));
            }
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// In the log, and in the termination message of a program that ended well: of another, the kubelet puts the log's end
/// there, if nothing else is.
fn tell_usage(code: u8) {
    let places = entry::places();
    let Some(used) = usage::measure(|path| fs::read_to_string(places.path(path)).ok()) else {
        return;
    };
    say(&used.line());
    if code == 0
        && let Err(error) = fs::write(entry::termination_log(), used.line())
    {
        say(&format!("imagefactory: what was used can't be told: {error}"));
    }
}

fn say(line: &str) {
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(io::stderr(), "{line}");
}
