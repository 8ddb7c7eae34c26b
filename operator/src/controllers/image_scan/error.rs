//! What can go wrong while an ImageScan is reconciled: one variant a step.

use super::super::jobs::Unexplained;
use crate::apply::ApplyError;
use crate::runner::ErrorCategory;

/// What can go wrong while an ImageScan is reconciled. None of these is the scan's own failure, which stands in its status.
#[derive(Debug, thiserror::Error)]
pub enum ImageScanError {
    /// The API server could not be asked for something that no watch had shown.
    #[error("could not read {name}, or the pod of that job")]
    Observe {
        /// The job, or the scan itself.
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

impl From<Unexplained> for ImageScanError {
    fn from(error: Unexplained) -> Self {
        Self::Observe {
            name: error.name,
            source: Box::new(error.source),
        }
    }
}

impl ErrorCategory for ImageScanError {
    fn category(&self) -> &'static str {
        match self {
            Self::Observe { .. } => "ObserveFailed",
            Self::Act(error) | Self::Status(error) => error.category(),
        }
    }
}
