//! What can go wrong while a tenant is reconciled: one variant a step.

use crate::apply::{ApplyError, is_namespace_terminating};
use crate::runner::ErrorCategory;

/// What can go wrong while a tenant is reconciled.
#[derive(Debug, thiserror::Error)]
pub enum TenantError {
    /// Something that nobody watches could not be read.
    #[error("could not read {kind} {name}")]
    Observe {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// What the client said.
        source: Box<kube::Error>,
    },
    /// A step of the plan failed.
    #[error("could not carry out the plan")]
    Act(#[source] ApplyError),
    /// The status could not be written.
    #[error("could not write the status")]
    Status(#[source] ApplyError),
}

impl ErrorCategory for TenantError {
    fn category(&self) -> &'static str {
        match self {
            Self::Observe { .. } => "ObserveFailed",
            Self::Act(error) | Self::Status(error) => error.category(),
        }
    }
}

impl TenantError {
    /// Whether the operator has not the right to do it.
    pub(super) fn is_forbidden(&self) -> bool {
        matches!(self.cause(), kube::Error::Api(status) if status.is_forbidden())
    }

    /// Whether the namespace began to go away meanwhile.
    pub(super) fn is_of_terminating_namespace(&self) -> bool {
        is_namespace_terminating(self.cause())
    }

    fn cause(&self) -> &kube::Error {
        match self {
            Self::Observe { source, .. } => source,
            Self::Act(error) | Self::Status(error) => error.cause(),
        }
    }
}
