//! QuarantineRequests: who may ask for an outside image, for which product, and who may withdraw.

use super::case::{Case, Verdict};
use super::{Write, entitlement, stamp, work};
use crate::QuarantineRequest;
use crate::denial::{Cause, Code, Denial};
use crate::entitlement::Capability;

pub(super) fn decide(write: &Write<QuarantineRequest>, case: &Case<'_>) -> Verdict {
    match write {
        Write::Create(new) => create(new, case)?,
        Write::Update { old, new } => update(old, new, case)?,
        Write::Delete(old) => work::may_stop(case, "delete a quarantine request", &old.spec.project_ref.name)?,
    }
    stamp::check(write, case.user)?;
    Ok(Vec::new())
}

fn create(new: &QuarantineRequest, case: &Case<'_>) -> Result<(), Denial> {
    let project = &new.spec.project_ref.name;
    work::may_start(
        case,
        "submit a quarantine request",
        project,
        Capability::QuarantineRequest,
    )?;
    let id = new.spec.sor_record_id.as_ref().map(|id| id.as_str());
    let records = case.world.records.iter().copied();
    entitlement::registered(case.tenant, id, records, case.world.now)
        .map(|_| ())
        .map_err(|(_, denial)| denial)
}

fn update(old: &QuarantineRequest, new: &QuarantineRequest, case: &Case<'_>) -> Result<(), Denial> {
    if old.spec == new.spec {
        return Ok(());
    }
    if let Some(field) = work::first_changed(&old.spec, &new.spec, "withdrawn") {
        return Err(immutable(
            &field,
            "can't change after the QuarantineRequest was created",
        ));
    }
    if old.spec.withdrawn {
        return Err(immutable(
            "withdrawn",
            "can't be taken back: a withdrawn request stays withdrawn",
        ));
    }
    let is_own = stamp::requested_by(old) == Some(case.user.name.as_str());
    if is_own {
        return Ok(());
    }
    work::may_stop(
        case,
        "withdraw another's quarantine request",
        &old.spec.project_ref.name,
    )
}

fn immutable(field: &str, why: &str) -> Denial {
    let path = format!("spec.{field}");
    let message = format!(
        "{path} {why}. Create a new QuarantineRequest instead; only spec.withdrawn can change, and only to true."
    );
    Denial::new(Code::FieldImmutable, message).because(Cause::field(path, "can't change"))
}
