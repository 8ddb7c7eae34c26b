//! What can go wrong while a tenant's usage is told. Reading is from stores and can't fail.

use crate::apply::ApplyError;
use crate::runner::ErrorCategory;

/// What can go wrong while a tenant's usage is told.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// A status could not be written.
    #[error("could not write the status")]
    Status(#[from] ApplyError),
}

impl ErrorCategory for UsageError {
    fn category(&self) -> &'static str {
        match self {
            Self::Status(error) => error.category(),
        }
    }
}
