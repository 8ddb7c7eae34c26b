//! What a request's status says at each moment (product.md, Status).

use imagefactory_crds::QuarantineRequestStatus;
use imagefactory_crds::admission::known_requester;
use imagefactory_crds::conditions::{self, ConditionStatus, READY, RECONCILING, STALLED, SUCCEEDED, Statement};
use imagefactory_crds::quarantine_request::RequestPhase;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{PENDING_APPROVAL, Reason, Situation, Verdict, WITHDRAWN};

use ConditionStatus::{False, True, Unknown};

/// `Succeeded`, `Ready`, and the condition that is present beside them.
type Moment = (ConditionStatus, ConditionStatus, &'static str);
const WAITS: Moment = (Unknown, Unknown, RECONCILING);
const FOR_NOW: Moment = (Unknown, False, RECONCILING);
const ENDED: Moment = (False, False, STALLED);

/// Who asked, as far as that is known.
#[must_use]
pub fn requested_by(situation: Situation<'_>) -> Option<String> {
    let status = situation.request.status.as_ref();
    let copied = status.and_then(|status| status.requested_by.as_deref());
    known_requester(situation.request, copied, situation.stamps_requester)
}

/// The status that says what became of the request.
#[must_use]
pub fn status(situation: Situation<'_>, verdict: &Verdict) -> QuarantineRequestStatus {
    let old = situation.request.status.clone().unwrap_or_default();
    let generation = situation.request.metadata.generation.unwrap_or_default();
    if *verdict == Verdict::Settled {
        return QuarantineRequestStatus {
            observed_generation: generation,
            ..old
        };
    }
    let (phase, moment, reason) = moment(verdict);
    let mut new = QuarantineRequestStatus {
        observed_generation: generation,
        requested_by: requested_by(situation),
        ..old
    };
    let now = Time(situation.now);
    if let Some(phase) = phase {
        let reached = match phase {
            RequestPhase::PendingApproval => &mut new.pending_approval_at,
            RequestPhase::Withdrawn => &mut new.withdrawn_at,
            RequestPhase::Failed => &mut new.failed_at,
        };
        let reached = reached.get_or_insert(now).clone();
        new.phase = Some(phase);
        new.phase_time = Some(reached);
    }
    conditions::set(
        &mut new.conditions,
        &statements(moment, &reason),
        generation,
        situation.now,
    );
    new
}

/// The phase that is reached, where one is; what the conditions say, and why.
fn moment(verdict: &Verdict) -> (Option<RequestPhase>, Moment, Reason) {
    match verdict {
        Verdict::Settled | Verdict::Pending { .. } => {
            let message = "The request is allowed and waits for approval. spec.withdrawn withdraws it.";
            (
                Some(RequestPhase::PendingApproval),
                WAITS,
                Reason::new(PENDING_APPROVAL, message),
            )
        }
        Verdict::Held(reason) => (Some(RequestPhase::PendingApproval), WAITS, reason.clone()),
        Verdict::Lacking(reason) => (None, FOR_NOW, reason.clone()),
        Verdict::Withdrawn => {
            let reason = Reason::new(WITHDRAWN, "The request was withdrawn.");
            (Some(RequestPhase::Withdrawn), ENDED, reason)
        }
        Verdict::Failed(reason) => (Some(RequestPhase::Failed), ENDED, reason.clone()),
    }
}

fn statements((succeeded, ready, companion): Moment, reason: &Reason) -> [Statement; 3] {
    [(SUCCEEDED, succeeded), (READY, ready), (companion, True)].map(|(type_, status)| Statement {
        type_,
        status,
        reason: reason.word.to_owned(),
        message: reason.message.clone(),
    })
}
