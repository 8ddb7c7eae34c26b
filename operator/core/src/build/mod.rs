//! A Build: from spec and what is seen to what is done next.
//!
//! [`validate`](validated::validate) turns the raw spec and the objects that it refers to into [`Validated`];
//! [`plan`](plan::plan) looks at what exists and says what to do and what to write into status. Objects are made by
//! `objects` from the validated build and from what status holds of the stages before.

pub mod facts;
pub mod failure;
pub mod logs;
mod method_failure;
pub mod names;
pub mod objects;
pub mod observed;
mod options;
pub(crate) mod outcome;
pub mod plan;
mod references;
#[cfg(test)]
mod requester_tests;
pub mod retry;
#[cfg(test)]
mod seen_late_tests;
mod sources;
mod spec;
pub mod status;
pub mod sweep;
pub mod validated;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod queue_simulation;
#[cfg(test)]
mod search;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod usage_tests;
#[cfg(test)]
mod waiting_tests;

pub use observed::{ContainerState, ContainerView, Earlier, JobView, Observed, PodView};
pub use plan::{Action, Note, Plan, plan};
pub use spec::is_to_begin;
pub use validated::{REQUESTER_UNKNOWN, References, Refusal, Validated, validate};
