//! Carries steps out: one arm per step and kind, each safe to repeat.

use imagefactory_core::tenant::readiness::Trouble;
use imagefactory_core::tenant::{Object, Step};
use imagefactory_crds::names::FINALIZER_TENANT;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::{Api, Client, Resource};

use crate::apply::{self, ApplyError, Created, Readable, Writable, Write, is_invalid};
use crate::runner::{ErrorCategory, chain};

/// What became of the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(in crate::controllers) enum Acted {
    /// There was nothing to write.
    Nothing,
    /// Something was written.
    Written,
    /// What the steps rest on is not so any more: look again.
    Overtaken,
}

/// Carries steps out, in order.
pub(in crate::controllers) async fn carry_out(steps: &[Step], client: &Client) -> Result<Acted, ApplyError> {
    let mut acted = Acted::Nothing;
    for step in steps {
        match perform(step, client).await? {
            Acted::Nothing => {}
            Acted::Written => acted = Acted::Written,
            Acted::Overtaken => return Ok(Acted::Overtaken),
        }
    }
    Ok(acted)
}

/// A failure as a condition tells it.
pub(in crate::controllers) fn trouble(error: &ApplyError) -> Trouble {
    Trouble {
        reason: error.category().to_owned(),
        message: chain(error),
    }
}

async fn perform(step: &Step, client: &Client) -> Result<Acted, ApplyError> {
    match step {
        Step::CreateNamespace(namespace) => {
            // One that is there already is somebody else's, or ours and news: the next look tells.
            match apply::create_if_absent(&Api::all(client.clone()), &**namespace).await? {
                Created::New => Ok(Acted::Written),
                Created::Existing => Ok(Acted::Overtaken),
            }
        }
        Step::CreateSettings(settings) => {
            match apply::create_if_absent(&api_of(&**settings, client), &**settings).await? {
                Created::New => Ok(Acted::Written),
                Created::Existing => Ok(Acted::Nothing),
            }
        }
        Step::Hold(tenant) => {
            let write = apply::add_finalizer(&Api::all(client.clone()), &**tenant, FINALIZER_TENANT).await?;
            Ok(acted_by(write))
        }
        Step::LetGo(tenant) => {
            let write = apply::remove_finalizer(&Api::all(client.clone()), &**tenant, FINALIZER_TENANT).await?;
            Ok(acted_by(write))
        }
        Step::DeleteJob(job) => Ok(acted_by(
            apply::delete_if_present(&api_of(&**job, client), &**job).await?,
        )),
        Step::Apply(object) => apply_object(object, client).await,
        Step::Delete(object) => delete_object(object, client).await,
    }
}

async fn apply_object(object: &Object, client: &Client) -> Result<Acted, ApplyError> {
    match object {
        Object::Namespace(object) => return apply_namespace(object, client).await,
        Object::RoleBinding(object) => apply_binding(object, client).await?,
        Object::ResourceQuota(object) => apply_in_namespace(object, client).await?,
        Object::LimitRange(object) => apply_in_namespace(object, client).await?,
        Object::NetworkPolicy(object) => apply_in_namespace(object, client).await?,
        Object::ServiceAccount(object) => apply_in_namespace(object, client).await?,
        Object::ConfigMap(object) => apply_in_namespace(object, client).await?,
    }
    Ok(Acted::Written)
}

async fn delete_object(object: &Object, client: &Client) -> Result<Acted, ApplyError> {
    let write = match object {
        Object::Namespace(object) => apply::delete_if_present(&Api::all(client.clone()), object).await?,
        Object::RoleBinding(object) => apply::delete_if_present(&api_of(object, client), object).await?,
        Object::ResourceQuota(object) => apply::delete_if_present(&api_of(object, client), object).await?,
        Object::LimitRange(object) => apply::delete_if_present(&api_of(object, client), object).await?,
        Object::NetworkPolicy(object) => apply::delete_if_present(&api_of(object, client), object).await?,
        Object::ServiceAccount(object) => apply::delete_if_present(&api_of(object, client), object).await?,
        Object::ConfigMap(object) => apply::delete_if_present(&api_of(object, client), object).await?,
    };
    Ok(acted_by(write))
}

fn acted_by(write: Write) -> Acted {
    match write {
        Write::Written => Acted::Written,
        Write::Unchanged | Write::Gone => Acted::Nothing,
        Write::Outdated => Acted::Overtaken,
    }
}

/// The object carries the uid that was observed, so a namespace that has taken its place is not touched.
async fn apply_namespace(namespace: &Namespace, client: &Client) -> Result<Acted, ApplyError> {
    match apply::apply(&Api::all(client.clone()), namespace).await {
        Ok(_) => Ok(Acted::Written),
        Err(error) if is_of_another_uid(error.cause()) => Ok(Acted::Overtaken),
        Err(error) => Err(error),
    }
}

/// What the API server says when an applied object's uid is not that of the stored one: a conflict where there is none,
/// an immutable field where there is another (tried on 1.34).
fn is_of_another_uid(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    status.is_conflict() || status.is_invalid() && causes.any(|cause| cause.field == "metadata.uid")
}

/// A binding of that name may be there that does not carry our labels, so that no watch showed it: somebody took them
/// off, or made it. The name is the factory's, so it gives way if it binds another role.
async fn apply_binding(binding: &RoleBinding, client: &Client) -> Result<(), ApplyError> {
    let api = api_of(binding, client);
    let refused = match apply::apply(&api, binding).await {
        Ok(_) => return Ok(()),
        Err(error) if is_invalid(error.cause()) => error,
        Err(error) => return Err(error),
    };
    let found = api
        .get_opt(binding.metadata.name.as_deref().unwrap_or_default())
        .await
        .ok()
        .flatten();
    let Some(found) = found.filter(|found| found.role_ref != binding.role_ref) else {
        return Err(refused);
    };
    let _gone_or_written = apply::delete_if_present(&api, &found).await?;
    apply::apply(&api, binding).await.map(|_| ())
}

async fn apply_in_namespace<K>(object: &K, client: &Client) -> Result<(), ApplyError>
where
    K: Writable + Resource<Scope = NamespaceResourceScope>,
{
    apply::apply(&api_of(object, client), object).await.map(|_| ())
}

fn api_of<K: Readable + Resource<Scope = NamespaceResourceScope>>(object: &K, client: &Client) -> Api<K> {
    Api::namespaced(client.clone(), object.meta().namespace.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_namespace_that_took_the_place_of_another_is_told_from_one_that_is_refused() {
        let error = |code: u16, reason: &str, field: &str| {
            let causes = json!([{"reason": "FieldValueInvalid", "field": field, "message": "field is immutable"}]);
            let status = json!({"status": "Failure", "code": code, "reason": reason, "details": {"causes": causes}});
            kube::Error::Api(serde_json::from_value(status).unwrap())
        };
        assert!(is_of_another_uid(&error(409, "Conflict", "")));
        assert!(is_of_another_uid(&error(422, "Invalid", "metadata.uid")));
        assert!(!is_of_another_uid(&error(422, "Invalid", "metadata.labels")));
        assert!(!is_of_another_uid(&error(403, "Forbidden", "metadata.uid")));
    }
}
