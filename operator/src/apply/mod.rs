//! Every write of the operator goes through here: one field manager, and outcomes instead of errors where another
//! process, or we ourselves before a crash, were faster.

mod error;
mod finalizer;

#[cfg(test)]
mod tests;

pub use error::{
    ApplyError, is_above_limit_range, is_invalid, is_namespace_terminating, is_not_found, is_quota_exceeded,
};
pub use finalizer::{add_finalizer, remove_finalizer};

use std::fmt::Debug;
use std::time::Duration;

use imagefactory_core::partial::Pod;
use imagefactory_crds::names::FIELD_MANAGER;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::core::Request;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};
use tokio::time::sleep;

use error::{Verb, is_quota_conflict};

/// What can be read, deleted, and changed by a patch that names what becomes of which field. Every typed Kubernetes object is,
/// whole or partial.
pub trait Readable: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug {}

impl<K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug> Readable for K {}

/// What can be written. Every whole Kubernetes object is.
pub trait Writable: Readable + Serialize {}

impl<K: Readable + Serialize> Writable for K {}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Write {
    /// It was written.
    Written,
    /// It was right already; nothing was sent.
    Unchanged,
    /// The object is gone, or another one of the same name has taken its place.
    Gone,
    /// The object has changed since it was read. The watch will bring it.
    Outdated,
}

/// What became of a creation.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Created {
    /// It was made.
    New,
    /// One of this name was there already. Whether it is ours, its labels and owners say.
    Existing,
}

/// Applies an object with force: the fields that it names are ours, all others stay as they are.
///
/// # Errors
/// When the API server refuses it or can't be asked.
pub async fn apply<K: Writable>(api: &Api<K>, object: &K) -> Result<K, ApplyError> {
    let name = object.name_any();
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(&name, &params, &Patch::Apply(object))
        .await
        .map_err(|source| ApplyError::of::<K>(Verb::Apply, &name, source))
}

/// Writes the status of `object` if it differs from `current`, by one server-side apply.
///
/// The resourceVersion that was read goes along, so that nothing is written over what this process has not seen. A uid
/// would not protect: the API server takes it from the stored object in status updates (docs/decisions/0003).
///
/// # Errors
/// When the API server refuses it or can't be asked.
pub async fn apply_status<K: Writable, S: Serialize + PartialEq>(
    api: &Api<K>,
    object: &K,
    current: Option<&S>,
    desired: &S,
) -> Result<Write, ApplyError> {
    if current == Some(desired) {
        return Ok(Write::Unchanged);
    }
    let name = object.name_any();
    let patch = StatusPatch {
        api_version: &K::api_version(&()),
        kind: &K::kind(&()),
        metadata: json!({"name": name, "resourceVersion": object.resource_version()}),
        status: desired,
    };
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let request = Request::new(api.resource_url()).patch_subresource("status", &name, &params, &Patch::Apply(patch));
    match send(api, request).await {
        Ok(()) => Ok(Write::Written),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Write::Gone),
        // A forced apply conflicts with nothing but the resourceVersion.
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(Write::Outdated),
        Err(source) => Err(ApplyError::of::<K>(Verb::ApplyStatus, &name, source)),
    }
}

/// How often a creation is tried again at once after the API server could not count it towards a quota, since others changed
/// that in the same moment (kubernetes#67761).
const QUOTA_RACES: u32 = 5;
/// The pause before the first of these; each next one is twice as long.
const QUOTA_RACE: Duration = Duration::from_millis(5);

/// Creates an object unless one of its name is there.
///
/// # Errors
/// When the API server refuses it or can't be asked.
pub async fn create_if_absent<K: Writable>(api: &Api<K>, object: &K) -> Result<Created, ApplyError> {
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let failed = |source| ApplyError::of::<K>(Verb::Create, &object.name_any(), source);
    let body = serde_json::to_vec(object).map_err(|source| failed(kube::Error::SerdeError(source)))?;
    let mut races = 0;
    loop {
        let request = Request::new(api.resource_url()).create(&params, body.clone());
        match send(api, request).await {
            Ok(()) => return Ok(Created::New),
            Err(kube::Error::Api(status)) if status.is_already_exists() => return Ok(Created::Existing),
            Err(source) if races < QUOTA_RACES && is_quota_conflict(&source) => {
                sleep(QUOTA_RACE * 2_u32.pow(races)).await;
                races += 1;
            }
            Err(source) => return Err(failed(source)),
        }
    }
}

/// A status as it is applied, written out as it stands: it is not put into a tree of values first.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusPatch<'a, S> {
    api_version: &'a str,
    kind: &'a str,
    metadata: Value,
    status: &'a S,
}

/// Sends a request whose answer, the whole object, is of no use: the watch brings it, and it is not built up twice.
async fn send<K: Writable>(
    api: &Api<K>,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<(), kube::Error> {
    let request = request.map_err(kube::Error::BuildRequest)?;
    let client = Client::from(api.clone());
    client.request::<IgnoredAny>(request).await.map(|_| ())
}

/// Deletes this very object, if it is still there, and in the background what it owns.
///
/// # Errors
/// When the API server refuses it or can't be asked.
pub async fn delete_if_present<K: Readable>(api: &Api<K>, object: &K) -> Result<Write, ApplyError> {
    delete(api, object, None).await
}

/// The same, only if the object is as it was read; else it says [`Write::Outdated`].
///
/// # Errors
/// When the API server refuses it or can't be asked.
pub async fn delete_as_read<K: Readable>(api: &Api<K>, object: &K) -> Result<Write, ApplyError> {
    delete(api, object, object.resource_version()).await
}

async fn delete<K: Readable>(api: &Api<K>, object: &K, resource_version: Option<String>) -> Result<Write, ApplyError> {
    let name = object.name_any();
    let changed = if resource_version.is_some() {
        Write::Outdated
    } else {
        Write::Gone
    };
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: object.uid(),
            resource_version,
        }),
        propagation_policy: Some(PropagationPolicy::Background),
        ..DeleteParams::default()
    };
    match api.delete(&name, &params).await {
        Ok(_) => Ok(Write::Written),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Write::Gone),
        // It has another uid, or another version.
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(changed),
        Err(source) => Err(ApplyError::of::<K>(Verb::Delete, &name, source)),
    }
}

/// Changes an object by a merge patch: what it names becomes so, whoever wrote it before.
///
/// # Errors
/// When the API server refuses it or can't be asked.
pub async fn change<K: Readable>(api: &Api<K>, name: &str, patch: &Value) -> Result<Write, ApplyError> {
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api.patch(name, &params, &Patch::Merge(patch)).await {
        Ok(_) => Ok(Write::Written),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Write::Gone),
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(Write::Outdated),
        Err(source) => Err(ApplyError::of::<K>(Verb::Patch, name, source)),
    }
}

/// Lowers a pod's deadline, so that the kubelet ends it and its logs stay readable. Only if the pod is as it was read.
///
/// # Errors
/// When the API server refuses it or can't be asked.
pub async fn patch_deadline(api: &Api<Pod>, pod: &Pod, seconds: i64) -> Result<Write, ApplyError> {
    if pod
        .spec
        .as_ref()
        .and_then(|spec| spec.active_deadline_seconds)
        .is_some_and(|deadline| deadline <= seconds)
    {
        return Ok(Write::Unchanged);
    }
    let name = pod.name_any();
    let patch = json!({
        "metadata": {"uid": pod.uid(), "resourceVersion": pod.resource_version()},
        "spec": {"activeDeadlineSeconds": seconds},
    });
    change(api, &name, &patch).await
}
