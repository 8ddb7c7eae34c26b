//! What can go wrong while a build is reconciled: one variant a step.

use super::super::jobs::Unexplained;
use crate::apply::{ApplyError, is_namespace_terminating};
use crate::runner::ErrorCategory;

/// What can go wrong while a build is reconciled. None of these is the build's own failure, which stands in its status.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The API server could not be asked for something that no watch had shown.
    #[error("could not read {name}")]
    Observe {
        /// Pod or Build.
        name: String,
        /// What the client said.
        source: Box<kube::Error>,
    },
    /// A request of the plan failed.
    #[error("could not carry out the plan")]
    Act(#[source] ApplyError),
    /// The status could not be written.
    #[error("could not write the status")]
    Status(#[source] ApplyError),
}

impl BuildError {
    /// Whether it failed since the namespace goes away: it says so itself, or the namespace does (`leaves`) and what
    /// the operator needs in it is gone already.
    pub(super) fn is_of_leaving_namespace(&self, leaves: bool) -> bool {
        let cause = match self {
            Self::Observe { source, .. } => source,
            Self::Act(error) | Self::Status(error) => error.cause(),
        };
        let is_missing = |status: &kube::core::Status| status.is_forbidden() || status.is_not_found();
        is_namespace_terminating(cause) || (leaves && matches!(cause, kube::Error::Api(status) if is_missing(status)))
    }
}

impl From<Unexplained> for BuildError {
    fn from(error: Unexplained) -> Self {
        Self::Observe {
            name: error.name,
            source: Box::new(error.source),
        }
    }
}

impl ErrorCategory for BuildError {
    fn category(&self) -> &'static str {
        match self {
            Self::Observe { .. } => "ObserveFailed",
            Self::Act(error) | Self::Status(error) => error.category(),
        }
    }
}
