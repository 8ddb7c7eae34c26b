//! Audit events as they travel: from the webhook and the operator to the intake, which stores each once.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::denial::Code;
use crate::digest::{canonical, hex};
use crate::entitlement::Capability;

/// What an event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Something was refused.
    Denial,
    /// A change was let in by the webhook; whether it was made, a confirmation says.
    Attempt,
    /// The operator has seen what an attempt asked for.
    Confirmation,
    /// A run went into another state, as its status says.
    Transition,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Denial, Self::Attempt, Self::Confirmation, Self::Transition];

    /// The word in the store, in JSON and in filters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denial => "denial",
            Self::Attempt => "attempt",
            Self::Confirmation => "confirmation",
            Self::Transition => "transition",
        }
    }

    /// The kind of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Who did or tried it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Actor {
    /// User name as the API server's authentication gave it; the operator's own for what it finds itself.
    pub user: String,
    /// Groups, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

/// What it was done to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resource {
    /// Kind, as in `Build`.
    pub kind: String,
    /// Namespace; empty for kinds without one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name; empty where the API server had not made one yet from `generateName`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Uid; empty on create.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

/// One event. Bounded: the intake refuses one of more than [`MAX_EVENT_BYTES`] as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditEvent {
    /// Chosen by who makes the event, the same each time the event is delivered: 1 to 64 characters of `[A-Za-z0-9-]`.
    /// An event whose id is stored is not stored again.
    pub id: String,
    /// When it happened, by the clock of who makes the event.
    pub time: Timestamp,
    /// What it tells.
    pub kind: EventKind,
    /// Who.
    pub actor: Actor,
    /// What was done or tried: `create`, `update`, `delete`, or for a transition the phase gone to.
    pub action: String,
    /// To what.
    pub resource: Resource,
    /// Tenant, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Project, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Code of a denial, or of the failure of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// Capability that a denial or a change is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<Capability>,
    /// For people: the denial's message, or the condition's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Why, as the actor says: `changeReason`, a justification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What a change is about, as it was. Only the fields that matter and never a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The same as it would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// [`spec_hash`] of the whole spec as it was, of a change. Empty on create.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub before_hash: String,
    /// [`spec_hash`] of the whole spec as it would be, or [`DELETED`]. A confirmation has it of what it saw, and confirms
    /// the attempts on that object that have the same.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub after_hash: String,
    /// Sha256 in hex of what makes one write one: user, verb, uid (or namespace and name on create), and the new spec. An
    /// event with the key of one stored within [`WRITE_WINDOW_SECONDS`] is the same write asked for again, and is not
    /// stored. Empty: the id alone counts.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub write_key: String,
    /// Sha256 in hex of what is alike in equal denials: user, verb, kind, namespace, code, capability. Beyond a rate they
    /// become one event with a count. Empty: never folded.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fold_key: String,
    /// How many times it happened; more than 1 for equal denials that were folded.
    #[serde(default = "once")]
    pub count: u64,
}

/// Longest event as JSON, in bytes.
pub const MAX_EVENT_BYTES: usize = 32 * 1024;
/// Within how many seconds the same write is one.
pub const WRITE_WINDOW_SECONDS: i64 = 10;

/// `after_hash` of an object that goes.
pub const DELETED: &str = "deleted";

/// Sha256 in hex of a spec, or whatever stands for one: the same from the webhook's object and from the operator's.
#[must_use]
pub fn spec_hash(spec: &impl Serialize) -> String {
    hex(&Sha256::digest(canonical(spec)))
}

fn once() -> u64 {
    1
}

/// What is posted to the intake at `/intake/v1/events`: up to [`MAX_BATCH`] events. The answer is 200 when all of them
/// are durable (stored now or before), and only then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Batch {
    /// The events, oldest first.
    pub events: Vec<AuditEvent>,
}

/// Most events in one batch.
pub const MAX_BATCH: usize = 256;

/// What is posted to the intake at `/intake/v1/known`: which of these are stored? Up to [`MAX_QUESTION`] ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Question {
    /// Ids of events.
    pub ids: Vec<String>,
}

/// Those of a [`Question`] that are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Known {
    /// Ids of events, in no order.
    pub known: Vec<String>,
}

/// Most ids in one question.
pub const MAX_QUESTION: usize = 1024;
