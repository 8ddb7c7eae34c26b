//! Who asked (trust.md, Persons): the annotation is stamped when the object is made and stays as it is.

use kube_core::Resource;

use super::{Requester, Write};
use crate::denial::{Cause, Code, Denial};
use crate::names::ANNOTATION_REQUESTED_BY;

/// Who asked for an object, as its annotation says.
#[must_use]
pub fn requested_by<K: Resource>(object: &K) -> Option<&str> {
    annotation(object, ANNOTATION_REQUESTED_BY)
}

/// Most characters of a requester: what the schema of `status.requestedBy` admits.
const MAX_REQUESTER: usize = 512;

/// Who asked, for the operator: as it was copied into status before, else as the webhook stamped it. Nobody where no
/// webhook does: anybody could have written that.
#[must_use]
pub fn known_requester<K: Resource>(object: &K, copied: Option<&str>, stamps: bool) -> Option<String> {
    let is_usable = |name: &&str| stamps && !name.is_empty() && name.chars().count() <= MAX_REQUESTER;
    let stamped = || requested_by(object).filter(is_usable);
    copied.or_else(stamped).map(str::to_owned)
}

/// Refuses a stamp that names another than the one who makes the object, and one that is changed, taken away or put on later.
///
/// # Errors
/// `field_immutable`, with the path of the annotation.
pub fn check<K: Resource>(write: &Write<K>, user: &Requester) -> Result<(), Denial> {
    let (as_is, as_would_be) = match write {
        Write::Create(new) => (None, requested_by(&**new).filter(|name| *name != user.name)),
        Write::Update { old, new } => (requested_by(&**old), requested_by(&**new)),
        Write::Delete(_) => (None, None),
    };
    if as_is == as_would_be {
        return Ok(());
    }
    let message = format!(
        "The annotation {ANNOTATION_REQUESTED_BY} tells who asked: it is set to the user who creates the object and can't change. Leave it out of what you apply."
    );
    Err(Denial::new(Code::FieldImmutable, message).because(Cause::field(
        path(ANNOTATION_REQUESTED_BY),
        "is set when the object is created and can't change",
    )))
}

/// The value of an annotation.
pub(super) fn annotation<'a, K: Resource>(object: &'a K, key: &str) -> Option<&'a str> {
    let annotations = object.meta().annotations.as_ref()?;
    annotations.get(key).map(String::as_str)
}

/// Path of an annotation, as Kubernetes writes it.
pub(super) fn path(key: &str) -> String {
    format!("metadata.annotations[{key}]")
}
