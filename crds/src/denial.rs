//! Denials: the codes of product.md's table, with the HTTP status and the reason that a client of the API server sees.
//!
//! The same code stands in the answer of the webhook, in the condition that the operator writes, in the audit event, in
//! the metric and in the API's problem document.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::entitlement::Capability;

/// Why something is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The capability is off, for the tenant or for the project.
    TenantCapabilityNotEntitled,
    /// The record in the system of record is missing, unknown, suspended or expired.
    SorRegistrationRequired,
    /// The role lacks the permission.
    PermissionDenied,
    /// The tenant is suspended: no new work.
    TenantSuspended,
    /// The project is archived: nothing new in it.
    ProjectArchived,
    /// A quota of count or rate is used up.
    QuotaExceeded,
    /// The field can't change.
    FieldImmutable,
    /// The build's method can't honour the field.
    FieldNotSupported,
    /// Who asked may not approve.
    SelfApproval,
    /// The approval was used already.
    ApprovalUsed,
    /// The approval is for another digest or policy.
    ApprovalStale,
    /// A destructive act without its confirmation.
    ConfirmationRequired,
    /// What was sent can't be understood, or holds what no field may hold.
    InvalidObject,
    /// What the decision rests on is not known well enough: nothing is decided, so nothing is let in.
    DecisionUnavailable,
}

impl Code {
    /// All of them, in the order of product.md.
    pub const ALL: [Self; 14] = [
        Self::TenantCapabilityNotEntitled,
        Self::SorRegistrationRequired,
        Self::PermissionDenied,
        Self::TenantSuspended,
        Self::ProjectArchived,
        Self::QuotaExceeded,
        Self::FieldImmutable,
        Self::FieldNotSupported,
        Self::SelfApproval,
        Self::ApprovalUsed,
        Self::ApprovalStale,
        Self::ConfirmationRequired,
        Self::InvalidObject,
        Self::DecisionUnavailable,
    ];

    /// The word in `status.reason`, conditions, audit events and metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TenantCapabilityNotEntitled => "tenant_capability_not_entitled",
            Self::SorRegistrationRequired => "sor_registration_required",
            Self::PermissionDenied => "permission_denied",
            Self::TenantSuspended => "tenant_suspended",
            Self::ProjectArchived => "project_archived",
            Self::QuotaExceeded => "quota_exceeded",
            Self::FieldImmutable => "field_immutable",
            Self::FieldNotSupported => "field_not_supported",
            Self::SelfApproval => "self_approval",
            Self::ApprovalUsed => "approval_used",
            Self::ApprovalStale => "approval_stale",
            Self::ConfirmationRequired => "confirmation_required",
            Self::InvalidObject => "invalid_object",
            Self::DecisionUnavailable => "decision_unavailable",
        }
    }

    /// The code of that word; `epr_registration_required` is another name of `sor_registration_required`, for clients
    /// that filter by it.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        if word == "epr_registration_required" {
            return Some(Self::SorRegistrationRequired);
        }
        Self::ALL.into_iter().find(|code| code.as_str() == word)
    }

    /// HTTP status of the answer.
    #[must_use]
    pub fn http(self) -> u16 {
        match self {
            Self::TenantCapabilityNotEntitled
            | Self::PermissionDenied
            | Self::TenantSuspended
            | Self::QuotaExceeded
            | Self::SelfApproval => 403,
            Self::SorRegistrationRequired => 412,
            Self::ProjectArchived | Self::ApprovalUsed | Self::ApprovalStale | Self::ConfirmationRequired => 409,
            Self::FieldImmutable | Self::FieldNotSupported | Self::InvalidObject => 422,
            Self::DecisionUnavailable => 503,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that a denial is about: a tenant, a capability, a record, a permission or a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// What kind of thing, in CamelCase: `Tenant`, `Capability`, `SorRecord`, `Permission`, `Field`, `Project`.
    pub reason: &'static str,
    /// Which one, as in `acme`, `build`, `APP-17`.
    pub message: String,
    /// Path of the field of the object that is refused, as in `spec.sorRecordId`; empty where no field is meant.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
}

impl Cause {
    /// A cause that no field stands for.
    #[must_use]
    pub fn of(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            field: String::new(),
        }
    }

    /// The field at `path`, and what is wrong with it.
    #[must_use]
    pub fn field(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            reason: "Field",
            message: message.into(),
            field: path.into(),
        }
    }
}

/// A refusal, in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Code, from which the HTTP status and the reason follow.
    pub code: Code,
    /// For people: what is refused, and what to do about it. Part of the contract where product.md has the words.
    pub message: String,
    /// What it is about.
    pub causes: Vec<Cause>,
    /// The capability that is off, for the counters.
    pub capability: Option<Capability>,
}

impl Denial {
    /// A denial without causes.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            causes: Vec::new(),
            capability: None,
        }
    }

    /// The same with one cause more.
    #[must_use]
    pub fn because(mut self, cause: Cause) -> Self {
        self.causes.push(cause);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_again_by_its_word() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(code));
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
        assert_eq!(Code::parse("nothing"), None);
    }

    #[test]
    fn the_older_name_of_the_registration_code_is_understood() {
        assert_eq!(
            Code::parse("epr_registration_required"),
            Some(Code::SorRegistrationRequired)
        );
    }

    #[test]
    fn a_missing_registration_is_a_failed_precondition_and_an_archived_project_a_conflict() {
        assert_eq!(Code::SorRegistrationRequired.http(), 412);
        assert_eq!(Code::ProjectArchived.http(), 409);
        assert_eq!(Code::FieldNotSupported.http(), 422);
        assert_eq!(Code::TenantCapabilityNotEntitled.http(), 403);
    }
}
