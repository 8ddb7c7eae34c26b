//! A user and a mount namespace for the inner process. It makes them; its parent, root of the pod's own user namespace,
//! maps the ids, because a range of ids may be mapped only from outside (CAP_SETUID, CAP_SETGID, CAP_SETFCAP there).

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Child;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};

use crate::error::{LaunchError, file};

/// Every id that the pod has, one to one: inside, a file's owner is the same as in our own steps.
const ALL_IDS: &str = "0 0 65536\n";
const UNSHARED: u8 = b'u';
const MAPPED: u8 = b'm';

/// The parent's half: waits until the child is in its namespace, maps ids, lets it go on.
///
/// # Errors
/// [`LaunchError::NoNamespace`] where the child did not get one; what the kernel refused otherwise.
pub fn map_child(child: &mut Child) -> Result<(), LaunchError> {
    let mut word = [0];
    let mut from_child = child.stdout.take().ok_or(LaunchError::NoNamespace)?;
    from_child.read_exact(&mut word).map_err(|_| LaunchError::NoNamespace)?;
    for name in ["gid_map", "uid_map"] {
        let path = format!("/proc/{}/{name}", child.id());
        let path = Path::new(&path);
        fs::write(path, ALL_IDS).map_err(file("mapping ids in", path))?;
    }
    let mut to_child = child.stdin.take().ok_or(LaunchError::NoNamespace)?;
    to_child.write_all(&[MAPPED]).map_err(|_| LaunchError::NoNamespace)
}

/// The child's half. Afterwards it is root of a namespace of its own, with mounts that nobody else sees.
///
/// # Errors
/// What the kernel refused.
pub fn enter() -> Result<(), LaunchError> {
    // Blocked signals are inherited, down to the steps of the build.
    SigSet::empty()
        .thread_set_mask()
        .map_err(|error| LaunchError::System("signals could not be unblocked", error))?;
    prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|error| LaunchError::System("the parent's death could not be bound to ours", error))?;
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
        .map_err(|error| LaunchError::System("a user and a mount namespace could not be made", error))?;
    let mut word = [0];
    std::io::stdout()
        .write_all(&[UNSHARED])
        .and_then(|()| std::io::stdout().flush())
        .and_then(|()| std::io::stdin().read_exact(&mut word))
        .map_err(|_| LaunchError::NoNamespace)?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(|error| LaunchError::System("mounts could not be made private", error))
}
