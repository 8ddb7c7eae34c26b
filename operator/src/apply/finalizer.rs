//! Puts our finalizer on an object and takes it off. Both are bound to the object that was read, so that neither makes
//! an object again that is gone.

use imagefactory_crds::names::FIELD_MANAGER;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::error::Verb;
use super::{ApplyError, Writable, Write};

/// Puts a finalizer on the object, beside those that others put there: a server-side apply of this one field. The uid
/// goes along: an apply of an object that is gone would make it again.
///
/// # Errors
/// When the API server refuses it or can't be asked.
pub async fn add_finalizer<K: Writable>(api: &Api<K>, object: &K, finalizer: &str) -> Result<Write, ApplyError> {
    let name = object.name_any();
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": name, "uid": object.uid(), "finalizers": [finalizer]},
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    match api.patch_metadata(&name, &params, &Patch::Apply(patch)).await {
        Ok(_) => Ok(Write::Written),
        Err(source) => unless_overtaken::<K>(&name, Verb::Apply, source),
    }
}

/// Takes a finalizer off. No apply: whoever wrote the object back as he had read it owns the finalizer too, and an apply
/// without it would leave it there for ever. The resourceVersion that was read goes along, since the list is written whole.
///
/// # Errors
/// When the API server refuses it or can't be asked.
pub async fn remove_finalizer<K: Writable>(api: &Api<K>, object: &K, finalizer: &str) -> Result<Write, ApplyError> {
    let name = object.name_any();
    let others: Vec<_> = object.finalizers().iter().filter(|other| *other != finalizer).collect();
    let patch = json!({
        "metadata": {"uid": object.uid(), "resourceVersion": object.resource_version(), "finalizers": others},
    });
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api.patch_metadata(&name, &params, &Patch::Merge(patch)).await {
        Ok(_) => Ok(Write::Written),
        Err(source) => unless_overtaken::<K>(&name, Verb::Patch, source),
    }
}

/// The object is gone, another one has taken its place, it has changed, or it is being deleted and takes no finalizer.
fn unless_overtaken<K: Writable>(name: &str, verb: Verb, source: kube::Error) -> Result<Write, ApplyError> {
    let kube::Error::Api(status) = &source else {
        return Err(ApplyError::of::<K>(verb, name, source));
    };
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    let of_metadata = causes.any(|cause| matches!(cause.field.as_str(), "metadata.uid" | "metadata.finalizers"));
    if status.is_not_found() {
        Ok(Write::Gone)
    } else if status.is_conflict() || (status.is_invalid() && of_metadata) {
        Ok(Write::Outdated)
    } else {
        Err(ApplyError::of::<K>(verb, name, source))
    }
}
