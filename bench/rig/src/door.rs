//! The webhook and the audit as processes on this machine: the programs of the image, beside a [`ControlPlane`], with
//! certificates of their own and a spool and a database that outlive them.

use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::Client;
use kube::api::{Api, PostParams};
use kube::client::Body;
use serde_json::{Value, json};

use crate::control_plane::{ControlPlane, free_port};
use crate::error::{BenchError, Result, Trying};
use crate::process::Process;
use crate::setup::until;

/// Audience of tokens for the intake.
const AUDIENCE: &str = "image-factory-audit";
/// Where the senders' account is.
const NAMESPACE: &str = "image-factory-system";

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The webhook's.
    pub webhook: PathBuf,
    /// The operator's, of which the audit is a role.
    pub operator: PathBuf,
    /// The repository.
    pub root: PathBuf,
}

/// Files and ports of a webhook and an audit, which stay when these are killed and started again.
pub struct Door {
    programs: Programs,
    dir: PathBuf,
    kubeconfig: PathBuf,
    /// Port of the webhook's reviews, over TLS.
    pub port: u16,
    health: u16,
    intake: u16,
    audit_health: u16,
    client: Client,
}

impl Door {
    /// Makes what they need: certificates, an account with a token, settings.
    ///
    /// # Errors
    /// When the API server refuses something, or a file can't be written.
    pub async fn prepare(plane: &ControlPlane, programs: Programs) -> Result<Self> {
        let client = plane.client("load").await?;
        let dir = plane.dir().join("door");
        std::fs::create_dir_all(dir.join("spool")).trying("could not make a folder")?;
        let door = Self {
            kubeconfig: plane.kubeconfig("operator"),
            port: free_port()?,
            health: free_port()?,
            intake: free_port()?,
            audit_health: free_port()?,
            client,
            programs,
            dir,
        };
        certificates(&door.dir)?;
        door.write("settings.json", &settings().to_string())?;
        let template = door.programs.root.join("operator/src/config/testdata/config.yaml");
        std::fs::copy(&template, door.dir.join("config.yaml")).trying("could not copy the settings")?;
        door.write("token", &token(&door.client).await?)?;
        Ok(door)
    }

    /// The authority that signs their certificates, PEM.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn authority(&self) -> Result<String> {
        std::fs::read_to_string(self.dir.join("ca.crt")).trying("could not read the authority")
    }

    /// URL of the audit's SQLite.
    #[must_use]
    pub fn database(&self) -> String {
        format!("sqlite://{}", self.dir.join("audit.db").display())
    }

    /// Folder of the webhook's spool.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.dir.join("spool")
    }

    /// How the webhook is started; with the address of an intake where events are told.
    #[must_use]
    pub fn webhook_command(&self, audited: bool) -> Command {
        let mut command = Command::new(&self.programs.webhook);
        command
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .args(["--health-listen", &format!("127.0.0.1:{}", self.health)])
            .args([
                "--namespace",
                NAMESPACE,
                "--prefix",
                "image-factory",
                "--certificates",
                "files",
            ])
            .args(["--linger-seconds", "0"])
            .args(["--settings".as_ref(), self.dir.join("settings.json").as_os_str()])
            .args(["--certificates-folder".as_ref(), self.dir.as_os_str()])
            .args(["--spool".as_ref(), self.spool().as_os_str()])
            .env("KUBECONFIG", &self.kubeconfig)
            .env("MALLOC_ARENA_MAX", "1");
        if audited {
            command
                .args(["--audit-url", &format!("https://127.0.0.1:{}", self.intake)])
                .args(["--audit-ca".as_ref(), self.dir.join("ca.crt").as_os_str()])
                .args(["--audit-token".as_ref(), self.dir.join("token").as_os_str()]);
        }
        command
    }

    /// Starts the webhook.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn webhook(&self, audited: bool) -> Result<Process> {
        Process::start("webhook", &self.dir, &mut self.webhook_command(audited))
    }

    /// Starts the audit.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn audit(&self, database: &str) -> Result<Process> {
        let mut command = Command::new(&self.programs.operator);
        command
            .args(["audit", "serve", "--database", database])
            .args(["--intake", &format!("127.0.0.1:{}", self.intake)])
            .args(["--listen", &format!("127.0.0.1:{}", self.audit_health)])
            .args([
                "--allow",
                &format!("system:serviceaccount:{NAMESPACE}:webhook"),
                "--audience",
                AUDIENCE,
            ])
            .args(["--config".as_ref(), self.dir.join("config.yaml").as_os_str()])
            .args(["--tls-cert".as_ref(), self.dir.join("tls.crt").as_os_str()])
            .args(["--tls-key".as_ref(), self.dir.join("tls.key").as_os_str()])
            .env("KUBECONFIG", &self.kubeconfig)
            .env("MALLOC_ARENA_MAX", "1");
        Process::start("audit", &self.dir, &mut command)
    }

    /// What `/readyz` and `/metrics` of the webhook say; none while it does not answer with a success.
    pub async fn says(&self, path: &str) -> Option<String> {
        text(self.health, path).await
    }

    /// The status and the text that the webhook's plain port answers with; none while nobody does.
    pub async fn answers(&self, path: &str) -> Option<(u16, String)> {
        let request = http::Request::get(path).body(Body::empty()).ok()?;
        let answer = plain(self.health)?.send(request).await.ok()?;
        let status = answer.status().as_u16();
        let text = answer.into_body().collect_bytes().await.ok()?;
        Some((status, String::from_utf8_lossy(&text).into_owned()))
    }

    /// Waits until the webhook is ready.
    ///
    /// # Errors
    /// When it is not, for long.
    pub async fn webhook_is_ready(&self) -> Result<()> {
        until("the webhook", async || Ok(self.says("/readyz").await.is_some())).await
    }

    /// Waits until the audit is ready.
    ///
    /// # Errors
    /// When it is not, for long.
    pub async fn audit_is_ready(&self) -> Result<()> {
        until("the audit", async || {
            Ok(text(self.audit_health, "/readyz").await.is_some())
        })
        .await
    }

    /// Has the API server ask the webhook about what is created in namespaces with the label `asked: webhook`.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn is_asked(&self) -> Result<()> {
        let configuration = json!({
            "metadata": {"name": "door"},
            "webhooks": [{
                "name": "entitlements.imagefactory.dev", "admissionReviewVersions": ["v1"], "timeoutSeconds": 3,
                "failurePolicy": "Fail", "sideEffects": "NoneOnDryRun", "clientConfig": self.client_config("validate")?,
                "namespaceSelector": {"matchLabels": {"asked": "webhook"}}, "rules": rules(),
            }],
        });
        let api: Api<ValidatingWebhookConfiguration> = Api::all(self.client.clone());
        let configuration = serde_json::from_value(configuration).trying("a webhook's configuration")?;
        api.create(&PostParams::default(), &configuration)
            .await
            .trying("could not configure the webhook")?;
        Ok(())
    }

    /// Where the API server finds a call of the webhook.
    ///
    /// # Errors
    /// When the authority can't be read.
    pub fn client_config(&self, call: &str) -> Result<Value> {
        let authority = k8s_openapi::ByteString(self.authority()?.into_bytes());
        Ok(json!({"url": format!("https://127.0.0.1:{}/{call}", self.port), "caBundle": authority}))
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        std::fs::write(self.dir.join(file), text).trying(format!("could not write {file}"))
    }
}

