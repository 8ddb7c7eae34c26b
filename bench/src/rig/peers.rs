//! Tekton's and Shipwright's controllers as processes on this machine, tuned, with what they need on the API server.
//!
//! Their webhooks do not run: what is submitted has all that these would add, in the version that is stored.

use std::path::Path;
use std::process::Command;

use imagefactory_rig::control_plane::free_port;
use imagefactory_rig::door::namespace;
use imagefactory_rig::process::Process;
use imagefactory_rig::setup::{kinds, until};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};

use super::{Places, Rig, resource};
use crate::error::{BenchError, Result, Trying};
use crate::load::Units;

/// Where Tekton believes to run; its ConfigMaps say so themselves.
const TEKTON: &str = "tekton-pipelines";
/// Where Shipwright believes to run.
const SHIPWRIGHT: &str = "shipwright-build";
/// Where the work is.
const WORK: &str = "work";
/// Label of every pod that Tekton makes.
const TASK_RUN: &str = "tekton.dev/taskRun";
/// Label of every pod that is made for a `BuildRun`.
const BUILD_RUN: &str = "buildrun.shipwright.io/name";
/// Looks at a time, in place of 2 (Tekton) and 1 (Shipwright).
const THREADS: &str = "32";
/// Requests in a second, in place of 5 to 20.
const REQUESTS: &str = "1000";
/// What the one step of each unit is.
const IMAGE: &str = "docker.io/library/debian:bookworm-slim";

/// Whose work it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// `TaskRuns`, which Tekton makes pods of.
    Tekton,
    /// `BuildRuns`, which Shipwright makes `TaskRuns` of.
    Shipwright,
}

/// Controllers that are up.
pub struct Peers {
    /// The control plane below them.
    pub rig: Rig,
    /// Their processes.
    pub processes: Vec<Process>,
    /// What they bring to its end.
    pub units: Units,
    /// Its kind.
    pub resource: ApiResource,
    /// The label of pods that has its name.
    pub label: &'static str,
}

impl Peers {
    /// Brings everything up.
    ///
    /// # Errors
    /// When a program was not built, or does not come up.
    pub async fn start(places: &Places, peer: Peer) -> Result<Self> {
        let rig = Rig::bare(places, TASK_RUN).await?;
        let mut processes = vec![tekton(&places.tools, &rig).await?];
        namespace(&rig.client, WORK, None, "nobody").await?;
        account(&rig.client).await?;
        let (resource, spec, label) = match peer {
            Peer::Tekton => (resource("tekton.dev/v1", "TaskRun", "taskruns"), task_run(), TASK_RUN),
            Peer::Shipwright => {
                processes.push(shipwright(&places.tools, &rig).await?);
                (
                    of_shipwright("BuildRun", "buildruns"),
                    json!({"build": {"name": WORK}}),
                    BUILD_RUN,
                )
            }
        };
        let mut like = object("", &resource, &spec);
        like.metadata.namespace = Some(WORK.to_owned());
        if peer == Peer::Tekton {
            let managed = ("app.kubernetes.io/managed-by".to_owned(), TEKTON.to_owned());
            like.metadata.labels = Some([managed].into());
        }
        Ok(Self {
            units: Units::Others {
                resource: resource.clone(),
                like: Box::new(like),
            },
            rig,
            processes,
            resource,
            label,
        })
    }
}

/// One step. Its command is told, so that nobody asks a registry for the image's.
fn task_run() -> Value {
    json!({
        "serviceAccountName": "default", "timeout": "1h0m0s",
        "taskSpec": {"steps": [{"name": "build", "image": IMAGE, "command": ["/bin/true"]}]},
    })
}

async fn tekton(tools: &Path, rig: &Rig) -> Result<Process> {
    let program = built(tools, "tekton-controller", "tekton")?;
    let config = tools.join("tekton-config");
    kinds(&rig.client, &config.join("300-crds")).await?;
    namespace(&rig.client, TEKTON, None, "nobody").await?;
    settings(&rig.client, &config).await?;
    let images = ["entrypoint", "nop", "sidecarlogresults", "workingdirinit", "shell"];
    let mut command = Command::new(program);
    for image in images {
        command.args([&format!("-{image}-image"), IMAGE]);
    }
    command
        .args(["-shell-image-win", IMAGE, "-threads-per-controller", THREADS])
        .args(["-kube-api-qps", REQUESTS, "-kube-api-burst", REQUESTS])
        .env("KUBECONFIG", rig.plane.kubeconfig("tekton"))
        .env("SYSTEM_NAMESPACE", TEKTON)
        .env("CONFIG_LEADERELECTION_NAME", "config-leader-election-controller")
        .env("CONFIG_FEATURE_FLAGS_NAME", "feature-flags")
        .env("KUBERNETES_MIN_VERSION", "v1.28.0")
        .env("METRICS_DOMAIN", "tekton.dev/pipeline")
        .env("METRICS_PROMETHEUS_HOST", "127.0.0.1")
        .env("METRICS_PROMETHEUS_PORT", free_port()?.to_string())
        .env("PROFILING_PORT", free_port()?.to_string())
        .env("PROBES_PORT", free_port()?.to_string());
    Process::start("tekton", rig.plane.dir(), &mut command)
}

