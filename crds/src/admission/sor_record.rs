//! SorRecords: platform administrators write them, and the operator where it fetches them.

use super::case::{Case, Verdict};
use super::{Write, stamp};
use crate::SorRecord;

pub(super) fn decide(write: &Write<SorRecord>, case: &Case<'_>) -> Verdict {
    stamp::check(write, case.user)?;
    let changes = match write {
        Write::Update { old, new } => old.spec != new.spec,
        Write::Create(_) | Write::Delete(_) => true,
    };
    if changes && !case.standing.is_factory() {
        case.standing.require_platform("write SorRecords")?;
    }
    Ok(Vec::new())
}
