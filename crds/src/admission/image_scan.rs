//! ImageScans: who may ask for one, of which image, and who may cancel it.

use super::case::{Case, Verdict};
use super::{Write, stamp, work};
use crate::ImageScan;
use crate::denial::{Cause, Code, Denial};
use crate::entitlement::Capability;
use crate::image_scan::place::scannable;

pub(super) fn decide(write: &Write<ImageScan>, case: &Case<'_>) -> Verdict {
    match write {
        Write::Create(new) => create(new, case)?,
        Write::Update { old, new } => update(old, new, case)?,
        Write::Delete(old) => work::may_stop(case, "delete a scan", &old.spec.project_ref.name)?,
    }
    stamp::check(write, case.user)?;
    Ok(Vec::new())
}

fn create(new: &ImageScan, case: &Case<'_>) -> Result<(), Denial> {
    let project = &new.spec.project_ref.name;
    work::may_start(case, "ask for a scan", project, Capability::OnDemandImageScanning)?;
    // Where the platform's registries are not told, the operator alone asks.
    if let (Some(tenant), Some(platform)) = (case.world.tenant, case.world.registries) {
        scannable(&new.spec, tenant, platform)?;
    }
    Ok(())
}

fn update(old: &ImageScan, new: &ImageScan, case: &Case<'_>) -> Result<(), Denial> {
    if old.spec == new.spec {
        return Ok(());
    }
    if let Some(field) = work::first_changed(&old.spec, &new.spec, "cancelled") {
        return Err(immutable(&field, "can't change after the ImageScan was created"));
    }
    if old.spec.cancelled {
        return Err(immutable(
            "cancelled",
            "can't be taken back: a cancelled scan stays cancelled",
        ));
    }
    work::may_stop(case, "cancel a scan", &old.spec.project_ref.name)
}

fn immutable(field: &str, why: &str) -> Denial {
    let path = format!("spec.{field}");
    let message =
        format!("{path} {why}. Create a new ImageScan instead; only spec.cancelled can change, and only to true.");
    Denial::new(Code::FieldImmutable, message).because(Cause::field(path, "can't change"))
}
