//! Work that a tenant asks for (builds, and what else runs): who may start it, and who may stop or remove it.

use serde::Serialize;
use serde_json::{Map, Value};

use super::case::Case;
use super::entitlement::{may, not_archived, not_suspended};
use super::quota::{Limited, one_more_as_told};
use super::rights::Right;
use crate::denial::Denial;
use crate::entitlement::Capability;
use crate::tenant_settings::Permission;

/// Refuses new work that the person, the tenant or the project may not have.
pub(super) fn may_start(case: &Case<'_>, purpose: &str, project: &str, capability: Capability) -> Result<(), Denial> {
    case.require(Right::Permission(Permission::CreateBuilds), purpose, Some(project))?;
    let world = case.world;
    may(capability, world.tenant, world.project, world.onboarding)?;
    world.tenant.map_or(Ok(()), not_suspended)?;
    world.project.map_or(Ok(()), not_archived)?;
    for what in limits_of(capability) {
        world.tenant.map_or(Ok(()), |tenant| one_more_as_told(*what, tenant))?;
    }
    Ok(())
}

/// What new work is counted against.
fn limits_of(capability: Capability) -> &'static [Limited] {
    match capability {
        Capability::Build => &[Limited::Builds, Limited::BuildsPerHour],
        Capability::QuarantineRequest => &[Limited::OpenQuarantineRequests],
        Capability::OnDemandImageScanning | Capability::QuarantineRelease => &[],
    }
}

/// Refuses to let somebody stop or remove work who may not.
pub(super) fn may_stop(case: &Case<'_>, purpose: &str, project: &str) -> Result<(), Denial> {
    case.require(Right::Permission(Permission::CancelBuilds), purpose, Some(project))
}

/// The first field of a spec that differs, but for the one that may.
pub(super) fn first_changed<T: Serialize>(old: &T, new: &T, may: &str) -> Option<String> {
    let fields = |spec: &T| match serde_json::to_value(spec) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let (old, new) = (fields(old), fields(new));
    let names = old.keys().chain(new.keys()).filter(|name| *name != may);
    let mut changed = names.filter(|name| old.get(*name) != new.get(*name));
    changed.next().cloned()
}
