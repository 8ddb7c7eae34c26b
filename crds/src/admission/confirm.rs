//! Destructive acts want to be confirmed: by an annotation with the name of what goes.

use kube_core::Resource;

use super::stamp::{annotation, path};
use super::standing::brief;
use crate::denial::{Cause, Code, Denial};
use crate::names::ANNOTATION_CONFIRM;

/// Whether the annotation lists a name. A name may hold commas itself: then its parts have to stand there in a row.
#[must_use]
pub fn lists(annotation: Option<&str>, name: &str) -> bool {
    fn parts(text: &str) -> Vec<&str> {
        text.split(',').map(str::trim).collect()
    }
    let wanted = parts(name);
    annotation.is_some_and(|text| {
        parts(text)
            .windows(wanted.len())
            .any(|window| window == wanted.as_slice())
    })
}

/// Asks for the confirmation of a deletion.
///
/// # Errors
/// `confirmation_required`, with what would be `lost` and the annotation to set.
pub fn deletion<K: Resource<DynamicType = ()>>(object: &K, lost: &str) -> Result<(), Denial> {
    let meta = object.meta();
    let name = meta.name.as_deref().unwrap_or_default();
    if meta.deletion_timestamp.is_some() || lists(annotation(object, ANNOTATION_CONFIRM), name) {
        return Ok(());
    }
    let kind = K::kind(&());
    let place = meta
        .namespace
        .as_deref()
        .map(|namespace| format!(" -n {}", brief(namespace)));
    let message = format!(
        "Deleting {kind} {name} can't be undone: {lost} To confirm, set the annotation {ANNOTATION_CONFIRM} to its name, then delete it: kubectl annotate {} {name}{} {ANNOTATION_CONFIRM}={name}",
        kind.to_lowercase(),
        place.unwrap_or_default(),
        name = brief(name),
    );
    Err(Denial::new(Code::ConfirmationRequired, message)
        .because(Cause::of(word(&kind), brief(name)))
        .because(Cause::field(
            path(ANNOTATION_CONFIRM),
            format!("must be {}", brief(name)),
        )))
}

fn word(kind: &str) -> &'static str {
    match kind {
        "Tenant" => "Tenant",
        "Project" => "Project",
        _ => "Object",
    }
}

/// Names of `gone` that the update does not confirm: a name counts only in the update that adds it to the annotation.
pub(super) fn unconfirmed<'a, K: Resource>(old: &K, new: &K, gone: &[&'a str]) -> Vec<&'a str> {
    let (before, after) = (annotation(old, ANNOTATION_CONFIRM), annotation(new, ANNOTATION_CONFIRM));
    let confirmed = |name: &str| lists(after, name) && !lists(before, name);
    gone.iter().copied().filter(|name| !confirmed(name)).collect()
}
