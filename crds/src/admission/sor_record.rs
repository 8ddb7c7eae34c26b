//! SorRecords: platform administrators write them, and the operator where it fetches them.

use super::case::{Case, Verdict};
use super::{Write, stamp};
use crate::SorRecord;
use crate::denial::{Cause, Code, Denial};

pub(super) fn decide(write: &Write<SorRecord>, case: &Case<'_>) -> Verdict {
    stamp::check(write, case.user)?;
    let changes = match write {
        Write::Update { old, new } => old.spec != new.spec,
        Write::Create(_) | Write::Delete(_) => true,
    };
    if changes && !case.standing.is_factory() {
        case.standing.require_platform("write SorRecords")?;
    }
    if let Write::Update { old, new } = write
        && old.spec.record_id != new.spec.record_id
    {
        let message = "spec.recordId can't change after the SorRecord was created. Create a new SorRecord instead.";
        return Err(Denial::new(Code::FieldImmutable, message).because(Cause::field("spec.recordId", "can't change")));
    }
    Ok(Vec::new())
}
