//! Gatekeeper as a process on this machine, with the flags that its chart gives to the pods that are asked at admission, and a
//! rule about Builds in Rego.

use std::path::{Path, PathBuf};
use std::process::Command;

use imagefactory_rig::control_plane::{ControlPlane, free_port};
use imagefactory_rig::door::{certificates, client_config, namespace, rules, text};
use imagefactory_rig::process::Process;
use imagefactory_rig::setup::{established, kinds, until};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};

use super::resource;
use crate::error::{BenchError, Result, Trying};

/// Where it believes to run.
const NAMESPACE: &str = "gatekeeper-system";
/// Kind of the constraint that the rule is told by.
const RULE: &str = "BuildEntitlement";

/// A Gatekeeper that is asked about Builds in namespaces with the label `asked: gatekeeper`.
pub struct Gatekeeper {
    /// Its process.
    pub process: Process,
    dir: PathBuf,
    port: u16,
    health: u16,
}

impl Gatekeeper {
    /// Starts it, tells it the rule, and has the API server ask it.
    ///
    /// # Errors
    /// When it was not built, or does not come up.
    pub async fn start(tools: &Path, plane: &ControlPlane, client: &Client) -> Result<Self> {
        let program = tools.join("gatekeeper");
        if !program.exists() {
            let how = "Gatekeeper is missing: build it with hack/tools/build.sh gatekeeper";
            return Err(BenchError::Wrong(how.to_owned()));
        }
        kinds(client, &tools.join("gatekeeper-crds")).await?;
        namespace(client, NAMESPACE, None, "nobody").await?;
        let dir = plane.dir().join("gatekeeper");
        std::fs::create_dir_all(&dir).trying("could not make a folder")?;
        certificates(&dir)?;
        let (port, health) = (free_port()?, free_port()?);
        let mut command = Command::new(program);
        command
            .args(["--operation=webhook", "--operation=generate", "--disable-cert-rotation"])
            .args(["--host=127.0.0.1", &format!("--port={port}")])
            .args([
                &format!("--health-addr=127.0.0.1:{health}"),
                &format!("--prometheus-port={}", free_port()?),
            ])
            .args(["--disable-opa-builtin={http.send}", "--log-level=ERROR"])
            // There is no pod of it whose status could be written.
            .arg("--debug-use-fake-pod")
            .args(["--cert-dir".as_ref(), dir.as_os_str()])
            .args(["--kubeconfig".as_ref(), plane.kubeconfig("gatekeeper").as_os_str()])
            .env("POD_NAMESPACE", NAMESPACE);
        let gatekeeper = Self {
            process: Process::start("gatekeeper", &dir, &mut command)?,
            dir,
            port,
            health,
        };
        gatekeeper.is_ready().await?;
        gatekeeper.is_told(client).await?;
        gatekeeper.is_asked(client).await?;
        Ok(gatekeeper)
    }

    async fn is_ready(&self) -> Result<()> {
        until("Gatekeeper", async || Ok(text(self.health, "/readyz").await.is_some()))
            .await
            .map_err(|error| self.at_a_loss(&error))
    }

    /// What it keeps at hand, and the rule.
    async fn is_told(&self, client: &Client) -> Result<()> {
        let plural = RULE.to_lowercase();
        let kept = |kind: &str| json!({"group": "imagefactory.dev", "version": "v1alpha1", "kind": kind});
        let sync = resource("syncset.gatekeeper.sh/v1alpha1", "SyncSet", "syncsets");
        create(
            client,
            &sync,
            "factory",
            json!({"gvks": [kept("Tenant"), kept("Project")]}),
        )
        .await?;
        let code = json!({"engine": "Rego", "source": {"version": "v1", "rego": include_str!("rule.rego")}});
        let spec = json!({
            "crd": {"spec": {"names": {"kind": RULE}}},
            "targets": [{"target": "admission.k8s.gatekeeper.sh", "code": [code]}],
        });
        let template = resource(
            "templates.gatekeeper.sh/v1",
            "ConstraintTemplate",
            "constrainttemplates",
        );
        create(client, &template, &plural, spec).await?;
        established(client, &format!("{plural}.constraints.gatekeeper.sh"))
            .await
            .map_err(|error| self.at_a_loss(&error))?;
        let constraint = resource("constraints.gatekeeper.sh/v1beta1", RULE, &plural);
        let spec = json!({"match": {"kinds": [{"apiGroups": ["imagefactory.dev"], "kinds": ["Build"]}]}});
        create(client, &constraint, "builds", spec).await
    }

    fn at_a_loss(&self, error: &BenchError) -> BenchError {
        BenchError::Wrong(format!("{error}; its last words: {}", self.process.last_words()))
    }

    /// As its chart configures it, but only about Builds, and refusing where it can't answer: both as ours.
    async fn is_asked(&self, client: &Client) -> Result<()> {
        let configuration = json!({
            "metadata": {"name": "gatekeeper-validating-webhook-configuration"},
            "webhooks": [{
                "name": "validation.gatekeeper.sh", "admissionReviewVersions": ["v1", "v1beta1"], "timeoutSeconds": 3,
                "failurePolicy": "Fail", "matchPolicy": "Exact", "sideEffects": "None",
                "clientConfig": client_config(&self.dir, self.port, "v1/admit")?,
                "namespaceSelector": {"matchLabels": {"asked": "gatekeeper"}}, "rules": rules(),
            }],
        });
        let configuration = serde_json::from_value(configuration).trying("a webhook's configuration")?;
        Api::<ValidatingWebhookConfiguration>::all(client.clone())
            .create(&PostParams::default(), &configuration)
            .await
            .trying("could not configure Gatekeeper")?;
        Ok(())
    }
}

/// Creates an object of a kind that this program has no type for, as soon as that is served.
async fn create(client: &Client, resource: &ApiResource, name: &str, spec: Value) -> Result<()> {
    let mut object = DynamicObject::new(name, resource);
    object.data = json!({"spec": spec});
    let api: Api<DynamicObject> = Api::all_with(client.clone(), resource);
    until(&format!("{} to be taken", resource.kind), async || {
        match api.create(&PostParams::default(), &object).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(source) => Err(source).trying(format!("could not create {} {name}", resource.kind)),
        }
    })
    .await
}
