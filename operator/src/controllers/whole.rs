//! Builds and ImageScans as the API server has them: the stores keep little of those that have ended ([`crate::watches::trim`]).

use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};

use super::jobs::Unexplained;
use crate::apply::Writable;
use crate::context::Context;

/// The object as the API server has it; none if it is gone, or another has its name.
///
/// # Errors
/// The API server did not say.
pub(super) async fn whole<K>(object: &K, context: &Context) -> Result<Option<K>, Unexplained>
where
    K: Writable + Resource<Scope = NamespaceResourceScope>,
{
    let name = object.name_any();
    let api = Api::<K>::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    match api.get_opt(&name).await {
        Ok(found) => Ok(found.filter(|found| found.uid() == object.uid())),
        Err(source) => Err(Unexplained { name, source }),
    }
}
