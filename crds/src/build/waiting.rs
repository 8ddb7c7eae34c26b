//! What a Build's status says of waiting: for a slot, and for the next attempt.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::FailureClass;

/// What holds a build that waits for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum QueueLimit {
    /// All slots of the platform are taken.
    ClusterLimit,
    /// The tenant's builds, those that run and those ahead of this one, fill its own slots.
    TenantLimit,
    /// The tenant's ResourceQuota leaves no room for what the build asks for.
    QuotaLimit,
}

impl QueueLimit {
    /// The word in status, reasons and metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterLimit => "ClusterLimit",
            Self::TenantLimit => "TenantLimit",
            Self::QuotaLimit => "QuotaLimit",
        }
    }
}

/// How a waiting build stood at a time. A snapshot: written on entry, and again when the position has halved or
/// another limit holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueStatus {
    /// The limit that holds the build.
    pub limit: QueueLimit,
    /// Place among the waiting builds of the tenant, from 1.
    #[schemars(range(min = 1))]
    pub position: u32,
    /// How many other tenants are served before this build.
    pub tenants_ahead: u32,
    /// When this was so.
    pub time: Time,
}

/// How often each job of a build was begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageAttempts {
    /// Scans so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<u32>,
    /// Attempts to publish so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<u32>,
}

/// How often a build was tried again after failures of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClassRetries {
    /// The class.
    pub class: FailureClass,
    /// How often.
    pub count: u32,
}
