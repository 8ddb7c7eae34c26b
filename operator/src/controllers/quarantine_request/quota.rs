//! Whether quota lets a request in that begins to wait for approval: asked of memory, once.

use std::sync::{Mutex, PoisonError};

use imagefactory_core::quarantine_request::{Situation, Verdict};
use imagefactory_core::quota::{Book, Existing};
use imagefactory_crds::admission::quota::Limited;

use crate::context::Context;

/// What counts a request.
const LIMITS: [Limited; 1] = [Limited::OpenQuarantineRequests];

/// Who was let in. One for as long as this process leads: what was let in before stands in statuses.
#[derive(Default)]
pub(super) struct Quotas(Mutex<Book>);

impl Quotas {
    /// The verdict, or that quota refuses the request.
    pub(super) fn judge(&self, verdict: Verdict, situation: Situation<'_>, context: &Context) -> Verdict {
        let request = situation.request;
        let is_limited = situation.tenant.filter(|tenant| LIMITS[0].limit(tenant).is_some());
        let (Some(tenant), true, Some(one)) = (is_limited, verdict.lets_in(request), Existing::request(request)) else {
            return verdict;
        };
        // Read while nobody else is let in.
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let namespace = request.metadata.namespace.as_deref().unwrap_or_default();
        let requests = context.stores.quarantine_requests_by_namespace.get(namespace);
        let others: Vec<Existing<'_>> = requests.iter().filter_map(|other| Existing::request(other)).collect();
        match book.ask(tenant, &LIMITS, (&one, &others), situation.now) {
            Ok(()) => verdict,
            Err(withheld) => Verdict::over_quota(withheld),
        }
    }
}
