//! Policies: what an image must be like to be published, and what the evidence says about it.
//!
//! [`judge`] is a pure function of evidence and policies. Unknown is not a pass: evidence that is missing, of another
//! image, too old or contradicts itself gives Unknown, which no mode publishes; and so does a rule without an answer.

mod age;
mod causes;
mod combine;
mod denied;
mod evidence;
mod hash;
mod known;
mod limits;
pub mod rules;
mod sources;
mod verdict;

pub use age::{limit as max_evidence_age, scan_too_old};
pub use combine::{PlatformVerdict, combine};
pub use evidence::Evidence;
pub use hash::hash;
pub use known::Policies;
pub use sources::git_refused;
pub use verdict::{MAX_CAUSES, judge, shrink};

#[cfg(test)]
mod tests;