/// Builds that are made.
#[must_use]
pub fn rules() -> Value {
    json!([{"apiGroups": ["imagefactory.dev"], "apiVersions": ["v1alpha1"], "operations": ["CREATE"], "resources": ["builds"]}])
}

/// Makes the namespace of a tenant, labelled as the operator would and with who is asked about it.
///
/// # Errors
/// When the API server refuses it.
pub async fn namespace(client: &Client, name: &str, tenant: Option<&str>, asked: &str) -> Result<()> {
    let mut namespace: Namespace = Namespace::default();
    namespace.metadata.name = Some(name.to_owned());
    let labels = namespace.metadata.labels.get_or_insert_default();
    labels.insert("asked".to_owned(), asked.to_owned());
    if let Some(tenant) = tenant {
        labels.insert("imagefactory.dev/tenant".to_owned(), tenant.to_owned());
    }
    match Api::<Namespace>::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(source) => Err(source).trying(format!("could not create namespace {name}")),
    }
}

/// What a path of a plain port answers with a success.
pub async fn text(port: u16, path: &str) -> Option<String> {
    let request = http::Request::get(path).body(Vec::new()).ok()?;
    plain(port)?.request_text(request).await.ok()
}

/// A client of a plain port, which says itself when it is not ready: kube would ask again for most of a minute.
pub fn plain(port: u16) -> Option<Client> {
    let address = format!("http://127.0.0.1:{port}").parse().ok()?;
    let mut config = kube::Config::new(address);
    config.default_retry = false;
    Client::try_from(config).ok()
}

fn settings() -> Value {
    json!({
        "onboarding": {"build": false},
        "persons": {"platformGroups": [], "securityGroups": [], "gitopsAccounts": [], "ownAccounts": []},
    })
}

async fn token(client: &Client) -> Result<String> {
    namespace(client, NAMESPACE, None, "nobody").await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
    let mut account = ServiceAccount::default();
    account.metadata.name = Some("webhook".to_owned());
    accounts
        .create(&PostParams::default(), &account)
        .await
        .trying("could not create an account")?;
    let request: TokenRequest =
        serde_json::from_value(json!({"spec": {"audiences": [AUDIENCE]}})).trying("a token's request")?;
    let made = accounts
        .create_token_request("webhook", &PostParams::default(), &request)
        .await
        .trying("could not create a token")?;
    made.status
        .map(|status| status.token)
        .ok_or_else(|| BenchError::Wrong("the API server made no token".to_owned()))
}

/// An authority, and a leaf of it for the loopback device.
fn certificates(dir: &Path) -> Result<()> {
    let make = |arguments: &str| {
        let made = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(dir)
            .output()
            .trying("could not run openssl")?;
        if made.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        Err(BenchError::Wrong(format!(
            "openssl could not make a certificate: {said}"
        )))
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    make(&format!(
        "req -x509 {key} -keyout ca.key -out ca.crt -days 2 -subj /CN=bench"
    ))?;
    make(&format!("req {key} -keyout tls.key -out tls.csr -subj /CN=door"))?;
    std::fs::write(dir.join("tls.ext"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").trying("could not write")?;
    make("x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out tls.crt -days 2 -extfile tls.ext")
}
