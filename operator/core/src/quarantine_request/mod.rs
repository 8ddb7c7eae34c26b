//! QuarantineRequest: whether it is allowed, again and again while it waits, and what its status says.
//!
//! Approval and import come later: nothing is made for a request yet, and a request never gets further than
//! `PendingApproval`.

mod status;

#[cfg(test)]
mod tests;

pub use status::{requested_by, status};

use std::time::Duration;

use imagefactory_crds::admission::entitlement::{Withheld, may, not_archived, registered};
use imagefactory_crds::denial::Denial;
use imagefactory_crds::entitlement::{Capability, OnboardingPolicy};
use imagefactory_crds::sor_record::{NotRegistered, check::counts_until};
use imagefactory_crds::{Project, QuarantineRequest, SorRecord, Tenant};
use jiff::{SignedDuration, Timestamp};

use crate::tenant::home::NOT_A_TENANT_NAMESPACE;
use crate::tenant::readiness::GRACE;
use crate::tenant::status::POLICY_NOT_FOUND;

/// Reason: the request is allowed and waits for approval.
pub const PENDING_APPROVAL: &str = "PendingApproval";
/// Reason: the request is allowed, and nothing goes on while the tenant is suspended.
pub const TENANT_SUSPENDED: &str = "TenantSuspended";
/// Reason: the system of record does not say at present that the record still holds.
pub const RECORD_NOT_VERIFIED: &str = "RecordNotVerified";
/// Reason: its user withdrew the request.
pub const WITHDRAWN: &str = "Withdrawn";
/// Reason: who asked is not known.
pub const REQUESTER_UNKNOWN: &str = crate::build::REQUESTER_UNKNOWN;
/// Reason: the project does not exist.
pub const PROJECT_NOT_FOUND: &str = "ProjectNotFound";

/// Longest time that is waited for a moment at a stretch, see [`crate::sor_record`].
const LONGEST_SLEEP: SignedDuration = SignedDuration::from_hours(24);

/// Everything that is known when a request is judged.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The request.
    pub request: &'a QuarantineRequest,
    /// Tenant of the namespace.
    pub tenant: Option<&'a Tenant>,
    /// Whether the namespace is going away, and everything in it.
    pub is_leaving: bool,
    /// Project that the request names.
    pub project: Option<&'a Project>,
    /// Whether the ImagePolicy exists that it names, if it names one.
    pub has_policy: bool,
    /// Records of the id that it names.
    pub records: &'a [&'a SorRecord],
    /// The chart's onboarding policy.
    pub onboarding: OnboardingPolicy,
    /// Whether the webhook stamps who asked.
    pub stamps_requester: bool,
    /// The time.
    pub now: Timestamp,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It came to its end before. Nothing is said but that this generation was seen.
    Settled,
    /// It is allowed and waits for approval. At that time it has to be judged again.
    Pending {
        /// When the record stops to count.
        until: Option<Timestamp>,
    },
    /// It waits, and what it waits for passes by itself or by somebody else.
    Held(Reason),
    /// It lacks what may come within moments: what was applied together arrives one by one.
    Lacking(Reason),
    /// Its user withdrew it.
    Withdrawn,
    /// It failed, for good.
    Failed(Reason),
}

impl Verdict {
    /// Quota refuses it.
    #[must_use]
    pub fn over_quota(withheld: Withheld) -> Self {
        Verdict::Failed(Denial::from(withheld).into())
    }

    /// Whether the request begins to wait for approval with this, and is to be counted.
    #[must_use]
    pub fn lets_in(&self, request: &QuarantineRequest) -> bool {
        matches!(self, Self::Pending { .. } | Self::Held(_)) && !was_pending(request)
    }
}

/// A cause, for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// CamelCase, or a code of product.md.
    pub word: &'static str,
    /// For people, with what to do next.
    pub message: String,
}

impl Reason {
    fn new(word: &'static str, message: impl Into<String>) -> Self {
        Self {
            word,
            message: message.into(),
        }
    }
}

impl From<Denial> for Reason {
    fn from(denial: Denial) -> Self {
        Self::new(denial.code.as_str(), denial.message)
    }
}

/// What becomes of the request now. None for one that is being deleted, alone or with its namespace.
#[must_use]
pub fn decide(situation: Situation<'_>) -> Option<Verdict> {
    let request = situation.request;
    if situation.is_leaving || request.metadata.deletion_timestamp.is_some() {
        return None;
    }
    if request.status.as_ref().is_some_and(|status| status.is_settled()) {
        return Some(Verdict::Settled);
    }
    if request.spec.withdrawn {
        return Some(Verdict::Withdrawn);
    }
    Some(judge(situation).unwrap_or_else(|verdict| verdict))
}

