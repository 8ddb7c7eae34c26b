//! What can go wrong while a SorRecord is reconciled.

use crate::apply::ApplyError;
use crate::runner::ErrorCategory;

/// What can go wrong while a SorRecord is reconciled.
#[derive(Debug, thiserror::Error)]
pub enum SorRecordError {
    /// The status could not be written.
    #[error("could not write the status")]
    Status(#[from] ApplyError),
}

impl ErrorCategory for SorRecordError {
    fn category(&self) -> &'static str {
        match self {
            Self::Status(error) => error.category(),
        }
    }
}
