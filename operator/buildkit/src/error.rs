//! Why there was no build, and the exit code that says so.

use std::io;
use std::path::PathBuf;

use imagefactory_core::step::buildkit::{EXIT_DAEMON, EXIT_REFUSED};

use crate::check::Refusal;

/// Why there was no build. A build that failed is not one of these: it has its own log and exit code.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The variable with the step is not there.
    #[error("the environment holds no {0}")]
    NoStep(&'static str),
    /// The step is not what the operator writes.
    #[error("the instruction could not be read")]
    UnreadableStep(#[source] serde_json::Error),
    /// The step holds what can't be passed on safely.
    #[error("the instruction was refused")]
    Refused(#[source] Refusal),
    /// The daemon's configuration could not be written as TOML.
    #[error("the configuration of buildkitd could not be written")]
    Configuration(#[source] toml::ser::Error),
    /// A file or directory could not be made or read.
    #[error("{action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A call to the kernel failed.
    #[error("{0}")]
    System(&'static str, #[source] nix::Error),
    /// A program could not be started or waited for.
    #[error("{program} could not be started")]
    Program {
        /// Its name.
        program: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The process with the namespaces ended before it had them.
    #[error(
        "no user namespace: the seccomp profile of this product has to be on the node, and user namespaces allowed"
    )]
    NoNamespace,
    /// The client did not end by itself.
    #[error("buildctl was ended by signal {0}")]
    Client(i32),
    /// The daemon ended or never answered.
    #[error("buildkitd {0}")]
    Daemon(String),
}

impl LaunchError {
    /// The exit code of the container.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoStep(_) | Self::UnreadableStep(_) | Self::Refused(_) => EXIT_REFUSED,
            _ => EXIT_DAEMON,
        }
    }

    /// The error with all its causes, as one line.
    #[must_use]
    pub fn in_full(&self) -> String {
        let mut line = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&error.to_string());
            cause = error.source();
        }
        line
    }
}

/// Attaches what was tried, and with what, to an error of the file system.
pub(crate) fn file<'a>(
    action: &'static str,
    path: &'a std::path::Path,
) -> impl FnOnce(io::Error) -> LaunchError + use<'a> {
    move |source| LaunchError::File {
        action,
        path: path.to_owned(),
        source,
    }
}
