//! What a rerun runs: what another Build of the project ran.

use imagefactory_crds::Build;
use imagefactory_crds::build::{BuildInputs, BuildStatus};
use imagefactory_crds::common::LocalRef;

use super::{Holder, Origin, mistaken, record};
use crate::build::status::is_settled;
use crate::build::validated::Refusal;

const ANOTHER: &str = "Name another Build in spec.rerunOf of a new one, or write out what to build.";

/// The inputs of the Build that is run again, and the Build whose spec holds the long ones.
pub(super) fn inputs<'a>(
    build: &Build,
    of: &LocalRef,
    origin: Origin<'a>,
) -> Result<(BuildInputs, Option<Holder<'a>>), Refusal> {
    let first = origin.references.rerun_of.ok_or_else(|| {
        Refusal::not_found(
            "RerunNotFound",
            format!("Build {} does not exist, so it can't be run again.", of.name),
            ANOTHER,
        )
    })?;
    if first.spec.project_ref != build.spec.project_ref {
        return Err(mistaken(
            "RerunOfOtherProject",
            format!(
                "Build {} belongs to project {}; only a Build of project {} can be run again here.",
                of.name, first.spec.project_ref.name, build.spec.project_ref.name
            ),
            ANOTHER,
        ));
    }
    if !is_settled(first.status.as_ref()) {
        return Err(mistaken(
            "RerunUnfinished",
            format!("Build {} has not ended yet.", of.name),
            "Create a new Build once it has ended.",
        ));
    }
    let recorded = first.status.as_ref().and_then(|status| status.resolved_spec.as_deref());
    let recorded = recorded.ok_or_else(|| {
        mistaken(
            "RerunNotRecorded",
            format!(
                "Build {} was never taken on, so nothing says what it would have run.",
                of.name
            ),
            ANOTHER,
        )
    })?;
    let (mut inputs, lost) = record::restore(first, recorded, origin);
    if !lost.is_empty() {
        return Err(record::refusal(&lost, recorded, origin));
    }
    pin(&mut inputs, first.status.as_ref());
    let own = &build.spec;
    inputs.timeout = own.timeout.clone().or(inputs.timeout);
    inputs.retries = own.retries.or(inputs.retries);
    inputs.priority = own.priority.or(inputs.priority);
    let holder = match &recorded.inputs_of {
        Some(name) => origin.references.inputs_of.map(|holder| (name.clone(), &holder.spec)),
        None => Some((of.name.clone(), &first.spec)),
    };
    Ok((inputs, holder))
}

/// From the commit that was built, if one was: branches and tags move.
pub(super) fn pin(inputs: &mut BuildInputs, status: Option<&BuildStatus>) {
    let commit = status
        .and_then(|status| status.source.as_ref()?.commit.as_deref())
        .filter(|commit| is_commit(commit));
    let git = inputs.source.as_mut().and_then(|source| source.git.as_mut());
    if let (Some(git), Some(commit)) = (git, commit) {
        git.revision = Some(commit.into());
    }
}

fn is_commit(text: &str) -> bool {
    [40, 64].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
