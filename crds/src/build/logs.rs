//! Where the logs of a Build are kept: what its status says about them. The logs themselves lie in the platform's store.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most logs that a status names. The oldest are left out; they are kept all the same, under the same location.
pub const MAX_KEPT_LOGS: usize = 24;

/// Logs that are kept, and so outlive the pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeptLogs {
    /// Where the logs lie in the platform's store, each as `<attempt>/<stage>-<container>.log` beneath it.
    #[schemars(length(max = 1024))]
    pub location: String,
    /// Logs that lie there, in the order in which they were made; only the newest 24.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 24))]
    pub containers: Vec<KeptLog>,
}

/// The log of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeptLog {
    /// Number of the attempt, from 1.
    #[schemars(range(min = 0))]
    pub attempt: u32,
    /// `build`, `scan` or `publish`.
    #[schemars(length(max = 16))]
    pub stage: String,
    /// Name of the container.
    #[schemars(length(max = 63))]
    pub container: String,
    /// Size of what is kept, in bytes.
    #[schemars(range(min = 0))]
    pub bytes: i64,
    /// Whether the log was too long and its middle is left out. The place is marked in the log.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}
