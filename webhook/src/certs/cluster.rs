//! The objects in the cluster that certificates lie in: two Secrets, a ConfigMap and the webhook configurations.

use std::collections::BTreeMap;
use std::fmt::Debug;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use imagefactory_crds::names::FIELD_MANAGER_CERTIFICATES;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Names of our objects.
#[derive(Clone, Debug)]
pub struct Names {
    /// Namespace of the release.
    pub namespace: String,
    /// Prefix of names of the release's objects.
    pub prefix: String,
}

impl Names {
    /// Secret of the webhook's certificates.
    #[must_use]
    pub fn certificates(&self) -> String {
        format!("{}-webhook-tls", self.prefix)
    }

    /// Secret of the audit's certificate.
    #[must_use]
    pub fn audit(&self) -> String {
        format!("{}-audit-tls", self.prefix)
    }

    /// ConfigMap of the authority's certificate.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}-ca", self.prefix)
    }

    /// Either webhook configuration, the Service and the Deployment.
    #[must_use]
    pub fn webhook(&self) -> String {
        format!("{}-webhook", self.prefix)
    }

    /// DNS names of a Service of ours, sorted.
    #[must_use]
    pub fn dns(&self, component: &str) -> Vec<String> {
        let service = format!("{}-{component}.{}", self.prefix, self.namespace);
        vec![format!("{service}.svc"), format!("{service}.svc.cluster.local")]
    }
}

/// Our hands in the cluster.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    /// What things are called.
    pub names: Names,
}

/// What a Secret holds, and the version that was read; no version where there is none.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// Data.
    pub data: BTreeMap<String, ByteString>,
    version: Option<String>,
}

/// Who lost a race reads again.
fn won<T>(result: kube::Result<T>) -> kube::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

impl Cluster {
    /// Works with this client.
    #[must_use]
    pub fn new(client: Client, names: Names) -> Self {
        Self { client, names }
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Reads a Secret.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn read_secret(&self, name: &str) -> kube::Result<Read> {
        let found = self.secrets().get_opt(name).await?;
        Ok(found.map_or_else(Read::default, |secret| Read {
            version: secret.resource_version(),
            data: secret.data.unwrap_or_default(),
        }))
    }

    /// Writes a Secret, if it is still as it was read. False: somebody else was quicker.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn write_secret(
        &self,
        name: &str,
        read: &Read,
        data: BTreeMap<String, ByteString>,
    ) -> kube::Result<bool> {
        let mut secret = Secret {
            metadata: self.metadata(name).await?,
            data: Some(data),
            type_: Some("kubernetes.io/tls".to_owned()),
            ..Secret::default()
        };
        let how = PostParams::default();
        match &read.version {
            None => won(self.secrets().create(&how, &secret).await),
            Some(version) => {
                secret.metadata.resource_version = Some(version.clone());
                won(self.secrets().replace(name, &how, &secret).await)
            }
        }
    }

    /// Has the ConfigMap of the authority's certificates hold `bundle`.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn publish(&self, bundle: &str) -> kube::Result<bool> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.names.namespace);
        let name = self.names.authority();
        let data = BTreeMap::from([("ca.crt".to_owned(), bundle.to_owned())]);
        let found = api.get_opt(&name).await?;
        if found.as_ref().and_then(|map| map.data.as_ref()) == Some(&data) {
            return Ok(true);
        }
        let mut map = ConfigMap {
            metadata: self.metadata(&name).await?,
            data: Some(data),
            ..ConfigMap::default()
        };
        let how = PostParams::default();
        let Some(found) = found else {
            return won(api.create(&how, &map).await);
        };
        map.metadata.resource_version = found.resource_version();
        won(api.replace(&name, &how, &map).await)
    }

    /// The webhook configurations as they are; none for one that is not there.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn configurations(&self) -> kube::Result<Configurations> {
        let name = self.names.webhook();
        Ok(Configurations {
            validating: raw(self.api::<ValidatingWebhookConfiguration>().get_opt(&name).await?),
            mutating: raw(self.api::<MutatingWebhookConfiguration>().get_opt(&name).await?),
        })
    }

    /// Has a configuration's webhooks trust `bundle`.
    ///
    /// # Errors
    /// When the API server refuses, also because the configuration has changed meanwhile.
    pub async fn trust(&self, what: Which, configuration: &Value, bundle: &str) -> kube::Result<()> {
        let patch = trust_patch(configuration, bundle);
        match what {
            Which::Validating => self.patch::<ValidatingWebhookConfiguration>(patch).await,
            Which::Mutating => self.patch::<MutatingWebhookConfiguration>(patch).await,
        }
    }

    async fn patch<K>(&self, patch: json_patch::Patch) -> kube::Result<()>
    where
        K: Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope> + DeserializeOwned + Clone + Debug,
    {
        let how = PatchParams {
            field_manager: Some(FIELD_MANAGER_CERTIFICATES.to_owned()),
            ..PatchParams::default()
        };
        let name = self.names.webhook();
        self.api::<K>().patch(&name, &how, &Patch::Json::<()>(patch)).await?;
        Ok(())
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope>,
    {
        Api::all(self.client.clone())
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.names.namespace)
    }

    /// What is written goes with the release: the webhook's Deployment owns it. Without that there is nothing to write for.
    async fn metadata(&self, name: &str) -> kube::Result<ObjectMeta> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), &self.names.namespace);
        let owner = deployments.get(&self.names.webhook()).await?;
        let labels = [
            ("app.kubernetes.io/part-of", "image-factory"),
            ("app.kubernetes.io/component", "webhook"),
        ];
        Ok(ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.names.namespace.clone()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            owner_references: owner.owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        })
    }
}

