//! Clients of the cluster, and where the chart was installed.

use std::path::Path;
use std::sync::Once;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::Value;

use crate::audit::AuditLog;
use crate::environment::Environment;
use crate::kubectl::Kubectl;
use crate::prometheus::Prometheus;
use crate::registry::Registry;

/// The cluster, as its administrator sees it.
#[derive(Clone)]
pub struct Cluster {
    /// What `.cluster/env` says.
    pub environment: Environment,
    /// An administrator's client.
    pub client: Client,
    /// Where the chart was installed.
    pub installation: Installation,
}

/// Where the chart was installed, read from what lies in the cluster.
#[derive(Clone, Debug)]
pub struct Installation {
    /// Namespace of the release.
    pub namespace: String,
    /// Name of the operator's Deployment.
    pub operator: String,
    /// Name of the ConfigMap with the settings.
    pub config_map: String,
    /// The settings, as the chart wrote them.
    pub settings: Value,
}

impl Installation {
    /// A text of the settings, by JSON pointer.
    ///
    /// # Panics
    /// Where it is not there.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        let found = self.settings.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("the settings have no text at {pointer}"))
    }

    /// Namespace of scan and publish jobs.
    #[must_use]
    pub fn work_namespace(&self) -> &str {
        self.text("/workNamespace")
    }

    /// Prefix of ClusterRoles and of what the chart makes.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.text("/clusterRolePrefix")
    }

    /// The operator, as the API server knows it.
    #[must_use]
    pub fn operator_user(&self) -> String {
        format!(
            "system:serviceaccount:{}:{}",
            self.namespace,
            self.text("/operatorServiceAccount")
        )
    }

    /// The role that places staging credentials, as the API server knows it.
    #[must_use]
    pub fn credentials_user(&self) -> String {
        format!(
            "system:serviceaccount:{}:{}",
            self.work_namespace(),
            self.text("/credentialsServiceAccount")
        )
    }

    async fn find(client: &Client) -> Self {
        let selector = "app.kubernetes.io/part-of=image-factory,app.kubernetes.io/component=operator";
        let deployments = Api::<Deployment>::all(client.clone())
            .list(&ListParams::default().labels(selector))
            .await;
        let found = deployments.expect("listing Deployments").items.into_iter().next();
        let operator = found.expect("Image Factory is not deployed: run hack/deploy/deploy.sh");
        let namespace = operator.metadata.namespace.clone().unwrap_or_default();
        let pod = operator.spec.and_then(|spec| spec.template.spec).unwrap_or_default();
        let config_map = pod
            .volumes
            .into_iter()
            .flatten()
            .find_map(|volume| Some(volume.config_map?.name));
        let config_map = config_map.expect("the operator mounts its settings");
        let stored = Api::<ConfigMap>::namespaced(client.clone(), &namespace)
            .get(&config_map)
            .await;
        let data = stored.expect("reading the settings").data.unwrap_or_default();
        let text = data.get("config.yaml").expect("the settings are called config.yaml");
        let settings = serde_yaml::from_str(text).expect("the settings are YAML");
        Self {
            namespace,
            operator: operator.metadata.name.unwrap_or_default(),
            config_map,
            settings,
        }
    }
}

impl Cluster {
    /// Connects to the cluster of this checkout.
    ///
    /// # Panics
    /// Where there is none, or where the chart is not installed in it.
    pub async fn connect() -> Self {
        install_crypto();
        let environment = Environment::load();
        let client = client(&environment, None).await;
        let installation = Installation::find(&client).await;
        Self {
            environment,
            client,
            installation,
        }
    }

    /// A client in the name of somebody else.
    pub async fn client_as(&self, user: &str, groups: &[&str]) -> Client {
        client(&self.environment, Some((user, groups))).await
    }

    /// The same, which says itself what was not answered well: others ask again where the API server is too busy.
    pub async fn impatient_client_as(&self, user: &str, groups: &[&str]) -> Client {
        let mut config = config(&self.environment, Some((user, groups))).await;
        config.default_retry = false;
        Client::try_from(config).expect("making a client")
    }

    /// The command line.
    #[must_use]
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::of(&self.environment)
    }

    /// The registry, as one sees it who may see everything.
    #[must_use]
    pub fn registry(&self) -> Registry {
        Registry::of(&self.environment)
    }

    /// The API server's audit log, from here on.
    #[must_use]
    pub fn audit(&self) -> AuditLog {
        AuditLog::from_here(Path::new(self.environment.get("AUDIT_LOG")))
    }

    /// Prometheus.
    #[must_use]
    pub fn prometheus(&self) -> Prometheus {
        Prometheus::at(self.environment.get("PROMETHEUS_URL"))
    }
}

/// One crypto provider for everything in the process.
pub fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .expect("no other provider was installed");
    });
}

async fn client(environment: &Environment, other: Option<(&str, &[&str])>) -> Client {
    Client::try_from(config(environment, other).await).expect("making a client")
}

async fn config(environment: &Environment, other: Option<(&str, &[&str])>) -> Config {
    let kubeconfig = Kubeconfig::read_from(environment.get("KUBECONFIG")).expect("reading the cluster's kubeconfig");
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .expect("using the cluster's kubeconfig");
    if let Some((user, groups)) = other {
        config.auth_info.impersonate = Some(user.to_owned());
        config.auth_info.impersonate_groups = Some(groups.iter().map(|group| (*group).to_owned()).collect());
    }
    config
}

/// A name that nobody else has, of at most 20 characters.
#[must_use]
pub fn unique(begin: &str) -> String {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(std::process::id());
    format!(
        "{}-{:06x}",
        begin.chars().take(13).collect::<String>(),
        random & 0xff_ffff
    )
}
