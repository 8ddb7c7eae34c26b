//! Settings of everything that outlives its build for a while: logs, staged images, finished Builds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where logs and the operator's own records lie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectStoreSettings {
    /// `file:///…` on a volume, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    pub url: String,
    /// Options of the store that are no secret, as in `endpoint`, `region` or `allow_http`. Credentials come to the process as environment variables.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl Default for ObjectStoreSettings {
    fn default() -> Self {
        Self {
            url: "file:///var/lib/image-factory".to_owned(),
            options: BTreeMap::new(),
        }
    }
}

/// Logs that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LogSettings {
    /// Most bytes that are kept of one container's log. Of a longer one the first quarter and the end are kept.
    pub max_bytes: u64,
    /// How long logs are kept, in days. 0: for ever.
    pub retention_days: u32,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            max_bytes: 16 << 20,
            retention_days: 90,
        }
    }
}
