//! What a Build runs: its own words over a template's, over its project's, its tenant's and the platform's defaults.
//!
//! It is put together once, when the Build is taken on, and recorded in status; from then on the record decides
//! ([`record`]). What is allowed is no part of it: [`validate`](super::validated::validate) asks that each time anew.

mod defaults;
mod merge;
mod record;
mod rerun;
mod resources;
mod rules;

#[cfg(test)]
mod long_tests;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod rerun_tests;
#[cfg(test)]
mod resource_tests;
#[cfg(test)]
mod tests;

pub use record::is_to_begin;

use imagefactory_crds::build::{BuildInputs, BuildTemplate, FailureClass, LongField, Output, ResolvedSpec};
use imagefactory_crds::common::ObjectName;
use imagefactory_crds::{Build, BuildSpec, Project};

use super::names::Identity;
use super::validated::{References, Refusal};
use crate::settings::Settings;

/// A spec that says everything itself.
pub(super) struct Resolved {
    /// The spec.
    pub(super) spec: BuildSpec,
    /// What is recorded of it.
    pub(super) record: Box<ResolvedSpec>,
    /// Fields that were referred to and are no more as they were. The attempt that goes on has them; another one is
    /// not begun.
    pub(super) lost: Vec<LongField>,
}

/// What everything that goes into a spec comes from.
#[derive(Clone, Copy)]
struct Origin<'a> {
    identity: &'a Identity,
    project: &'a Project,
    references: References<'a>,
    settings: &'a Settings,
}

/// What a Build runs: as recorded, else as put together now.
pub(super) fn resolve(
    build: &Build,
    identity: &Identity,
    project: &Project,
    references: References<'_>,
    settings: &Settings,
) -> Result<Resolved, Refusal> {
    let origin = Origin {
        identity,
        project,
        references,
        settings,
    };
    let recorded = build.status.as_ref().and_then(|status| status.resolved_spec.as_deref());
    let resolved = match recorded.or(references.begun_with) {
        Some(recorded) => again(build, recorded, origin)?,
        None => anew(build, origin)?,
    };
    if resolved.lost.is_empty() {
        rules::check(&resolved.spec)?;
        resources::check(&resolved.spec, build, origin)?;
    }
    Ok(resolved)
}

fn again(build: &Build, recorded: &ResolvedSpec, origin: Origin<'_>) -> Result<Resolved, Refusal> {
    let (inputs, lost) = record::restore(build, recorded, origin);
    if !lost.is_empty() && record::is_to_begin(build) {
        return Err(record::refusal(&lost, recorded, origin));
    }
    Ok(Resolved {
        spec: inputs.into_spec(build.spec.project_ref.clone(), recorded.output.clone()),
        record: Box::new(recorded.clone()),
        lost,
    })
}

fn anew(build: &Build, origin: Origin<'_>) -> Result<Resolved, Refusal> {
    let template = template_of(build, origin.project)?;
    let output = Some(Box::new(output_of(build, template, origin)));
    let (inputs, holder) = match &build.spec.rerun_of {
        Some(of) => rerun::inputs(build, of, origin)?,
        None => (inputs_of(build, template, origin), None),
    };
    let whole = ResolvedSpec {
        template: template.map(|template| template.name.clone()),
        inputs_of: holder.as_ref().map(|(name, _)| name.clone()),
        inputs,
        output,
        referred: Vec::new(),
    };
    let own = BuildInputs::of(holder.map_or(&build.spec, |(_, spec)| spec));
    Ok(Resolved {
        spec: (whole.inputs.clone()).into_spec(build.spec.project_ref.clone(), whole.output.clone()),
        record: Box::new(record::shorten(whole, &own)),
        lost: Vec::new(),
    })
}

/// A Build's own words over its template's, with every default.
fn inputs_of(build: &Build, template: Option<&BuildTemplate>, origin: Origin<'_>) -> BuildInputs {
    let own = BuildInputs::of(&build.spec);
    let said = match template {
        Some(template) => merge::over(own, &template.inputs),
        None => own,
    };
    defaults::fill(said, origin.project, origin.references.tenant_settings, origin.settings)
}

/// The template that a Build names.
fn template_of<'a>(build: &Build, project: &'a Project) -> Result<Option<&'a BuildTemplate>, Refusal> {
    let Some(wanted) = &build.spec.template_ref else {
        return Ok(None);
    };
    let found = project.spec.templates.iter().find(|known| known.name == wanted.name);
    found.map(Some).ok_or_else(|| {
        Refusal::not_found(
            "TemplateNotFound",
            format!(
                "Project {} has no template {}.",
                build.spec.project_ref.name, wanted.name
            ),
            "Add the template to spec.templates of the Project, or name another in spec.templateRef of a new Build.",
        )
    })
}

/// Where the image is published: what the Build says, else what the template does, else the platform's place for it.
fn output_of(build: &Build, template: Option<&BuildTemplate>, origin: Origin<'_>) -> Output {
    let own = build.spec.output.clone().unwrap_or_default();
    let of_template = template.and_then(|template| template.output.as_ref());
    let repository = of_template.and_then(|output| output.repository.as_ref());
    let named = || repository.map(|repository| format!("{repository}:{}", origin.identity.name));
    let image = own.image.map(|image| image.0).or_else(named);
    let image = image.unwrap_or_else(|| default_image(origin.identity, origin.settings));
    let push_secret = of_template.and_then(|output| output.push_secret_ref.clone());
    Output {
        image: Some(image.as_str().into()),
        push_secret_ref: own.push_secret_ref.or(push_secret),
    }
}

/// Where images are published that nobody says anything of.
pub(super) fn default_image(identity: &Identity, settings: &Settings) -> String {
    format!(
        "{}/{}/{}:{}",
        settings.output.prefix, identity.tenant, identity.project, identity.name
    )
}

/// A failure of what the tenant wrote.
fn mistaken(reason: &'static str, message: String, next: &str) -> Refusal {
    Refusal::failure(FailureClass::Source, reason, message, next)
}

/// The Build whose spec holds what a rerun refers to, by name.
type Holder<'a> = (ObjectName, &'a BuildSpec);
