//! A namespace as the operator makes it for a tenant, and who asks for things in it.

use imagefactory_tests::Cluster;
use imagefactory_tests::access::{create, try_create};
use imagefactory_tests::cluster::unique;
use imagefactory_tests::wait::until;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::DeleteParams;
use kube::{Api, Client};
use serde_json::{Value, json};

pub const LABEL: &str = "imagefactory.dev/tenant";

/// A namespace that the operator's account made, as for a tenant, with the operator's role bound in it.
pub struct Fenced {
    pub cluster: Cluster,
    pub operator: Client,
    pub name: String,
}

impl Fenced {
    pub async fn new(begin: &str) -> Self {
        let cluster = Cluster::connect().await;
        let user = cluster.installation.operator_user();
        let operator = cluster
            .client_as(&user, &["system:serviceaccounts", "system:authenticated"])
            .await;
        let tenant = unique(begin);
        let name = format!("tenant-{tenant}");
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {LABEL: tenant}}});
        create(&operator, None, &namespace)
            .await
            .expect("the operator makes a tenant's namespace");
        let fenced = Self {
            cluster,
            operator,
            name,
        };
        let binding = fenced.binding("tenant-operator");
        create(&fenced.operator, Some(&fenced.name), &binding)
            .await
            .expect("the operator binds its own role there");
        until("the binding counts", 20, async || {
            fenced
                .try_as_operator(&fenced.pod(&json!({})))
                .await
                .is_ok()
                .then_some(())
        })
        .await;
        fenced
    }

    /// A binding of one of the chart's roles to the operator's account.
    pub fn binding(&self, role: &str) -> Value {
        let installation = &self.cluster.installation;
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": format!("test-{role}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": format!("{}-{role}", installation.prefix())},
            "subjects": [{"kind": "ServiceAccount", "name": installation.text("/operatorServiceAccount"), "namespace": installation.namespace}],
        })
    }

    /// A pod that never gets a node, with changes to its spec.
    pub fn pod(&self, changes: &Value) -> Value {
        let mut spec = json!({
            "hostUsers": false,
            "automountServiceAccountToken": false,
            "nodeSelector": {"imagefactory.dev/test": "nowhere"},
            "containers": [{"name": "main", "image": "example.com/none:1", "resources": {"requests": {"cpu": "1m"}}}],
        });
        for (key, value) in changes.as_object().expect("changes are fields") {
            spec[key] = value.clone();
        }
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "walled"}, "spec": spec})
    }

    pub async fn try_as_operator(&self, object: &Value) -> Result<(), String> {
        try_create(&self.operator, Some(&self.name), object).await
    }

    pub async fn try_as_administrator(&self, object: &Value) -> Result<(), String> {
        try_create(&self.cluster.client, Some(&self.name), object).await
    }

    pub async fn gone(self) {
        let api = Api::<Namespace>::all(self.cluster.client.clone());
        api.delete(&self.name, &DeleteParams::default())
            .await
            .expect("an administrator deletes a tenant's namespace");
        until("Kubernetes' own controllers empty the namespace", 90, async || {
            api.get_opt(&self.name)
                .await
                .expect("reading the namespace")
                .is_none()
                .then_some(())
        })
        .await;
    }
}
