//! Builds: who may start, cancel and delete them, and what can't be asked for.

use super::case::{Case, Verdict};
use super::{Write, entitlement, stamp, work};
use crate::build::Method;
use crate::build::support::first_unsupported;
use crate::denial::{Cause, Code, Denial};
use crate::entitlement::Capability;
use crate::{Build, BuildSpec, Project};

pub(super) fn decide(write: &Write<Build>, case: &Case<'_>) -> Verdict {
    match write {
        Write::Create(new) => create(new, case)?,
        Write::Update { old, new } => update(old, new, case)?,
        Write::Delete(old) => work::may_stop(case, "delete a build", &old.spec.project_ref.name)?,
    }
    stamp::check(write, case.user)?;
    Ok(Vec::new())
}

fn create(new: &Build, case: &Case<'_>) -> Result<(), Denial> {
    let project = &new.spec.project_ref.name;
    work::may_start(case, "create a build", project, Capability::Build)?;
    check_method(&new.spec, case.world.project)?;
    entitlement::may_name(&new.spec.secrets_named(), case.world.pull_secrets)?;
    check_placement(&new.spec, case)
}

fn update(old: &Build, new: &Build, case: &Case<'_>) -> Result<(), Denial> {
    if old.spec == new.spec {
        return Ok(());
    }
    if let Some(field) = work::first_changed(&old.spec, &new.spec, "cancelled") {
        return Err(immutable(&field, "can't change after the Build was created"));
    }
    if old.spec.cancelled {
        return Err(immutable(
            "cancelled",
            "can't be taken back: a cancelled build stays cancelled",
        ));
    }
    work::may_stop(case, "cancel a build", &old.spec.project_ref.name)
}

fn immutable(field: &str, why: &str) -> Denial {
    let path = format!("spec.{field}");
    let message =
        format!("{path} {why}. Create a new Build instead; only spec.cancelled can change, and only to true.");
    Denial::new(Code::FieldImmutable, message).because(Cause::field(path, "can't change"))
}

/// What the Build says itself, by its own or its template's method: more can only come to it from the template, and the
/// operator looks at the whole. A rerun says nothing itself.
fn check_method(spec: &BuildSpec, project: Option<&Project>) -> Result<(), Denial> {
    let Some(method) = method_of(spec, project) else {
        return Ok(());
    };
    first_unsupported(spec, method).map_or(Ok(()), |unsupported| {
        let field = unsupported.field.split(' ').next().unwrap_or_default();
        let message = format!(
            "{} Leave the field out, or choose another method.",
            unsupported.message(method)
        );
        Err(Denial::new(Code::FieldNotSupported, message)
            .because(Cause::of("Method", method.as_str()))
            .because(Cause::field(
                field,
                format!("can't be honoured by method {}", method.as_str()),
            )))
    })
}

/// The method that counts; none where it can't be told here.
fn method_of(spec: &BuildSpec, project: Option<&Project>) -> Option<Method> {
    if spec.rerun_of.is_some() {
        return None;
    }
    let Some(wanted) = &spec.template_ref else {
        return Some(spec.method.unwrap_or_default());
    };
    let template = project?.spec.templates.iter().find(|known| known.name == wanted.name)?;
    Some(spec.method.or(template.inputs.method).unwrap_or_default())
}

fn check_placement(spec: &BuildSpec, case: &Case<'_>) -> Result<(), Denial> {
    let (Some(placement), Some(platform)) = (&spec.placement, case.world.platform_placement) else {
        return Ok(());
    };
    Ok(entitlement::may_run_at(placement, case.world.tenant, platform)?)
}
