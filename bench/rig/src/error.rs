//! Why a measurement can't be taken.

use std::path::PathBuf;

/// Why a measurement can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file, a process or a port.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The API server, or a process that is measured, was asked.
    #[error("{what}")]
    Kube {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: Box<kube::Error>,
    },
    /// How to reach the API server can't be read.
    #[error("could not read the kubeconfig")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// Not JSON, or not of the expected form.
    #[error("{what} is not of the expected form")]
    Json {
        /// What was read.
        what: String,
        /// Why it failed.
        #[source]
        source: serde_json::Error,
    },
    /// Not YAML, or not of the expected form.
    #[error("{path} is not of the expected form")]
    Yaml {
        /// What was read.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: serde_yaml::Error,
    },
    /// It took too long.
    #[error("waited {seconds} s in vain for {what}")]
    TooLong {
        /// What was waited for.
        what: String,
        /// For how long.
        seconds: u64,
    },
    /// Anything else that must be, and is not.
    #[error("{0}")]
    Wrong(String),
    /// Asked to end.
    #[error("asked to end")]
    Stopped,
}

/// What most functions here return.
pub type Result<T> = std::result::Result<T, BenchError>;

/// Says what was tried when it failed.
pub trait Trying<T> {
    /// With what was tried.
    ///
    /// # Errors
    /// When it failed.
    fn trying(self, what: impl Into<String>) -> Result<T>;
}

impl<T> Trying<T> for std::io::Result<T> {
    fn trying(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|source| BenchError::Io {
            what: what.into(),
            source,
        })
    }
}

impl<T> Trying<T> for std::result::Result<T, kube::Error> {
    fn trying(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|source| BenchError::Kube {
            what: what.into(),
            source: Box::new(source),
        })
    }
}

impl<T> Trying<T> for serde_json::Result<T> {
    fn trying(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|source| BenchError::Json {
            what: what.into(),
            source,
        })
    }
}
