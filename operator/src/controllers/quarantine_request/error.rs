//! What can go wrong while a QuarantineRequest is reconciled.

use crate::apply::ApplyError;
use crate::runner::ErrorCategory;

/// What can go wrong while a QuarantineRequest is reconciled.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineRequestError {
    /// The status could not be written.
    #[error("could not write the status")]
    Status(#[from] ApplyError),
}

impl ErrorCategory for QuarantineRequestError {
    fn category(&self) -> &'static str {
        match self {
            Self::Status(error) => error.category(),
        }
    }
}
