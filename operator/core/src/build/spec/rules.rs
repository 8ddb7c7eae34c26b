//! What the schema asks of a Build, asked of the whole that came of it: nothing goes in by a template that could not
//! stand in a Build. What the method honours and what the tenant may, [`validate`](crate::build::validate) asks.

use imagefactory_crds::BuildSpec;
use imagefactory_crds::build::Method;
use imagefactory_crds::common::LocalRef;

use super::mistaken;
use crate::build::validated::Refusal;

/// What holds of a Build, and what is said where it does not.
type Rule = (fn(&BuildSpec) -> bool, &'static str);

/// The same words as in the schema (crds/src/build/mod.rs).
const RULES: [Rule; 4] = [
    (
        |spec| !(spec.source.is_some() && spec.recipe.is_some()),
        "name a source or a recipe, not both",
    ),
    (
        |spec| spec.recipe.is_none() || (spec.target.is_none() && spec.build_args.is_empty()),
        "target and buildArgs speak of a Dockerfile; a recipe has none",
    ),
    (
        |spec| spec.method != Some(Method::Custom) || spec.custom.is_some(),
        "method custom and spec.custom come together",
    ),
    (
        keeps_push_secret,
        "the build's steps can read pullSecrets and secrets, so the secret to publish with can't be one of them",
    ),
];

/// Refuses what the schema would not have admitted in a Build.
pub(super) fn check(spec: &BuildSpec) -> Result<(), Refusal> {
    let broken = RULES
        .iter()
        .find(|(holds, _)| !holds(spec))
        .map(|(_, message)| *message);
    let message = match (broken, too_long(spec)) {
        (None, None) => return Ok(()),
        (Some(message), _) => message.to_owned(),
        (None, Some((field, most))) => format!("{field} must have at most {most} items"),
    };
    Err(mistaken(
        "InvalidSpec",
        format!("What comes of the Build and its template is not a Build: {message}."),
        "Change the template, or say otherwise in a new Build.",
    ))
}

fn keeps_push_secret(spec: &BuildSpec) -> bool {
    let push = spec.output.as_ref().and_then(|output| output.push_secret_ref.as_ref());
    let given = |push: &LocalRef| {
        spec.pull_secrets.contains(push) || spec.secrets.iter().any(|secret| secret.secret_ref.name == push.name)
    };
    !push.is_some_and(given)
}

/// Lists that are joined by name can grow beyond what a Build may have.
fn too_long(spec: &BuildSpec) -> Option<(&'static str, usize)> {
    let selector = spec.placement.as_deref();
    let lists = [
        ("buildArgs", spec.build_args.len(), 64),
        ("labels", spec.labels.len(), 64),
        ("secrets", spec.secrets.len(), 16),
        ("pullSecrets", spec.pull_secrets.len(), 8),
        (
            "placement.nodeSelector",
            selector.map_or(0, |labels| labels.node_selector.len()),
            8,
        ),
    ];
    let long = lists.into_iter().find(|(_, length, most)| length > most);
    long.map(|(field, _, most)| (field, most))
}
