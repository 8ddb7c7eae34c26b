//! A pod that builds, in a namespace of the test's own.

use imagefactory_tests::cluster::unique;
use imagefactory_tests::environment::Environment;
use imagefactory_tests::kubectl::Kubectl;
use imagefactory_tests::wait::until;
use serde_json::{Value, json};

/// What runs when the layout is there.
const LOOK: &str = include_str!("look.sh");
/// Fills workspace and prepared as the factory's own step would, and a secret.
const PREPARE: &str = include_str!("prepare.sh");
/// Content of the build secret `token`.
pub const SECRET: &str = "marker-of-the-build-secret";

/// A namespace that enforces `baseline`, gone with the test.
pub struct Builder {
    environment: Environment,
    kubectl: Kubectl,
    namespace: String,
}

/// What became of a build.
pub struct Built {
    /// Exit code of each container that built, in order.
    pub codes: Vec<i64>,
    /// Their logs, without what our program says at their end of the time and memory that they used.
    pub logs: Vec<String>,
    /// What was found in the layout.
    pub found: String,
}

/// A build to make.
#[derive(Default)]
pub struct Order<'a> {
    /// The Dockerfile.
    pub dockerfile: &'a str,
    /// Fields of the step beside those that every build has.
    pub step: Value,
    /// The source policy, where there is one.
    pub policy: Option<Value>,
    /// How often it is built, each time with a new daemon.
    pub times: usize,
}