/// The ConfigMaps that it is released with.
async fn settings(client: &Client, config: &Path) -> Result<()> {
    let entries = std::fs::read_dir(config).trying(format!("could not read {}", config.display()))?;
    for entry in entries {
        let path = entry.trying("could not read a directory")?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.starts_with("config-") {
            continue;
        }
        let text = std::fs::read_to_string(&path).trying(format!("could not read {}", path.display()))?;
        let map: ConfigMap = serde_yaml::from_str(&text).map_err(|source| BenchError::Yaml { path, source })?;
        Api::<ConfigMap>::namespaced(client.clone(), TEKTON)
            .create(&PostParams::default(), &map)
            .await
            .trying("could not create a ConfigMap of Tekton's")?;
    }
    Ok(())
}

async fn shipwright(tools: &Path, rig: &Rig) -> Result<Process> {
    let program = built(tools, "shipwright-controller", "shipwright")?;
    kinds(&rig.client, &tools.join("shipwright-crds")).await?;
    namespace(&rig.client, SHIPWRIGHT, None, "nobody").await?;
    let mut command = Command::new(program);
    command
        .env("KUBECONFIG", rig.plane.kubeconfig("shipwright"))
        .env("BUILD_CONTROLLER_LEADER_ELECTION_NAMESPACE", SHIPWRIGHT)
        .env("TERMINATION_LOG_PATH", rig.plane.dir().join("shipwright.termination"))
        .env("KUBE_API_QPS", REQUESTS)
        .env("KUBE_API_BURST", REQUESTS);
    for controller in ["BUILD", "BUILDRUN", "BUILDSTRATEGY", "CLUSTERBUILDSTRATEGY"] {
        command.env(format!("{controller}_MAX_CONCURRENT_RECONCILES"), THREADS);
    }
    let process = Process::start("shipwright", rig.plane.dir(), &mut command)?;
    registered(&rig.client)
        .await
        .map_err(|error| BenchError::Wrong(format!("{error}; its last words: {}", process.last_words())))?;
    Ok(process)
}

/// A strategy of one step, and a Build that goes by it, which Shipwright has found to be good.
async fn registered(client: &Client) -> Result<()> {
    let strategies = of_shipwright("ClusterBuildStrategy", "clusterbuildstrategies");
    let step = json!({"name": "build", "image": IMAGE, "command": ["/bin/true"], "securityContext": {}});
    let strategy = object("trivial", &strategies, &json!({"steps": [step]}));
    Api::<DynamicObject>::all_with(client.clone(), &strategies)
        .create(&PostParams::default(), &strategy)
        .await
        .trying("could not create a strategy")?;
    let builds = of_shipwright("Build", "builds");
    let spec = json!({
        "strategy": {"name": "trivial", "kind": "ClusterBuildStrategy"},
        "output": {"image": "registry.example.com/work:latest"},
    });
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), WORK, &builds);
    api.create(&PostParams::default(), &object(WORK, &builds, &spec))
        .await
        .trying("could not create a Build of Shipwright's")?;
    until("Shipwright to register a Build", async || {
        let build = api.get(WORK).await.trying("could not read a Build of Shipwright's")?;
        Ok(build.data["status"]["registered"] == "True")
    })
    .await
}

/// Waits until pods of the namespace may be made.
async fn account(client: &Client) -> Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), WORK);
    until("the namespace's account", async || {
        let account = accounts.get_opt("default").await;
        Ok(account.trying("could not read an account")?.is_some())
    })
    .await
}

fn built(tools: &Path, program: &str, tool: &str) -> Result<std::path::PathBuf> {
    let path = tools.join(program);
    if path.exists() {
        return Ok(path);
    }
    let how = format!("{program} is missing: build it with hack/tools/build.sh {tool}");
    Err(BenchError::Wrong(how))
}

fn of_shipwright(kind: &str, plural: &str) -> ApiResource {
    resource("shipwright.io/v1beta1", kind, plural)
}

fn object(name: &str, resource: &ApiResource, spec: &Value) -> DynamicObject {
    DynamicObject::new(name, resource).data(json!({"spec": spec}))
}