/// How long until the request is to be judged again although nothing that it rests on is written.
#[must_use]
pub fn look_again(situation: Situation<'_>, verdict: &Verdict) -> Option<Duration> {
    let now = situation.now;
    let next = match verdict {
        Verdict::Pending { until } => (*until)?,
        Verdict::Lacking(_) => created(situation)?.checked_add(GRACE).ok()?,
        Verdict::Settled | Verdict::Held(_) | Verdict::Withdrawn | Verdict::Failed(_) => return None,
    };
    let rest = next.duration_since(now).clamp(SignedDuration::ZERO, LONGEST_SLEEP);
    Some(rest.unsigned_abs())
}

/// The order is that of who can do something about it: the platform, the tenant, whoever asks.
fn judge(situation: Situation<'_>) -> Result<Verdict, Verdict> {
    let Situation { request, now, .. } = situation;
    let tenant = situation.tenant.ok_or_else(|| lacks(situation, homeless(request)))?;
    entitled(situation, tenant, None)?;
    let project = situation.project.ok_or_else(|| lacks(situation, no_project(request)))?;
    entitled(situation, tenant, Some(project))?;
    let id = request.spec.sor_record_id.as_deref();
    let name = tenant.metadata.name.as_deref().unwrap_or_default();
    let record = registered(name, id, situation.records.iter().copied(), now)
        .map_err(|(cause, denial)| not_registered(situation, cause, denial))?;
    if situation.stamps_requester && requested_by(situation).is_none() {
        let message = "Nobody knows who made this request: it has no annotation imagefactory.dev/requested-by, which the \
                       webhook sets when a request is made. Create a new QuarantineRequest.";
        return Err(Verdict::Failed(Reason::new(REQUESTER_UNKNOWN, message)));
    }
    if let Some(policy) = request.spec.policy_ref.as_ref().filter(|_| !situation.has_policy) {
        return Err(lacks(situation, no_policy(&policy.name)));
    }
    if tenant.spec.suspended {
        let message = "The tenant is suspended: the request waits until a platform administrator lifts that.";
        return Err(Verdict::Held(Reason::new(TENANT_SUSPENDED, message)));
    }
    Ok(Verdict::Pending {
        until: counts_until(record),
    })
}

/// What the webhook asks too, by the same functions. The tenant's part needs no project.
fn entitled(situation: Situation<'_>, tenant: &Tenant, project: Option<&Project>) -> Result<(), Verdict> {
    let denied = |withheld| Verdict::Failed(Denial::from(withheld).into());
    may(
        Capability::QuarantineRequest,
        Some(tenant),
        project,
        situation.onboarding,
    )
    .map_err(denied)?;
    project.map_or(Ok(()), not_archived).map_err(denied)
}

fn not_registered(situation: Situation<'_>, cause: NotRegistered, denial: Denial) -> Verdict {
    let may_come = matches!(cause, NotRegistered::Unknown | NotRegistered::Unverified);
    if may_come && is_young(situation) {
        return Verdict::Lacking(denial.into());
    }
    // An outage of the system of record stops what is new. It does not undo what was asked for before.
    if cause == NotRegistered::Unverified && was_pending(situation.request) {
        let message = format!("The request waits. {}", denial.message);
        return Verdict::Held(Reason::new(RECORD_NOT_VERIFIED, message));
    }
    Verdict::Failed(denial.into())
}

/// Waits for moments for what is missing, and then fails.
fn lacks(situation: Situation<'_>, reason: Reason) -> Verdict {
    if is_young(situation) {
        Verdict::Lacking(reason)
    } else {
        Verdict::Failed(reason)
    }
}

fn created(situation: Situation<'_>) -> Option<Timestamp> {
    let created = situation.request.metadata.creation_timestamp.as_ref()?;
    Some(created.0)
}

fn is_young(situation: Situation<'_>) -> bool {
    created(situation).is_some_and(|created| situation.now.duration_since(created) < GRACE)
}

fn was_pending(request: &QuarantineRequest) -> bool {
    let status = request.status.as_ref();
    status.is_some_and(|status| status.pending_approval_at.is_some())
}

fn homeless(request: &QuarantineRequest) -> Reason {
    let namespace = request.metadata.namespace.as_deref().unwrap_or_default();
    let message = format!(
        "Namespace {namespace} belongs to no Tenant. Make the request in the namespace of a Tenant, tenant-<name>."
    );
    Reason::new(NOT_A_TENANT_NAMESPACE, message)
}

fn no_project(request: &QuarantineRequest) -> Reason {
    let message = format!(
        "Project {} does not exist in this namespace. Create the Project, or name another in spec.projectRef of a new \
         QuarantineRequest.",
        request.spec.project_ref.name
    );
    Reason::new(PROJECT_NOT_FOUND, message)
}

fn no_policy(name: &str) -> Reason {
    let message = format!(
        "ImagePolicy {name}, named in spec.policyRef, does not exist. Name one that does in a new QuarantineRequest, or ask \
         a platform administrator to create it."
    );
    Reason::new(POLICY_NOT_FOUND, message)
}
