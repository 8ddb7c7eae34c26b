//! What the operator writes into an ImageScan. Bounded: reports, SBOMs and logs live elsewhere, here are counts, digests
//! and references.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::build::{ClassRetries, Failure, KeptLogs, QueueStatus, ScanStatus, Verdict};
use crate::common::Digest;
use crate::conditions;

/// State in one word, for people. Derived from the conditions' causes; no controller reads it back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ScanPhase {
    /// Waits for a slot.
    #[default]
    Queued,
    /// The scan's pod is got ready, and its image resolved.
    Preparing,
    /// The image is scanned and judged.
    Scanning,
    /// Scanned, and the policies have nothing against it.
    Succeeded,
    /// Ended badly: the policies refuse the image, or it could not be scanned.
    Failed,
    /// Ended by its user.
    Cancelled,
    /// Ran longer than its timeout.
    TimedOut,
}

impl ScanPhase {
    /// The word in status and metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::Preparing => "Preparing",
            Self::Scanning => "Scanning",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
            Self::TimedOut => "TimedOut",
        }
    }
}

/// Where SBOM and report of a scan are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum EvidencePlace {
    /// At the image, as its OCI referrers.
    Attached,
    /// Nowhere: the registry does not let the platform write there. What was counted stands in status.
    CountsOnly,
}

/// What the operator knows of an ImageScan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageScanStatus {
    /// The metadata.generation that this status speaks of; -1 until the object was seen.
    #[serde(default = "crate::common::never_observed")]
    pub observed_generation: i64,
    /// State in one word, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<ScanPhase>,
    /// When the phase was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase_time: Option<Time>,
    /// `Succeeded` and `Ready`, and while true `Reconciling` and `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions::schema")]
    pub conditions: Vec<Condition>,
    /// Who asked, as the webhook stamped it; copied once. Absent where no webhook does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub requested_by: Option<String>,
    /// How the scan stands in the queue, which it shares with the builds; absent once it is dispatched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueStatus>,
    /// Attempts so far; absent until the scan was dispatched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Retries so far, by the class of failure that each followed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub retries: Vec<ClassRetries>,
    /// When the next attempt may begin; present only while the scan waits for it. It then waits for a slot like any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Time>,
    /// When the scan was dispatched for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When the scan was dispatched again, for its last retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_time: Option<Time>,
    /// Time that earlier attempts took, in seconds. It counts towards the timeout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_seconds: Option<u32>,
    /// When the scan ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// The image's digest, resolved once. Scan, verdict and evidence speak of it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// What the scan found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<Box<ScanStatus>>,
    /// Where SBOM and report are; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidencePlace>,
    /// What the policies say about the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Box<Verdict>>,
    /// What went wrong and what to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Box<Failure>>,
    /// Where the logs of the scan's containers are kept. Absent until one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<Box<KeptLogs>>,
}

impl Default for ImageScanStatus {
    fn default() -> Self {
        Self {
            observed_generation: crate::common::never_observed(),
            phase: None,
            phase_time: None,
            conditions: Vec::new(),
            requested_by: None,
            queue: None,
            attempts: None,
            retries: Vec::new(),
            next_attempt_at: None,
            start_time: None,
            attempt_time: None,
            used_seconds: None,
            completion_time: None,
            digest: None,
            scan: None,
            evidence: None,
            verdict: None,
            failure: None,
            logs: None,
        }
    }
}

impl ImageScanStatus {
    /// Whether the scan has come to its end, after which nothing more is done for it.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let succeeded = conditions::find(&self.conditions, conditions::SUCCEEDED);
        succeeded.is_some_and(|condition| condition.status != "Unknown")
    }
}
