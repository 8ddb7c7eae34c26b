//! Entry point of the builder image of BuildKit. One container, one daemon, one build, one OCI layout:
//!
//! ```text
//! outer   PID 1, root of the pod's user namespace     reads the step, maps ids, waits, ends all on SIGTERM
//!   inner   a user and a mount namespace of its own   daemon up, build, daemon down
//!     buildkitd --rootless                            runc, overlayfs, a unix socket and no other
//!     buildctl build                                  an argument vector, never a shell's line
//! ```
//!
//! The pod has no privilege and no `CAP_SYS_ADMIN`; what mounts BuildKit needs, it may make in the inner user
//! namespace, where the seccomp profile of the chart lets it (docs/decisions/0011).

pub mod arguments;
pub mod check;
pub mod config;
pub mod daemon;
pub mod error;
pub mod inner;
pub mod namespace;
pub mod outer;
pub mod platforms;
pub mod seccomp;
pub mod tail;
pub mod used;
pub mod workdir;

use std::io::Write as _;

/// One line of our own in the container's log, beside BuildKit's.
pub fn say(text: &str) {
    line(&format!("imagefactory: {text}"));
}

/// The same, as it is.
fn line(text: &str) {
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(std::io::stderr(), "{text}");
}
