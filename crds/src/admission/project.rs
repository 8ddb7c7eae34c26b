//! Projects: owners make and delete them, who manages projects edits them.

use super::case::{Case, Verdict, warning};
use super::quota::{Limited, one_more};
use super::rights::Right;
use super::{Write, confirm, entitlement, stamp};
use crate::Project;
use crate::denial::Denial;
use crate::entitlement::{Capability, tenant_may};
use crate::tenant_settings::Permission;

pub(super) fn decide(write: &Write<Project>, case: &Case<'_>) -> Verdict {
    stamp::check(write, case.user)?;
    match write {
        Write::Create(new) => {
            case.require(Right::OwnProjects, "create a project", None)?;
            let (tenant, projects) = (case.world.tenant, case.world.projects);
            let used = u64::try_from(projects).unwrap_or(u64::MAX);
            tenant.map_or(Ok(()), |tenant| one_more(Limited::Projects, tenant, used))?;
            check_secrets(None, new, case)?;
            Ok(warnings(None, new, case))
        }
        Write::Update { old, new } if old.spec != new.spec => {
            let name = old.metadata.name.as_deref().unwrap_or_default();
            case.require(
                Right::Permission(Permission::ManageProjects),
                "edit a project",
                Some(name),
            )?;
            check_secrets(Some(old), new, case)?;
            Ok(warnings(Some(old), new, case))
        }
        Write::Update { .. } => Ok(Vec::new()),
        Write::Delete(old) => {
            case.require(Right::OwnProjects, "delete a project", None)?;
            confirm_deletion(old, case)?;
            Ok(Vec::new())
        }
    }
}

/// A name that stands there already stays: it may have become the platform's since, and the operator refuses its builds.
fn check_secrets(old: Option<&Project>, new: &Project, case: &Case<'_>) -> Result<(), Denial> {
    let known = old.map(|old| old.spec.secrets_named()).unwrap_or_default();
    let mut news = new.spec.secrets_named();
    news.retain(|secret| known.iter().all(|known| known.name != secret.name));
    Ok(entitlement::may_name(&news, case.world.pull_secrets)?)
}

fn confirm_deletion(old: &Project, case: &Case<'_>) -> Result<(), Denial> {
    if case.goes_anyway() {
        return Ok(());
    }
    let counts = old.status.as_ref().and_then(|status| status.builds);
    let builds = counts.map_or_else(
        || "its builds".to_owned(),
        |builds| {
            format!(
                "its {} builds ({} running, {} queued)",
                builds.total, builds.running, builds.queued
            )
        },
    );
    let lost = format!(
        "its templates, defaults and rules go, and {builds} can't go on or be run again without it; images and logs stay."
    );
    confirm::deletion(old, &lost)
}

fn warnings(old: Option<&Project>, new: &Project, case: &Case<'_>) -> Vec<String> {
    let says = |project: &Project| project.spec.capabilities.and_then(|capabilities| capabilities.build) == Some(true);
    let written = case.world.tenant.and_then(|tenant| tenant.spec.capabilities.as_ref());
    let is_news = says(new) && !old.is_some_and(says);
    if is_news && !tenant_may(Capability::Build, written, case.world.onboarding) {
        vec![warning(
            "spec.capabilities.build: true changes nothing: builds are off for the tenant, and a project can't turn them on",
        )]
    } else {
        Vec::new()
    }
}
