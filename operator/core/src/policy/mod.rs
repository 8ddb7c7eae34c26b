//! Policies: what an image must be like to be published, and what the evidence says about it.
//!
//! [`judge`] is a pure function of evidence and policies. Unknown is not a pass: evidence that is missing, of another
//! image or contradicts itself gives Unknown, which no mode publishes.

mod causes;
mod combine;
mod denied;
mod evidence;
mod hash;
mod limits;
mod verdict;

pub use combine::{PlatformVerdict, combine};
pub use evidence::Evidence;
pub use hash::hash;
pub use verdict::{MAX_CAUSES, judge, shrink};

#[cfg(test)]
mod tests;
