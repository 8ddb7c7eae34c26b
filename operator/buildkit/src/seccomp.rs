//! Keeps the seccomp profile of the chart on a node: `install-seccomp <from> <to>`, in a DaemonSet. It writes one file
//! and removes none: pods that still run with a profile of an older release name the same file, and the kubelet reads it
//! only when a container starts.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use imagefactory_core::step::buildkit::EXIT_DAEMON;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};

use crate::say;

/// How often the file is looked at.
const INTERVAL: Duration = Duration::from_secs(30);

/// Keeps `to` the same as `from` until SIGTERM; the exit code.
#[must_use]
pub fn run(from: &Path, to: &Path) -> u8 {
    let end = match end_by_signal() {
        Ok(end) => end,
        Err(error) => {
            say(&format!("signals could not be blocked: {error}"));
            return EXIT_DAEMON;
        }
    };
    loop {
        match install(from, to) {
            Ok(true) => say(&format!("{} is written", to.display())),
            Ok(false) => {}
            Err(error) => {
                say(&format!("{} could not be written: {error}", to.display()));
                return EXIT_DAEMON;
            }
        }
        if end.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
            return 0;
        }
    }
}

/// A channel that speaks when the container is asked to end.
fn end_by_signal() -> Result<Receiver<()>, Errno> {
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    signals.thread_block()?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        // An error ends the program too: better that than one that nobody can stop.
        let _ = signals.wait();
        let _ = sender.send(());
    });
    Ok(receiver)
}

/// Makes `to` the same as `from`, in one step; whether there was anything to do.
///
/// # Errors
/// What can't be read or written.
pub fn install(from: &Path, to: &Path) -> io::Result<bool> {
    let wanted = fs::read(from)?;
    match fs::read(to) {
        Ok(found) if found == wanted => return Ok(false),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(_) | Err(_) => {}
    }
    let part = to.with_extension("part");
    let mut file = fs::File::create(&part)?;
    file.write_all(&wanted)?;
    file.sync_all()?;
    fs::rename(&part, to)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_written_once_and_again_when_it_was_changed() {
        let node = tempfile::tempdir().unwrap();
        let (from, to) = (node.path().join("from.json"), node.path().join("buildkit.json"));
        fs::write(&from, "{}").unwrap();
        fs::write(node.path().join("another.json"), "another's").unwrap();
        assert!(install(&from, &to).unwrap());
        assert!(!install(&from, &to).unwrap());
        fs::write(&to, "changed by hand").unwrap();
        assert!(install(&from, &to).unwrap());
        assert_eq!(fs::read_to_string(&to).unwrap(), "{}");
        assert_eq!(
            fs::read_to_string(node.path().join("another.json")).unwrap(),
            "another's"
        );
    }
}
