//! Which waiting build starts next, and what holds the others.
//!
//! [`Queue`] is the whole decision, held in memory: builds apply, are given slots, and give them back. Between tenants
//! it is weighted round robin (stride scheduling: a tenant of weight `w` moves on by `1/w` with each slot), within a
//! tenant the order is [`order`], which never changes while a build waits. A tenant at its cap, or a build that does
//! not fit its tenant's quota, is passed over and blocks nobody. An event touches one tenant and costs O(log n).

mod applicant;
mod claim;
mod demand;
mod order;
mod queue;
mod standing;
mod tenant;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use applicant::{application, holding, id_of};
pub use claim::{Claim, claim};
pub use demand::{Amounts, Room, demand_after_staging, demand_of_build, limits};
pub use queue::{Doubt, Queue, Slot};
pub use standing::{Standing, is_news};

use std::sync::Arc;

use jiff::Timestamp;

use crate::work::Work;

/// A build, as the queue knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildId {
    /// Tenant.
    pub tenant: Arc<str>,
    /// Name of the Build.
    pub name: Arc<str>,
    /// Uid of the Build.
    pub uid: Arc<str>,
    /// Whether it is a Build, or an ImageScan, which takes a slot like one.
    pub work: Work,
}

/// What a tenant may have at a time, and how its turns weigh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantLimits {
    /// Builds that may run at a time.
    pub cap: u32,
    /// Slots that it is given in turn when another tenant of weight 1 is given one.
    pub weight: u32,
    /// What its ResourceQuota admits.
    pub room: Room,
}

impl TenantLimits {
    /// No limits.
    #[must_use]
    pub fn none() -> Self {
        Self {
            cap: u32::MAX,
            weight: 1,
            room: Room::default(),
        }
    }
}

/// A build that asks for a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// Who asks.
    pub id: Arc<BuildId>,
    /// How often it has asked before, plus one: each retry is another turn.
    pub turn: u32,
    /// Since when it waits.
    pub since: Timestamp,
    /// Its priority among the builds of its tenant.
    pub priority: i32,
    /// What it takes of the tenant's quota.
    pub demand: Amounts,
    /// What its tenant may have.
    pub limits: TenantLimits,
}

/// A build that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Who runs.
    pub id: Arc<BuildId>,
    /// See [`Application::turn`].
    pub turn: u32,
    /// What it takes of the tenant's quota, if that is known.
    pub demand: Option<Amounts>,
    /// What its tenant may have, if that is known.
    pub limits: Option<TenantLimits>,
}
