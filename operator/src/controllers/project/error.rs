//! What can go wrong while a project is reconciled. Reading is from stores and can't fail.

use crate::apply::ApplyError;
use crate::runner::ErrorCategory;

/// What can go wrong while a project is reconciled.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The status could not be written.
    #[error("could not write the status")]
    Status(#[from] ApplyError),
}

impl ErrorCategory for ProjectError {
    fn category(&self) -> &'static str {
        match self {
            Self::Status(error) => error.category(),
        }
    }
}
