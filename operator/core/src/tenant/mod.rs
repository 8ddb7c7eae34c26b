//! Tenant: what its namespace holds, whether it still does, and what to do about it.
//!
//! [`plan::plan`] compares what [`objects`] wants with what was [`observed`] and returns steps;
//! [`status::status`] says in the Tenant what came of them.

pub mod amount;
pub mod deletion;
pub mod home;
pub mod objects;
pub mod observed;
pub mod plan;
pub mod readiness;
pub mod resync;
pub mod status;
pub mod step;
pub mod subjects;
pub mod usage;

mod drift;
#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod world;

pub use observed::{Observed, Situation};
pub use plan::{TenantPlan, plan};
pub use step::{Object, Step};
