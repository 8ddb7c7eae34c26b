//! What the platform decided about records of the system of record.

use imagefactory_crds::common::DurationText;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// Settings of SorRecords.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SorSettings {
    /// How long before its end a record is Expiring.
    pub expiring_window: DurationText,
}

impl Default for SorSettings {
    fn default() -> Self {
        Self {
            expiring_window: "720h".into(),
        }
    }
}

impl SorSettings {
    /// How long before its end a record is Expiring.
    #[must_use]
    pub fn window(&self) -> SignedDuration {
        // Settings are checked when they are read; one that is none shortens no record's life.
        self.expiring_window.parse().unwrap_or_default()
    }
}
