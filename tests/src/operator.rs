//! The operator's own pods, leader and settings, for the tests that run alone.

use std::collections::BTreeMap;
use std::process::Command;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::wait::until;

impl Cluster {
    /// Pods of the operator.
    ///
    /// # Panics
    /// Where they can't be listed.
    pub async fn operator_pods(&self) -> Vec<Pod> {
        let selector = "app.kubernetes.io/part-of=image-factory,app.kubernetes.io/component=operator";
        let api = Api::<Pod>::namespaced(self.client.clone(), &self.installation.namespace);
        api.list(&ListParams::default().labels(selector))
            .await
            .expect("listing the operator's pods")
            .items
    }

    /// Name of the pod that leads.
    ///
    /// # Panics
    /// Where none does.
    pub async fn leader(&self) -> String {
        let api = Api::<Lease>::namespaced(self.client.clone(), &self.installation.namespace);
        let pods = self.operator_pods().await;
        until("an operator's pod leads", 60, async || {
            let leases = api.list(&ListParams::default()).await.expect("listing leases").items;
            let holders = leases.into_iter().filter_map(|lease| lease.spec?.holder_identity);
            let is_holder = |name: &String, holder: &String| holder == name || holder.starts_with(&format!("{name}_"));
            let names: Vec<String> = pods.iter().filter_map(|pod| pod.metadata.name.clone()).collect();
            holders
                .into_iter()
                .find_map(|holder| names.iter().find(|name| is_holder(name, &holder)).cloned())
        })
        .await
    }

    /// Kills a pod of the operator: no grace, no goodbye.
    pub fn kill_operator_pod(&self, name: &str) {
        let namespace = &self.installation.namespace;
        let arguments = [
            "delete",
            "pod",
            name,
            "-n",
            namespace,
            "--grace-period=0",
            "--force",
            "--wait=false",
        ];
        let _ = self.kubectl().run(&arguments).expect_ok();
    }

    /// Restarts a Deployment and waits until it is there again.
    pub fn restart(&self, namespace: &str, deployment: &str) {
        let which = format!("deployment/{deployment}");
        let _ = self
            .kubectl()
            .run(&["rollout", "restart", "-n", namespace, &which])
            .expect_ok();
        self.until_rolled_out(namespace, deployment);
    }

    /// Waits until a Deployment is as it should be.
    pub fn until_rolled_out(&self, namespace: &str, deployment: &str) {
        let which = format!("deployment/{deployment}");
        let _ = self
            .kubectl()
            .run(&["rollout", "status", "-n", namespace, &which, "--timeout=180s"])
            .expect_ok();
    }

    /// Waits until no pod of a Deployment is on its way out: one that was replaced works on until its kubelet tells it, and
    /// an operator's leads on with the settings that it started with.
    ///
    /// # Panics
    /// Where there is no such Deployment, or a pod of it stays.
    pub fn until_replaced_are_gone(&self, namespace: &str, deployment: &str) {
        let kubectl = self.kubectl();
        let get = |arguments: &[&str]| -> Value {
            let answer = kubectl.run(&[&["get", "-o", "json", "-n", namespace], arguments].concat());
            serde_json::from_str(&answer.expect_ok()).expect("kubectl writes JSON")
        };
        let labels = &get(&["deployment", deployment])["spec"]["selector"]["matchLabels"];
        let labels: BTreeMap<String, String> = serde_json::from_value(labels.clone()).expect("labels of a selector");
        let selector: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let pods = get(&["pods", "-l", &selector.join(",")]);
        for pod in pods["items"].as_array().into_iter().flatten() {
            let metadata = &pod["metadata"];
            if !metadata["deletionTimestamp"].is_null() {
                let which = format!("pod/{}", metadata["name"].as_str().expect("a pod has a name"));
                let wait = ["wait", "--for=delete", "--timeout=90s", "-n", namespace, &which];
                let _ = kubectl.run(&wait).expect_ok();
            }
        }
    }

    /// Sets how many pods a Deployment has; as it was, once what is given back is gone.
    ///
    /// # Panics
    /// Where there is no such Deployment.
    pub async fn scale(&self, namespace: &str, deployment: &str, replicas: u32) -> Restored {
        let api = Api::<Deployment>::namespaced(self.client.clone(), namespace);
        let before = api
            .get(deployment)
            .await
            .expect("reading the Deployment")
            .spec
            .and_then(|spec| spec.replicas);
        let set = |replicas: String| {
            let which = format!("deployment/{deployment}");
            let flag = format!("--replicas={replicas}");
            ["scale", "-n", namespace, &which, &flag].map(str::to_owned).to_vec()
        };
        let restored = Restored {
            cluster: self.clone(),
            commands: vec![(set(before.unwrap_or(1).to_string()), String::new())],
            rolled_out: (namespace.to_owned(), deployment.to_owned()),
        };
        let arguments = set(replicas.to_string());
        let _ = self
            .kubectl()
            .run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
            .expect_ok();
        self.until_rolled_out(namespace, deployment);
        self.until_replaced_are_gone(namespace, deployment);
        restored
    }

