//! What can go wrong while TenantSettings are reconciled: one variant a step. Reading is from stores and can't fail.

use crate::apply::ApplyError;
use crate::runner::ErrorCategory;

/// What can go wrong while TenantSettings are reconciled.
#[derive(Debug, thiserror::Error)]
pub enum TenantSettingsError {
    /// A step of the plan failed.
    #[error("could not carry out the plan")]
    Act(#[source] ApplyError),
    /// The status could not be written.
    #[error("could not write the status")]
    Status(#[source] ApplyError),
}

impl ErrorCategory for TenantSettingsError {
    fn category(&self) -> &'static str {
        match self {
            Self::Act(error) | Self::Status(error) => error.category(),
        }
    }
}
