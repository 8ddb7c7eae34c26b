//! One layer over another: what the upper one says wins.
//!
//! Lists that are maps by name are joined by name. Of resources each amount, and of placement each part, is taken by
//! itself ([`resources`] says how a request and a limit that come of two layers agree). Everything else is taken whole; source and
//! recipe are one choice.

use imagefactory_crds::build::{BuildInputs, Placement};
use imagefactory_crds::common::ResourceList;

use super::resources;

/// What `own` says, and what it does not say from `under`.
pub(super) fn over(own: BuildInputs, under: &BuildInputs) -> BuildInputs {
    let has_origin = own.source.is_some() || own.recipe.is_some();
    let (source, recipe) = if has_origin {
        (own.source, own.recipe)
    } else {
        (under.source.clone(), under.recipe.clone())
    };
    BuildInputs {
        source,
        recipe,
        method: own.method.or(under.method),
        platforms: whole(own.platforms, &under.platforms),
        custom: own.custom.or_else(|| under.custom.clone()),
        target: own.target.or_else(|| under.target.clone()),
        build_args: joined(own.build_args, &under.build_args, |arg| &arg.name),
        labels: joined(own.labels, &under.labels, |label| &label.name),
        secrets: joined(own.secrets, &under.secrets, |secret| &secret.id),
        cache: own.cache.or(under.cache),
        proxy: own.proxy.or_else(|| under.proxy.clone()),
        placement: placement(&[own.placement.as_deref(), under.placement.as_deref()]).map(Box::new),
        pull_secrets: joined(own.pull_secrets, &under.pull_secrets, |secret| &secret.name),
        registry_mirrors: whole(own.registry_mirrors, &under.registry_mirrors),
        ca_bundle: own.ca_bundle.or_else(|| under.ca_bundle.clone()),
        resources: resources::merged(
            &[own.resources.as_deref(), under.resources.as_deref()],
            &ResourceList::default(),
        )
        .map(Box::new),
        timeout: own.timeout.or_else(|| under.timeout.clone()),
        retries: own.retries.or(under.retries),
        priority: own.priority.or(under.priority),
        policy_ref: own.policy_ref.or_else(|| under.policy_ref.clone()),
    }
}

/// Lists whose order means something are not mixed.
fn whole<T: Clone>(own: Vec<T>, under: &[T]) -> Vec<T> {
    if own.is_empty() { under.to_vec() } else { own }
}

/// All of `own`, then those of `under` that it does not name.
fn joined<T: Clone, N: PartialEq>(own: Vec<T>, under: &[T], name: fn(&T) -> &N) -> Vec<T> {
    let others: Vec<T> = under
        .iter()
        .filter(|entry| !own.iter().any(|known| name(known) == name(entry)))
        .cloned()
        .collect();
    own.into_iter().chain(others).collect()
}

/// The first that says each part, most particular first; none if nobody says anything.
pub(super) fn placement(layers: &[Option<&Placement>]) -> Option<Placement> {
    let merged = layers
        .iter()
        .copied()
        .flatten()
        .fold(Placement::default(), |merged, next| merged.or(next));
    (merged != Placement::default()).then_some(merged)
}
