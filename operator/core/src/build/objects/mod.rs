//! The objects made for a build or a scan, each a whole object, from what was validated and what earlier stages have found.

mod build_pod;
mod builders;
mod containers;
mod image_scan_job;
mod publish_job;
mod scan_job;
mod unstage_job;

pub use build_pod::build_pod;
pub use image_scan_job::image_scan_job;
pub use publish_job::publish_job;
pub(crate) use scan_job::RESOLVE;
pub use scan_job::scan_job;
pub use unstage_job::{UNSTAGE, removed_by, unstage_job};
