//! What a build used: told by the container that builds, for people and for figures; nothing is decided by it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the container that builds used, as the kernel counted it for that container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Processor time in seconds, rounded up.
    pub cpu_seconds: u32,
    /// Most memory at a time, in bytes. Files that the kernel keeps in memory are counted, so a build that reads and writes much may come near its limit without harm.
    #[schemars(range(min = 0))]
    pub peak_memory: i64,
}
