//! Whether quota lets a request in that begins to wait for approval, in a project that the tenant may have: asked of
//! memory, once.

use std::sync::{Mutex, PoisonError};

use imagefactory_core::quarantine_request::{Situation, Verdict};
use imagefactory_core::quota::{Book, Existing};
use imagefactory_crds::Tenant;
use imagefactory_crds::admission::entitlement::Withheld;
use imagefactory_crds::admission::quota::Limited;

use crate::context::Context;
use crate::controllers::project::within_projects_quota;

/// What counts a request.
const LIMITS: [Limited; 1] = [Limited::OpenQuarantineRequests];

/// Who was let in. One for as long as this process leads: what was let in before stands in statuses.
#[derive(Default)]
pub(super) struct Quotas(Mutex<Book>);

impl Quotas {
    /// The verdict, or that quota refuses the request.
    pub(super) fn judge(&self, verdict: Verdict, situation: Situation<'_>, context: &Context) -> Verdict {
        let request = situation.request;
        let (Some(tenant), true) = (situation.tenant, verdict.lets_in(request)) else {
            return verdict;
        };
        let namespace = request.metadata.namespace.as_deref().unwrap_or_default();
        let project = (namespace, request.spec.project_ref.name.as_str());
        let is_let_in =
            within_projects_quota(project, tenant, context).and_then(|()| self.ask(tenant, situation, context));
        match is_let_in {
            Ok(()) => verdict,
            Err(withheld) => Verdict::over_quota(withheld),
        }
    }

    fn ask(&self, tenant: &Tenant, situation: Situation<'_>, context: &Context) -> Result<(), Withheld> {
        let request = situation.request;
        let is_limited = LIMITS.iter().any(|limited| limited.limit(tenant).is_some());
        let Some(one) = Existing::request(request).filter(|_| is_limited) else {
            return Ok(());
        };
        let namespace = request.metadata.namespace.as_deref().unwrap_or_default();
        // Read while nobody else is let in.
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = context.stores.quarantine_requests_by_namespace.get(namespace);
        let others: Vec<Existing<'_>> = requests.iter().filter_map(|other| Existing::request(other)).collect();
        book.ask(tenant, &LIMITS, (&one, &others), situation.now)
    }
}
