//! All reads of the controller of QuarantineRequests: from the watches' stores.

use std::sync::Arc;

use imagefactory_core::quarantine_request::Situation;
use imagefactory_crds::{Project, QuarantineRequest, SorRecord, Tenant};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use crate::context::Context;
use crate::controllers::tenant::home::{Home, home};

/// What was found.
pub(super) struct Observed {
    tenant: Option<Arc<Tenant>>,
    is_leaving: bool,
    project: Option<Arc<Project>>,
    has_policy: bool,
    records: Vec<Arc<SorRecord>>,
}

impl Observed {
    pub(super) fn records(&self) -> Vec<&SorRecord> {
        self.records.iter().map(AsRef::as_ref).collect()
    }

    pub(super) fn situation<'a>(
        &'a self,
        request: &'a QuarantineRequest,
        records: &'a [&'a SorRecord],
        context: &Context,
    ) -> Situation<'a> {
        Situation {
            request,
            tenant: self.tenant.as_deref(),
            is_leaving: self.is_leaving,
            project: self.project.as_deref(),
            has_policy: self.has_policy,
            records,
            onboarding: context.settings.onboarding,
            stamps_requester: context.settings.stamps_requester,
            now: context.now(),
        }
    }
}

/// What is there of all that a request refers to.
pub(super) fn observe(request: &QuarantineRequest, context: &Context) -> Observed {
    let namespace = request.namespace().unwrap_or_default();
    let stores = &context.stores;
    let Home { tenant, is_leaving } = home(&namespace, stores);
    let policy = request.spec.policy_ref.as_ref();
    let id = request.spec.sor_record_id.as_deref();
    Observed {
        tenant,
        is_leaving,
        project: stores
            .projects
            .get(&ObjectRef::new(&request.spec.project_ref.name).within(&namespace)),
        has_policy: policy.is_some_and(|policy| stores.policies.get(&ObjectRef::new(&policy.name)).is_some()),
        records: id.map(|id| stores.sor_records_by_id.get(id)).unwrap_or_default(),
    }
}
