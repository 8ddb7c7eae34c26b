//! How a waiting build stands, and when that is worth a write.

use imagefactory_crds::build::{QueueLimit, QueueStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// How a waiting build stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The limit that holds it.
    pub limit: QueueLimit,
    /// Its place among the waiting builds of its tenant, from 1.
    pub position: u32,
    /// Other tenants that are served before it.
    pub tenants_ahead: u32,
}

impl Standing {
    /// As it stands in status.
    #[must_use]
    pub fn snapshot(&self, now: Timestamp) -> QueueStatus {
        QueueStatus {
            limit: self.limit,
            position: self.position,
            tenants_ahead: self.tenants_ahead,
            time: Time(now),
        }
    }

    /// The cause for people.
    #[must_use]
    pub fn message(&self) -> String {
        let why = match self.limit {
            QueueLimit::ClusterLimit => "All slots of the platform are taken",
            QueueLimit::TenantLimit => "The tenant's other builds take all its slots",
            QueueLimit::QuotaLimit => "The tenant's quota leaves no room for this build now",
        };
        format!(
            "{why}; number {} of the tenant's waiting builds, {} other tenants ahead.",
            self.position, self.tenants_ahead
        )
    }
}

/// Whether a snapshot is worth replacing: the limit changed, or the position has halved since.
#[must_use]
pub fn is_news(written: Option<&QueueStatus>, now: &Standing) -> bool {
    written.is_none_or(|written| has_moved((written.limit, written.position), (now.limit, now.position)))
}

pub(super) fn has_moved(told: (QueueLimit, u32), now: (QueueLimit, u32)) -> bool {
    now.0 != told.0 || now.1.saturating_mul(2) <= told.1
}