/// One of the two configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The validating one.
    Validating,
    /// The mutating one.
    Mutating,
}

/// Both configurations as the API server has them.
#[derive(Clone, Debug, Default)]
pub struct Configurations {
    /// The validating one.
    pub validating: Option<Value>,
    /// The mutating one.
    pub mutating: Option<Value>,
}

impl Configurations {
    /// Those that there are.
    pub fn present(&self) -> impl Iterator<Item = (Which, &Value)> {
        let both = [(Which::Validating, &self.validating), (Which::Mutating, &self.mutating)];
        both.into_iter()
            .filter_map(|(which, found)| found.as_ref().map(|found| (which, found)))
    }

    /// Whether each that there is trusts `bundle`, in all its webhooks.
    #[must_use]
    pub fn trust(&self, bundle: &str) -> bool {
        self.present().all(|(_, configuration)| trusts(configuration, bundle))
    }
}

fn raw<K: Serialize>(object: Option<K>) -> Option<Value> {
    object.and_then(|object| serde_json::to_value(object).ok())
}

fn webhooks(configuration: &Value) -> impl Iterator<Item = &Value> {
    configuration["webhooks"].as_array().into_iter().flatten()
}

/// Whether all webhooks of a configuration trust `bundle`.
#[must_use]
pub fn trusts(configuration: &Value, bundle: &str) -> bool {
    let bundle = STANDARD.encode(bundle);
    webhooks(configuration).all(|webhook| webhook["clientConfig"]["caBundle"] == *bundle)
}

/// Writes `caBundle` and nothing else; each place is checked to be the webhook that it was when it was read.
fn trust_patch(configuration: &Value, bundle: &str) -> json_patch::Patch {
    let bundle = STANDARD.encode(bundle);
    let steps: Vec<Value> = webhooks(configuration)
        .enumerate()
        .filter(|(_, webhook)| webhook["clientConfig"]["caBundle"] != *bundle)
        .flat_map(|(index, webhook)| {
            [
                json!({"op": "test", "path": format!("/webhooks/{index}/name"), "value": webhook["name"]}),
                json!({"op": "add", "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": bundle}),
            ]
        })
        .collect();
    serde_json::from_value(Value::Array(steps)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_patched_where_it_does_not_trust_and_nowhere_else() {
        let mut configuration = json!({"webhooks": [
            {"name": "a", "clientConfig": {"caBundle": STANDARD.encode("new")}},
            {"name": "b", "clientConfig": {}},
        ]});
        assert!(!trusts(&configuration, "new"));
        let patch = trust_patch(&configuration, "new");
        assert_eq!(patch.0.len(), 2);
        json_patch::patch(&mut configuration, &patch).unwrap();
        assert!(trusts(&configuration, "new"));
    }

    #[test]
    fn a_patch_for_a_configuration_that_changed_meanwhile_fails() {
        let read = json!({"webhooks": [{"name": "a", "clientConfig": {}}]});
        let patch = trust_patch(&read, "new");
        let mut changed = json!({"webhooks": [{"name": "z", "clientConfig": {}}]});
        assert!(json_patch::patch(&mut changed, &patch).is_err());
    }
}
