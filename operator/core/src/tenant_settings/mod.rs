//! TenantSettings: who holds which role in a tenant, as bindings to the chart's ClusterRoles.
//!
//! The Tenant's controller makes the object if there is none; here its spec is only read. Bindings follow from it
//! with [`plan::plan`], its status from [`status::status`].

pub mod membership;
pub mod plan;
pub mod status;

#[cfg(test)]
mod tests;

pub use membership::{Membership, membership};
pub use plan::{SettingsPlan, Situation, plan};
