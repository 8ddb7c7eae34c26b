//! A control plane of its own: etcd, kube-apiserver and, where wanted, kube-controller-manager on free ports of the loopback device,
//! with their data in a temporary directory. Nothing of it is left when it is dropped, and no other cluster notices.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::error::{BenchError, Result, Trying};
use crate::process::Process;

/// Who speaks with the API server; the audit log tells them apart.
pub const USERS: [&str; 9] = [
    "operator",
    "null",
    "double",
    "load",
    "watcher",
    "controllers",
    "gatekeeper",
    "tekton",
    "shipwright",
];
/// Longest that the API server may take to answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// Who did what, without bodies.
const AUDIT: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  verbs: [get, list, watch]
  users: [system:apiserver]
- level: None
  nonResourceURLs: [\"/*\"]
- level: Metadata
";
/// What jobs, service accounts and quotas need. The collector of garbage is left out: nothing is deleted.
const CONTROLLERS: &str = "job-controller,serviceaccount-controller,resourcequota-controller,namespace-controller";

/// What of a control plane is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    /// Jobs, service accounts, quotas and namespaces are looked after.
    pub controllers: bool,
    /// Requests are written down.
    pub audit: bool,
    /// Admission plugins that are off.
    pub without: &'static [&'static str],
}

impl Parts {
    /// All that a measurement needs.
    pub const ALL: Self = Self {
        controllers: true,
        audit: true,
        without: &[],
    };
}

/// The control plane.
pub struct ControlPlane {
    dir: TempDir,
    port: u16,
    processes: Vec<Process>,
}

