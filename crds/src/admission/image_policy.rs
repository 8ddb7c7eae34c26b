//! ImagePolicies: platform administrators write them.

use super::case::{Case, Verdict};
use super::{Write, stamp};
use crate::ImagePolicy;

pub(super) fn decide(write: &Write<ImagePolicy>, case: &Case<'_>) -> Verdict {
    stamp::check(write, case.user)?;
    let changes = match write {
        Write::Update { old, new } => old.spec != new.spec,
        Write::Create(_) | Write::Delete(_) => true,
    };
    if changes {
        case.standing.require_platform("write ImagePolicies")?;
    }
    Ok(Vec::new())
}
