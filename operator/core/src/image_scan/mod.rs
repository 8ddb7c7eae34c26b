//! An ImageScan: from spec and what is seen to what is done next (docs/decisions/0024).
//!
//! It goes the way of a Build's scan: one job in the work namespace resolves the image, scans it by its digest, judges it
//! and attaches the evidence. Slots, retries, logs and the rules of evidence are those of Builds.

mod identity;
mod plan;
mod slot;
mod status;
mod validated;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use identity::Identity;
pub use plan::{Situation, Wish, after_rejection, plan, wish};
pub use slot::{claim, holding, id_of};
pub use validated::{References, Validated, validate};

use imagefactory_crds::ImageScanStatus;

/// What is planned for a scan.
pub type Plan = crate::build::Plan<ImageScanStatus>;

/// Whether the scan has ended, well or badly.
#[must_use]
pub fn is_settled(status: Option<&ImageScanStatus>) -> bool {
    status.is_some_and(ImageScanStatus::is_settled)
}