impl ControlPlane {
    /// Starts it from the programs in `tools`, and waits until it answers.
    ///
    /// # Errors
    /// When a program is missing or does not come up.
    pub async fn start(tools: &Path, parts: Parts) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("imagefactory-plane-")
            .tempdir()
            .trying("could not make a temporary directory")?;
        let mut plane = Self {
            dir,
            port: free_port()?,
            processes: Vec::new(),
        };
        let etcd_port = free_port()?;
        plane.prepare()?;
        plane.start_etcd(tools, etcd_port)?;
        plane.start_api_server(tools, etcd_port, parts)?;
        plane.await_answer().await?;
        if parts.controllers {
            plane.start_controllers(tools)?;
        }
        Ok(plane)
    }

    /// Where its files lie.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What the API server wrote down of requests.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.dir().join("audit.log")
    }

    /// The kubeconfig of one of [`USERS`].
    #[must_use]
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.dir().join(format!("{user}.kubeconfig"))
    }

    /// The port that the API server listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A kubeconfig of one of [`USERS`] who finds the API server at another port of this machine.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn kubeconfig_by(&self, port: u16, user: &str) -> Result<PathBuf> {
        let file = format!("{user}-by-{port}.kubeconfig");
        self.write(&file, &kubeconfig(port, user))?;
        Ok(self.dir().join(file))
    }

    /// A client of one of [`USERS`].
    ///
    /// # Errors
    /// When it can't be made.
    pub async fn client(&self, user: &str) -> Result<Client> {
        client_of(&self.kubeconfig(user)).await
    }

    /// Fails if a part of it has ended.
    ///
    /// # Errors
    /// When a part of it has ended.
    pub fn lives(&mut self) -> Result<()> {
        self.processes.iter_mut().try_for_each(Process::lives)
    }

    fn prepare(&self) -> Result<()> {
        let mut tokens = String::new();
        for user in USERS {
            let _ = writeln!(tokens, "token-{user},{user},{user},system:masters");
            self.write(&format!("{user}.kubeconfig"), &kubeconfig(self.port, user))?;
        }
        self.write("tokens.csv", &tokens)?;
        self.write("audit.yaml", AUDIT)?;
        let key = self.path("sa.key");
        let made = Command::new("openssl")
            .args(["genrsa", "-out", &key, "2048"])
            .output()
            .trying("could not run openssl")?;
        if made.status.success() {
            Ok(())
        } else {
            Err(BenchError::Wrong("openssl could not make a key".to_owned()))
        }
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        std::fs::write(self.dir().join(file), text).trying(format!("could not write {file}"))
    }

    fn path(&self, file: &str) -> String {
        self.dir().join(file).display().to_string()
    }

    fn run(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let process = Process::start(name, self.dir.path(), command)?;
        self.processes.push(process);
        Ok(())
    }

    fn start_etcd(&mut self, tools: &Path, port: u16) -> Result<()> {
        let (client, peer) = (
            format!("http://127.0.0.1:{port}"),
            format!("http://127.0.0.1:{}", free_port()?),
        );
        let mut command = Command::new(tools.join("etcd"));
        command
            .args([
                "--unsafe-no-fsync",
                "--log-level",
                "error",
                "--quota-backend-bytes",
                "4294967296",
            ])
            .args(["--data-dir", &self.path("etcd"), "--name", "bench"])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("bench={peer}")]);
        self.run("etcd", &mut command)
    }

    fn start_api_server(&mut self, tools: &Path, etcd: u16, parts: Parts) -> Result<()> {
        let mut command = Command::new(tools.join("kube-apiserver"));
        command
            .args(["--etcd-servers", &format!("http://127.0.0.1:{etcd}")])
            .args(["--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1"])
            .args([
                "--secure-port",
                &self.port.to_string(),
                "--cert-dir",
                &self.path("certificates"),
            ])
            .args([
                "--token-auth-file",
                &self.path("tokens.csv"),
                "--authorization-mode",
                "AlwaysAllow",
            ])
            .args(["--service-account-issuer", "https://kubernetes.default.svc"])
            .args(["--service-account-key-file", &self.path("sa.key")])
            .args(["--service-account-signing-key-file", &self.path("sa.key")])
            .args([
                "--service-cluster-ip-range",
                "10.97.0.0/16",
                "--endpoint-reconciler-type",
                "none",
            ])
            .args(["--profiling=false", "--allow-privileged"]);
        if parts.audit {
            let (policy, log) = (self.path("audit.yaml"), self.path("audit.log"));
            command
                .args(["--audit-policy-file", &policy, "--audit-log-path", &log])
                .args(["--audit-log-maxsize", "4000"]);
        }
        if !parts.without.is_empty() {
            command.args(["--disable-admission-plugins", &parts.without.join(",")]);
        }
        self.run("kube-apiserver", &mut command)
    }

    fn start_controllers(&mut self, tools: &Path) -> Result<()> {
        let mut command = Command::new(tools.join("kube-controller-manager"));
        command
            .args(["--kubeconfig", &self.path("controllers.kubeconfig")])
            .args(["--service-account-private-key-file", &self.path("sa.key")])
            .args([
                "--bind-address",
                "127.0.0.1",
                "--secure-port",
                &free_port()?.to_string(),
            ])
            .args([
                "--cert-dir",
                &self.path("controllers"),
                "--leader-elect=false",
                "--profiling=false",
            ])
            .args(["--controllers", CONTROLLERS, "--concurrent-job-syncs", "32"])
            .args(["--kube-api-qps", "2000", "--kube-api-burst", "4000"]);
        self.run("kube-controller-manager", &mut command)
    }

    async fn await_answer(&mut self) -> Result<()> {
        let client = self.client("load").await?;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            self.lives()?;
            let request = http::Request::get("/readyz").body(Vec::new());
            let request = request.map_err(|error| BenchError::Wrong(error.to_string()))?;
            if client.request_text(request).await.is_ok() {
                return Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
        Err(BenchError::TooLong {
            what: "the API server".to_owned(),
            seconds: PATIENCE.as_secs(),
        })
    }
}

fn kubeconfig(port: u16, user: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {
            "server": format!("https://127.0.0.1:{port}"), "insecure-skip-tls-verify": true,
        }}],
        "users": [{"name": user, "user": {"token": format!("token-{user}")}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": user}}],
    })
    .to_string()
}

/// A client by a kubeconfig.
///
/// # Errors
/// When the file can't be read or the client can't be made.
pub async fn client_of(kubeconfig: &Path) -> Result<Client> {
    let read = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
    Client::try_from(config).trying("could not make a client")
}

/// A port that nobody listens on now.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).trying("no port is free")?;
    Ok(listener.local_addr().trying("no port is free")?.port())
}
