//! What can go wrong with a write, and how to tell the cases apart that a controller waits for.

use kube::{Error, Resource};

use crate::runner::ErrorCategory;

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Apply,
    ApplyStatus,
    Create,
    Delete,
    Patch,
}

impl Verb {
    fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::ApplyStatus => "apply the status of",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Patch => "patch",
        }
    }
}

/// A write that failed.
#[derive(Debug, thiserror::Error)]
#[error("could not {} {kind} {name}", verb.as_str())]
pub struct ApplyError {
    verb: Verb,
    kind: String,
    name: String,
    source: Error,
}

impl ApplyError {
    pub(super) fn of<K: Resource<DynamicType = ()>>(verb: Verb, name: &str, source: Error) -> Self {
        Self {
            verb,
            kind: K::kind(&()).into_owned(),
            name: name.to_owned(),
            source,
        }
    }

    /// What the client said.
    #[must_use]
    pub fn cause(&self) -> &Error {
        &self.source
    }
}

impl ErrorCategory for ApplyError {
    fn category(&self) -> &'static str {
        let cause = self.cause();
        match cause {
            _ if is_quota_exceeded(cause) => "QuotaExceeded",
            _ if is_namespace_terminating(cause) => "NamespaceTerminating",
            _ if is_not_found(cause) => "NotFound",
            _ if is_invalid(cause) => "Invalid",
            Error::Api(status) if status.is_conflict() => "Conflict",
            Error::Api(status) if status.is_forbidden() => "Forbidden",
            Error::Api(_) => "ApiServerError",
            _ => "ApiServerUnreachable",
        }
    }
}

/// A ResourceQuota leaves no room for it.
#[must_use]
pub fn is_quota_exceeded(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.is_forbidden() && status.message.contains("exceeded quota"))
}

/// A LimitRange of its namespace lets no container use that much. Ours follows the platform's settings, and a moment late.
#[must_use]
pub fn is_above_limit_range(error: &Error) -> bool {
    let Error::Api(status) = error else { return false };
    status.is_forbidden() && status.message.contains("maximum ") && status.message.contains(" usage per Container is ")
}

/// Another object changed its ResourceQuota in the same moment, and the API server gave up counting.
pub(super) fn is_quota_conflict(error: &Error) -> bool {
    let Error::Api(status) = error else { return false };
    status.is_conflict()
        && status
            .details
            .as_ref()
            .is_some_and(|details| details.kind == "resourcequotas")
}

/// Its namespace is being deleted.
#[must_use]
pub fn is_namespace_terminating(error: &Error) -> bool {
    let Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.is_forbidden() && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// The object, or the namespace or kind that it belongs to, is not there.
#[must_use]
pub fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.is_not_found())
}

/// The API server does not take it as it is.
#[must_use]
pub fn is_invalid(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.is_invalid())
}
