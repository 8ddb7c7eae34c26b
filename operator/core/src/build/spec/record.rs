//! The record of what a Build runs, as it stands in status: short enough to stand there, and whole again when it is
//! needed.
//!
//! A field that is too long is referred to: it stands in the Build's spec, which does not change, or in the project's
//! template, which may. Its digest tells. What is no more as it was is never run in its place.

use imagefactory_crds::Build;
use imagefactory_crds::build::{BuildInputs, LongField, ReferredField, ResolvedSpec};
use serde::Serialize;

use super::{Origin, inputs_of, mistaken, rerun, template_of};
use crate::build::names::{Stage, stage_of};
use crate::build::validated::Refusal;
use imagefactory_crds::digest::sha256;

/// Most bytes of a record as JSON. With everything else that a status may hold, it stays under 10 kB.
pub(super) const MAX_RECORD: usize = 3000;
/// A reference is about as long as this.
const WORTH_IT: usize = 110;

/// Refers to what is too long: first what `own` holds as it is, since that does not change; the longest first.
///
/// Inline files that stand in the Build itself are never repeated.
pub(super) fn shorten(mut record: ResolvedSpec, own: &BuildInputs) -> ResolvedSpec {
    let is_own = |inputs: &BuildInputs, field| text(inputs, field) == text(own, field);
    let has_files = |inputs: &BuildInputs| inputs.source.as_ref().is_some_and(|source| source.inline.is_some());
    if record.inputs_of.is_none() && has_files(&record.inputs) && is_own(&record.inputs, LongField::Source) {
        refer(&mut record, LongField::Source);
    }
    while json(&record).len() > MAX_RECORD {
        let fields = LongField::ALL.into_iter();
        let longest = fields
            .filter_map(|field| Some((is_own(&record.inputs, field), text(&record.inputs, field)?.len(), field)))
            .filter(|(_, length, _)| *length > WORTH_IT)
            .max();
        let Some((_, _, field)) = longest else { break };
        refer(&mut record, field);
    }
    if record.referred.is_empty() {
        record.inputs_of = None;
    }
    record
}

fn refer(record: &mut ResolvedSpec, field: LongField) {
    if let Some(text) = text(&record.inputs, field) {
        record.referred.push(ReferredField {
            field,
            digest: sha256(&text).as_str().into(),
        });
        copy(&mut record.inputs, &BuildInputs::default(), field);
    }
}

/// All inputs of a record that belongs to `build`, and the fields that are no more as they were.
pub(super) fn restore(build: &Build, record: &ResolvedSpec, origin: Origin<'_>) -> (BuildInputs, Vec<LongField>) {
    let mut inputs = record.inputs.clone();
    let holder = match &record.inputs_of {
        Some(_) => origin.references.inputs_of,
        None => Some(build),
    };
    let mut wanted: Vec<&ReferredField> = record.referred.iter().collect();
    let made: [fn(&Build, Origin<'_>) -> Option<BuildInputs>; 3] = [as_written, as_recorded, as_made_now];
    for made in made {
        let holder = holder.filter(|holder| !wanted.is_empty() && holder.spec.project_ref == build.spec.project_ref);
        let Some(mut found) = holder.and_then(|holder| made(holder, origin)) else {
            continue;
        };
        if record.inputs_of.is_some() {
            rerun::pin(&mut found, holder.and_then(|holder| holder.status.as_ref()));
        }
        wanted.retain(|referred| {
            let is_it = text(&found, referred.field).is_some_and(|text| sha256(&text) == referred.digest.0);
            if is_it {
                copy(&mut inputs, &found, referred.field);
            }
            !is_it
        });
    }
    (inputs, wanted.into_iter().map(|referred| referred.field).collect())
}

fn as_written(holder: &Build, _: Origin<'_>) -> Option<BuildInputs> {
    Some(BuildInputs::of(&holder.spec))
}

/// What a Build that is run again was itself given.
fn as_recorded(holder: &Build, _: Origin<'_>) -> Option<BuildInputs> {
    let record = holder.status.as_ref()?.resolved_spec.as_ref()?;
    Some(record.inputs.clone())
}

fn as_made_now(holder: &Build, origin: Origin<'_>) -> Option<BuildInputs> {
    let template = template_of(holder, origin.project).ok()?;
    Some(inputs_of(holder, template, origin))
}

/// Whether an attempt to build is yet to be begun: only that needs the inputs whole, a rerun's those of the Build that it
/// names.
#[must_use]
pub fn is_to_begin(build: &Build) -> bool {
    let status = build.status.as_ref();
    let waits = status.is_none_or(|status| status.attempts.is_none() || status.next_attempt_at.is_some());
    waits && stage_of(status) == Stage::Build
}

/// What was referred to is no more as it was.
pub(super) fn refusal(lost: &[LongField], record: &ResolvedSpec, origin: Origin<'_>) -> Refusal {
    let fields: Vec<_> = lost.iter().map(|field| field.as_str()).collect();
    let place = match (&record.inputs_of, &record.template) {
        (Some(build), _) => format!("Build {build}"),
        (None, Some(template)) => format!("template {template} of project {}", origin.identity.project),
        (None, None) => format!("project {}", origin.identity.project),
    };
    mistaken(
        "InputsChanged",
        format!(
            "{} was too long to be kept in status, and {place} does not say it any more.",
            fields.join(", ")
        ),
        "Create a new Build, which takes what is said now.",
    )
}

/// A field as JSON; none where it says nothing.
fn text(inputs: &BuildInputs, field: LongField) -> Option<String> {
    match field {
        LongField::Source => inputs.source.as_ref().map(json),
        LongField::Recipe => inputs.recipe.as_ref().map(json),
        LongField::Custom => inputs.custom.as_ref().map(json),
        LongField::BuildArgs => list(&inputs.build_args),
        LongField::Labels => list(&inputs.labels),
        LongField::Secrets => list(&inputs.secrets),
        LongField::Proxy => inputs.proxy.as_ref().map(json),
        LongField::Placement => inputs.placement.as_ref().map(json),
        LongField::PullSecrets => list(&inputs.pull_secrets),
        LongField::RegistryMirrors => list(&inputs.registry_mirrors),
    }
}

fn copy(to: &mut BuildInputs, from: &BuildInputs, field: LongField) {
    match field {
        LongField::Source => to.source.clone_from(&from.source),
        LongField::Recipe => to.recipe.clone_from(&from.recipe),
        LongField::Custom => to.custom.clone_from(&from.custom),
        LongField::BuildArgs => to.build_args.clone_from(&from.build_args),
        LongField::Labels => to.labels.clone_from(&from.labels),
        LongField::Secrets => to.secrets.clone_from(&from.secrets),
        LongField::Proxy => to.proxy.clone_from(&from.proxy),
        LongField::Placement => to.placement.clone_from(&from.placement),
        LongField::PullSecrets => to.pull_secrets.clone_from(&from.pull_secrets),
        LongField::RegistryMirrors => to.registry_mirrors.clone_from(&from.registry_mirrors),
    }
}

fn list<T: Serialize>(list: &[T]) -> Option<String> {
    (!list.is_empty()).then(|| json(&list))
}

/// Structs of strings, numbers and lists have no value that JSON can't hold, and their fields an order.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
