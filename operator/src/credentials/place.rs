//! Writes one staging credential into one tenant's namespace, without reading.

use std::collections::BTreeMap;

use imagefactory_crds::names::{
    FIELD_MANAGER_CREDENTIALS, LABEL_MANAGED_BY, LABEL_TENANT, MANAGED_BY, tenant_namespace,
};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};

use super::content::Content;
use super::plan::{How, Placement};

/// Name of the Secret in each tenant's namespace.
pub(super) const SECRET: &str = "imagefactory-staging";
const TYPE: &str = "kubernetes.io/dockerconfigjson";
const KEY: &str = ".dockerconfigjson";

/// A credential that could not be placed.
#[derive(Debug, thiserror::Error)]
#[error("could not {verb} the Secret {SECRET}")]
pub(super) struct PlaceError {
    verb: &'static str,
    source: kube::Error,
}

/// Places the content: created, or applied over what is there.
pub(super) async fn place(client: &Client, placement: &Placement, content: &Content) -> Result<(), PlaceError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &tenant_namespace(&placement.tenant));
    let secret = secret(&placement.tenant, content);
    if placement.how == How::CreateOrPatch {
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER_CREDENTIALS.to_owned()),
            ..PostParams::default()
        };
        match api.create(&params, &secret).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(source) => return Err(PlaceError { verb: "create", source }),
        }
    }
    let params = PatchParams::apply(FIELD_MANAGER_CREDENTIALS).force();
    match api.patch(SECRET, &params, &Patch::Apply(&secret)).await {
        Ok(_) => Ok(()),
        Err(source) => Err(PlaceError { verb: "patch", source }),
    }
}

fn secret(tenant: &str, content: &Content) -> Secret {
    let labels = [(LABEL_MANAGED_BY, MANAGED_BY), (LABEL_TENANT, tenant)];
    Secret {
        metadata: ObjectMeta {
            name: Some(SECRET.to_owned()),
            namespace: Some(tenant_namespace(tenant)),
            labels: Some(
                labels
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .collect(),
            ),
            ..ObjectMeta::default()
        },
        type_: Some(TYPE.to_owned()),
        data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(content.bytes().to_vec()))])),
        ..Secret::default()
    }
}
