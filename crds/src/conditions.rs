//! Condition types, reasons, and the one function that sets a condition.
//!
//! `Ready` and `Succeeded` are always present once an object was seen; `Reconciling` and `Stalled` only while true,
//! which is what kstatus (Flux, Helm), Argo CD and `kubectl wait` expect.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The object does what its spec asks for.
pub const READY: &str = "Ready";
/// A run has ended well (True), badly (False) or not yet (Unknown).
pub const SUCCEEDED: &str = "Succeeded";
/// Work is going on. Absent when not true.
pub const RECONCILING: &str = "Reconciling";
/// Nothing more will happen without a change by a person. Absent when not true.
pub const STALLED: &str = "Stalled";

/// Longest message that a condition carries, in characters.
pub const MAX_MESSAGE: usize = 512;

/// State of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Not known yet.
    Unknown,
}

impl ConditionStatus {
    /// The word that Kubernetes uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// A condition as a decision states it; times come from [`set`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// One of the constants of this module.
    pub type_: &'static str,
    /// State.
    pub status: ConditionStatus,
    /// CamelCase, or a code of product.md's Denials table.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// Replaces `conditions` by `statements`, for `generation`. A condition that kept its status keeps its
/// `lastTransitionTime`; one that is not stated any more goes away.
pub fn set(conditions: &mut Vec<Condition>, statements: &[Statement], generation: i64, now: Timestamp) {
    let old = std::mem::take(conditions);
    *conditions = statements
        .iter()
        .map(|statement| {
            let status = statement.status.as_str();
            let unchanged_since = old
                .iter()
                .find(|condition| condition.type_ == statement.type_ && condition.status == status)
                .map(|condition| condition.last_transition_time.clone());
            Condition {
                type_: statement.type_.to_owned(),
                status: status.to_owned(),
                reason: statement.reason.clone(),
                message: statement.message.chars().take(MAX_MESSAGE).collect(),
                observed_generation: Some(generation),
                last_transition_time: unchanged_since.unwrap_or(Time(now)),
            }
        })
        .collect();
}

/// The condition of that type.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition of that type is there and True.
#[must_use]
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}

/// Schema of a list of conditions: Kubernetes' own shape, with bounds, merged by type.
pub fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "maxItems": 8,
        "description": "Conditions: `Ready` (and `Succeeded` for runs) are always present; `Reconciling` and `Stalled` only while true.",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "description": "One aspect of the object's state.",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": {"type": "string", "maxLength": 64, "description": "Ready, Succeeded, Reconciling or Stalled."},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it holds."},
                "reason": {"type": "string", "maxLength": 128, "description": "The cause in one word, for programs and columns."},
                "message": {"type": "string", "maxLength": MAX_MESSAGE, "description": "The cause for people, with what to do next."},
                "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0, "description": "The metadata.generation that this condition speaks of."},
                "lastTransitionTime": {"type": "string", "format": "date-time", "maxLength": 64, "description": "When the status last changed."}
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(status: ConditionStatus, reason: &str) -> Statement {
        Statement {
            type_: READY,
            status,
            reason: reason.to_owned(),
            message: String::new(),
        }
    }

    #[test]
    fn the_transition_time_moves_only_when_the_status_changes() {
        let (first, second) = (Timestamp::from_second(1).unwrap(), Timestamp::from_second(2).unwrap());
        let mut conditions = Vec::new();
        set(&mut conditions, &[ready(ConditionStatus::False, "A")], 1, first);
        set(&mut conditions, &[ready(ConditionStatus::False, "B")], 2, second);
        assert_eq!(conditions[0].last_transition_time, Time(first));
        assert_eq!(conditions[0].reason, "B");
        set(&mut conditions, &[ready(ConditionStatus::True, "C")], 2, second);
        assert_eq!(conditions[0].last_transition_time, Time(second));
    }

    #[test]
    fn a_condition_that_is_not_stated_any_more_is_absent() {
        let now = Timestamp::from_second(1).unwrap();
        let mut conditions = Vec::new();
        let stalled = Statement {
            type_: STALLED,
            ..ready(ConditionStatus::True, "A")
        };
        set(&mut conditions, &[ready(ConditionStatus::False, "A"), stalled], 1, now);
        set(&mut conditions, &[ready(ConditionStatus::True, "A")], 1, now);
        assert!(find(&conditions, STALLED).is_none());
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let mut conditions = Vec::new();
        let statement = Statement {
            message: "ü".repeat(MAX_MESSAGE + 5),
            ..ready(ConditionStatus::True, "A")
        };
        set(&mut conditions, &[statement], 1, Timestamp::UNIX_EPOCH);
        assert_eq!(conditions[0].message.chars().count(), MAX_MESSAGE);
    }
}
