//! What a tenant uses: the same numbers in Tenant (for administrators) and TenantSettings (for the tenant itself).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::project::BuildCounts;

/// What a tenant uses now; brought up to date at most once in 10 seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Builds that exist, by state.
    pub builds: BuildCounts,
    /// Slots to build and scan in.
    pub slots: Slots,
    /// Subjects that hold a role, owners included, each counted once.
    pub members: u32,
    /// Projects that exist.
    pub projects: u32,
    /// Builds that were created within the last 60 minutes; present where quota limits them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builds_last_hour: Option<u32>,
    /// QuarantineRequests that have not come to their end; present where quota limits them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_quarantine_requests: Option<u32>,
    /// When the newest build was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_build_time: Option<Time>,
}

/// Slots to build and scan in: a build or a scan on demand takes one from when it may start until it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Slots {
    /// Slots that the tenant's builds and scans on demand have taken.
    pub taken: u32,
    /// Slots that the tenant may take at a time; absent where only the platform's own limit holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}
