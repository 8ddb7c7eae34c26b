//! The one entry: which rules a write is held to.

use super::case::Case;
use super::standing::brief;
use super::{
    Decision, Request, Subject, World, attempt, build, image_policy, image_scan, lifetime, project, quarantine_request,
    settings, sor_record, tenant,
};
use crate::denial::{Cause, Denial};

/// Decides about one write. Pure: the same request in the same world has the same answer. Of several reasons to refuse
/// it the first is told: persons before entitlement (who holds nothing in a tenant learns nothing of it), entitlement
/// before what the tenant could mend itself.
#[must_use]
pub fn decide(request: &Request, world: &World<'_>) -> Decision {
    let case = Case::of(request, world);
    let verdict = match &request.subject {
        Subject::Tenant(write) => tenant::decide(write, &case),
        Subject::TenantSettings(write) => settings::decide(write, &case),
        Subject::Project(write) => project::decide(write, &case),
        Subject::Build(write) => build::decide(write, &case),
        Subject::ImagePolicy(write) => image_policy::decide(write, &case),
        Subject::SorRecord(write) => sor_record::decide(write, &case),
        Subject::ImageScan(write) => image_scan::decide(write, &case),
        Subject::QuarantineRequest(write) => quarantine_request::decide(write, &case),
    };
    let verdict = verdict.and_then(|warnings| lifetime::check(&request.subject, &case).map(|()| warnings));
    match verdict {
        Ok(warnings) => Decision {
            denial: None,
            warnings,
            attempt: attempt::of(&request.subject),
        },
        Err(denial) => Decision {
            denial: Some(of_tenant(denial, case.tenant)),
            ..Decision::default()
        },
    }
}

/// Every denial says of which tenant it is, where there is one.
fn of_tenant(denial: Denial, tenant: &str) -> Denial {
    if tenant.is_empty() || denial.causes.iter().any(|cause| cause.reason == "Tenant") {
        denial
    } else {
        denial.because(Cause::of("Tenant", brief(tenant)))
    }
}
