//! What the mutating call writes: who asked, and nothing else.

use std::borrow::Cow;

use imagefactory_crds::names::ANNOTATION_REQUESTED_BY;
use imagefactory_crds::{GROUP, VERSION};
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation};
use kube::core::DynamicObject;
use kube::core::admission::Operation;
use serde_json::{Value, json};

use crate::review::Asked;

/// Kinds whose objects say who asked for them.
const REQUESTED: [&str; 3] = ["Build", "ImageScan", "QuarantineRequest"];

/// The patch, where there is something to write.
#[must_use]
pub fn stamp(asked: &Asked) -> Option<Patch> {
    let name = due(asked)?;
    Some(patch(asked.object.as_ref()?, name))
}

/// The request as it is when the patch was made.
#[must_use]
pub fn with_stamp(asked: &Asked) -> Cow<'_, Asked> {
    let Some(name) = due(asked) else {
        return Cow::Borrowed(asked);
    };
    let mut after = asked.clone();
    if let Some(object) = &mut after.object {
        let annotations = object.metadata.annotations.get_or_insert_default();
        annotations.insert(ANNOTATION_REQUESTED_BY.to_owned(), name.to_owned());
    }
    Cow::Owned(after)
}

/// What is to be written: on create the user's name over whatever was sent, on update what was there before, if it was
/// left out. A changed one is refused.
fn due(asked: &Asked) -> Option<&str> {
    let ours = asked.kind.group == GROUP && asked.kind.version == VERSION;
    if !ours || !REQUESTED.contains(&asked.kind.kind.as_str()) {
        return None;
    }
    let there = written(asked.object.as_ref()?);
    let due = match asked.operation {
        Operation::Create => asked.user_info.username.as_deref(),
        Operation::Update if there.is_none() => asked.old_object.as_ref().and_then(written),
        _ => None,
    }?;
    (there != Some(due)).then_some(due)
}

fn written(object: &DynamicObject) -> Option<&str> {
    let annotations = object.metadata.annotations.as_ref()?;
    annotations.get(ANNOTATION_REQUESTED_BY).map(String::as_str)
}

fn patch(object: &DynamicObject, name: &str) -> Patch {
    let (path, value): (PointerBuf, Value) = if object.metadata.annotations.is_some() {
        let path = PointerBuf::from_tokens(["metadata", "annotations", ANNOTATION_REQUESTED_BY]);
        (path, name.into())
    } else {
        let path = PointerBuf::from_tokens(["metadata", "annotations"]);
        (path, json!({ ANNOTATION_REQUESTED_BY: name }))
    };
    Patch(vec![PatchOperation::Add(AddOperation { path, value })])
}