impl Builder {
    pub fn create() -> Self {
        let environment = Environment::load();
        let kubectl = Kubectl::of(&environment);
        let namespace = unique("buildkit");
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": namespace, "labels": {"pod-security.kubernetes.io/enforce": "baseline"}},
        });
        let _ = kubectl.run_with(&["apply", "-f", "-"], &object.to_string()).expect_ok();
        let authority = format!("ca.crt={}", environment.get("REGISTRY_CA"));
        let file = format!("--from-file={authority}");
        let _ = kubectl
            .run(&["-n", &namespace, "create", "configmap", "ca", &file])
            .expect_ok();
        Self {
            environment,
            kubectl,
            namespace,
        }
    }

    /// Builds and waits for the end.
    pub async fn build(&self, name: &str, order: &Order<'_>) -> Built {
        self.start(name, order);
        let pod = until("the pod has ended", 300, async || {
            let pod = self.pod(name);
            matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")).then_some(pod)
        })
        .await;
        let builds = (0..order.times.max(1)).map(|index| format!("build-{index}"));
        let statuses = pod["status"]["initContainerStatuses"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let (mut codes, mut logs) = (Vec::new(), Vec::new());
        for build in builds {
            let status = statuses
                .iter()
                .find(|status| status["name"] == *build)
                .cloned()
                .unwrap_or_default();
            codes.push(status["state"]["terminated"]["exitCode"].as_i64().unwrap_or(-1));
            logs.push(without_usage(&self.log(name, &build)));
        }
        Built {
            codes,
            logs,
            found: self.log(name, "look"),
        }
    }

    pub fn start(&self, name: &str, order: &Order<'_>) {
        let pod = self.pod_for(name, order);
        let _ = self
            .kubectl
            .run_with(&["apply", "-f", "-"], &pod.to_string())
            .expect_ok();
    }

    pub fn pod(&self, name: &str) -> Value {
        let told = self
            .kubectl
            .run(&["-n", &self.namespace, "get", "pod", name, "-o", "json"])
            .expect_ok();
        serde_json::from_str(&told).unwrap()
    }

    pub fn log(&self, name: &str, container: &str) -> String {
        self.kubectl
            .run(&["-n", &self.namespace, "logs", name, "-c", container])
            .stdout
    }

    /// Deletes a pod; how long that took.
    pub fn end(&self, name: &str) -> std::time::Duration {
        let begun = std::time::Instant::now();
        let arguments = ["-n", &self.namespace, "delete", "pod", name, "--grace-period=25"];
        let _ = self.kubectl.run(&arguments).expect_ok();
        begun.elapsed()
    }

    fn step(&self, order: &Order<'_>, index: usize) -> Value {
        let mut step = json!({
            "context": "/workspace", "dockerfile": "/prepared/Dockerfile", "layout": "/layout",
            "state": format!("/state/{index}"),
            "mirrors": [{"registry": "docker.io", "mirror": self.environment.get("MIRROR")}],
        });
        if order.policy.is_some() {
            step["sourcePolicy"] = json!("/prepared/source-policy.json");
        }
        for (field, value) in order.step.as_object().into_iter().flatten() {
            step[field] = value.clone();
        }
        step
    }

    fn pod_for(&self, name: &str, order: &Order<'_>) -> Value {
        let mut init = vec![self.prepare(order)];
        init.extend((0..order.times.max(1)).map(|index| self.builder(order, index)));
        let volumes: Vec<Value> = ["workspace", "prepared", "layout", "state", "secrets", "cache"]
            .iter()
            .map(|volume| json!({"name": volume, "emptyDir": {"sizeLimit": "4Gi"}}))
            .chain([json!({"name": "ca", "configMap": {"name": "ca"}})])
            .collect();
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "hostUsers": false, "automountServiceAccountToken": false, "enableServiceLinks": false,
                "restartPolicy": "Never", "initContainers": init, "volumes": volumes,
                "containers": [{
                    "name": "look", "image": BUSYBOX, "command": ["sh", "-c", LOOK],
                    "volumeMounts": [{"name": "layout", "mountPath": "/layout", "readOnly": true}],
                }],
            },
        })
    }

    fn prepare(&self, order: &Order<'_>) -> Value {
        let policy = order.policy.as_ref().map(Value::to_string).unwrap_or_default();
        json!({
            "name": "prepare", "image": BUSYBOX, "command": ["sh", "-c", PREPARE],
            "env": [
                {"name": "DOCKERFILE", "value": literal(order.dockerfile)},
                {"name": "POLICY", "value": literal(&policy)},
                {"name": "SECRET", "value": SECRET},
            ],
            "volumeMounts": [
                {"name": "workspace", "mountPath": "/workspace"}, {"name": "prepared", "mountPath": "/prepared"},
                {"name": "secrets", "mountPath": "/secrets"}, {"name": "ca", "mountPath": "/ca", "readOnly": true},
            ],
        })
    }

    /// The container as the factory makes it.
    fn builder(&self, order: &Order<'_>, index: usize) -> Value {
        json!({
            "name": format!("build-{index}"), "image": image(&self.environment),
            "env": [
                {"name": "IMAGEFACTORY_STEP", "value": literal(&self.step(order, index).to_string())},
                {"name": "DOCKER_CONFIG", "value": "/prepared/docker"},
                {"name": "SSL_CERT_FILE", "value": "/prepared/ca.pem"},
            ],
            "resources": {"limits": {"memory": "1Gi"}},
            "securityContext": {
                "runAsUser": 0, "runAsGroup": 0, "readOnlyRootFilesystem": true,
                "seccompProfile": {"type": "Localhost", "localhostProfile": "imagefactory/buildkit.json"},
                "capabilities": {"drop": ["ALL"], "add": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETFCAP", "SETGID", "SETUID"]},
            },
            "volumeMounts": [
                {"name": "workspace", "mountPath": "/workspace", "readOnly": true},
                {"name": "prepared", "mountPath": "/prepared", "readOnly": true},
                {"name": "secrets", "mountPath": "/secrets", "readOnly": true},
                {"name": "layout", "mountPath": "/layout"}, {"name": "state", "mountPath": "/state"},
                {"name": "cache", "mountPath": "/cache"},
            ],
        })
    }
}

const BUSYBOX: &str = "docker.io/library/busybox:stable";

fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// The image that `hack/images/build.sh` brought into the cluster.
fn image(environment: &Environment) -> String {
    let text = std::fs::read_to_string(environment.path(".cluster/images.env")).expect("hack/images/build.sh has run");
    let line = text.lines().find_map(|line| line.strip_prefix("BUILDKIT_IMAGE="));
    line.expect("images.env names the image of BuildKit")
        .trim_matches('\'')
        .to_owned()
}

impl Drop for Builder {
    fn drop(&mut self) {
        let _ = self
            .kubectl
            .run(&["delete", "namespace", &self.namespace, "--wait=false"]);
    }
}

/// What a program prints last may have no line of its own, and the usage then stands behind it.
fn without_usage(log: &str) -> String {
    let (mut log, used) = log.rsplit_once("imagefactory: used ").unwrap_or_default();
    assert!(used.contains(" ms of CPU, "), "what was used is told: {log}{used}");
    if !log.ends_with('\n') {
        log = log.rsplit_once('\n').map_or("", |(whole_lines, _)| whole_lines);
    }
    log.to_owned()
}