    /// Deploys the release as `hack/deploy/deploy.sh` makes it, with these arguments for Helm.
    ///
    /// # Errors
    /// What the script said, where it failed.
    pub fn deploy(&self, arguments: &[&str]) -> Result<(), String> {
        let script = self.environment.path("hack/deploy/deploy.sh");
        let output = Command::new(script)
            .args(arguments)
            .output()
            .map_err(|error| error.to_string())?;
        let said = [&output.stdout[..], &output.stderr].concat();
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&said).into_owned())
        }
    }

    /// Takes a Secret out of the release's namespace, if it is there.
    pub fn delete_secret(&self, name: &str) {
        let delete = ["delete", "secret", name, "-n", &self.installation.namespace];
        let _ = self.kubectl().run(&delete);
    }

    /// What the operator's program says in a pod of that Deployment of the release.
    ///
    /// # Panics
    /// Where it does not answer.
    #[must_use]
    pub(crate) fn run_operator(&self, deployment: &str, arguments: &[&str]) -> String {
        let which = format!("deploy/{deployment}");
        let exec = ["exec", "-n", &self.installation.namespace, &which, "--", "/operator"];
        self.kubectl().run(&[&exec[..], arguments].concat()).expect_ok()
    }

    /// Gives the operator other settings and restarts it; as they were, once what is given back is gone.
    ///
    /// # Panics
    /// Where the operator does not come up with them.
    pub fn with_settings(&self, change: impl FnOnce(&mut Value)) -> Restored {
        let Self { installation, .. } = self;
        let which = format!("deployment/{}", installation.operator);
        let restart = ["rollout", "restart", "-n", &installation.namespace, &which]
            .map(str::to_owned)
            .to_vec();
        let before = self.patch_of_settings(&installation.settings);
        let restored = Restored {
            cluster: self.clone(),
            commands: vec![(before, String::new()), (restart, String::new())],
            rolled_out: (installation.namespace.clone(), installation.operator.clone()),
        };
        let mut settings = installation.settings.clone();
        change(&mut settings);
        let command = self.patch_of_settings(&settings);
        let _ = self
            .kubectl()
            .run(&command.iter().map(String::as_str).collect::<Vec<_>>())
            .expect_ok();
        self.restart(&installation.namespace, &installation.operator);
        self.until_replaced_are_gone(&installation.namespace, &installation.operator);
        restored
    }

    /// The command that makes these the operator's settings.
    fn patch_of_settings(&self, settings: &Value) -> Vec<String> {
        let text = serde_yaml::to_string(settings).expect("settings are YAML");
        let patch = json!({"data": {"config.yaml": text}}).to_string();
        let Self { installation, .. } = self;
        [
            "patch",
            "configmap",
            "-n",
            &installation.namespace,
            &installation.config_map,
            "--type=merge",
            "-p",
            &patch,
        ]
        .map(str::to_owned)
        .to_vec()
    }
}

/// Puts back what a test has changed, also where the test fails.
#[must_use = "what was changed is put back when this goes"]
pub struct Restored {
    cluster: Cluster,
    /// Commands, each with what it reads.
    commands: Vec<(Vec<String>, String)>,
    rolled_out: (String, String),
}

impl Restored {
    /// Runs `command` of kubectl, with `input`, when it goes.
    pub fn by(cluster: &Cluster, command: &[&str], input: String) -> Self {
        let command = command.iter().map(|argument| (*argument).to_owned()).collect();
        let rolled_out = (
            cluster.installation.namespace.clone(),
            cluster.installation.operator.clone(),
        );
        Self {
            cluster: cluster.clone(),
            commands: vec![(command, input)],
            rolled_out,
        }
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        let kubectl = self.cluster.kubectl();
        for (command, input) in &self.commands {
            let answer = kubectl.run_with(&command.iter().map(String::as_str).collect::<Vec<_>>(), input);
            // A panic during a panic would end the process and hide the first one.
            assert!(
                answer.ok || std::thread::panicking(),
                "could not put back: {}",
                answer.stderr
            );
        }
        let (namespace, deployment) = &self.rolled_out;
        let which = format!("deployment/{deployment}");
        let _ = kubectl.run(&["rollout", "status", "-n", namespace, &which, "--timeout=180s"]);
        if !std::thread::panicking() {
            self.cluster.until_replaced_are_gone(namespace, deployment);
        }
    }
}

/// The release with other values; as `hack/deploy/deploy.sh` makes it, once this goes.
#[must_use = "the release is as it was when this goes"]
pub struct Deployed(Cluster);

impl Deployed {
    /// Deploys with these arguments for Helm.
    ///
    /// # Panics
    /// Where the chart can't be deployed.
    pub fn with(cluster: &Cluster, arguments: &[&str]) -> Self {
        let deployed = Self(cluster.clone());
        cluster.deploy(arguments).expect("deploying the chart");
        cluster.until_replaced_are_gone(&cluster.installation.namespace, &cluster.installation.operator);
        deployed
    }
}

impl Drop for Deployed {
    fn drop(&mut self) {
        let deployed = self.0.deploy(&[]);
        // A panic during a panic would end the process and hide the first one.
        assert!(
            deployed.is_ok() || std::thread::panicking(),
            "the chart can't be deployed as it was: {deployed:?}"
        );
    }
}
