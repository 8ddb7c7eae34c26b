//! What the operator writes into a QuarantineRequest. States that nothing reaches yet are not in the schema.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions;

/// State in one word, for people. Derived from the conditions' causes; no controller reads it back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RequestPhase {
    /// Waits for approval.
    #[default]
    PendingApproval,
    /// Withdrawn by its user.
    Withdrawn,
    /// Ended badly.
    Failed,
}

impl RequestPhase {
    /// The word in status and metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PendingApproval => "PendingApproval",
            Self::Withdrawn => "Withdrawn",
            Self::Failed => "Failed",
        }
    }
}

/// What the operator knows of a QuarantineRequest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineRequestStatus {
    /// The metadata.generation that this status speaks of; -1 until the object was seen.
    #[serde(default = "crate::common::never_observed")]
    pub observed_generation: i64,
    /// State in one word, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<RequestPhase>,
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
    /// When the request was found to be allowed and began to wait for approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_approval_at: Option<Time>,
    /// When the request was withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_at: Option<Time>,
    /// When the request failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Time>,
}

impl Default for QuarantineRequestStatus {
    fn default() -> Self {
        Self {
            observed_generation: crate::common::never_observed(),
            phase: None,
            phase_time: None,
            conditions: Vec::new(),
            requested_by: None,
            pending_approval_at: None,
            withdrawn_at: None,
            failed_at: None,
        }
    }
}

impl QuarantineRequestStatus {
    /// Whether the request has come to its end, after which nothing more is done for it.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let succeeded = conditions::find(&self.conditions, conditions::SUCCEEDED);
        succeeded.is_some_and(|condition| condition.status != "Unknown")
    }
}
