//! The webhook's program in a mount namespace of its own, where the spool is a small file system that a test can fill; an API
//! server in memory that it reads its caches from, and an intake that is there or not.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use imagefactory_crds::audit::Batch;
use imagefactory_webhook::certs::{Pair, make};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::client::NAME;

/// Size of the file system.
const SIZE: &str = "256k";
/// Longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Events by their users, with how often each came.
#[derive(Clone, Default)]
pub struct Intake(pub Arc<Mutex<BTreeMap<String, u32>>>);

impl Intake {
    /// Answers from now on.
    pub async fn answer(&self, port: u16) {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let app = Router::new()
            .route("/intake/v1/events", post(take))
            .route("/intake/v1/known", post(async || said(&json!({"known": []}))))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
    }

    pub fn got(&self) -> BTreeMap<String, u32> {
        self.0.lock().unwrap().clone()
    }
}

async fn take(State(intake): State<Intake>, body: Bytes) -> Response {
    let batch: Batch = serde_json::from_slice(&body).unwrap();
    let mut got = intake.0.lock().unwrap();
    for event in batch.events {
        *got.entry(event.actor.user).or_default() += u32::try_from(event.count).unwrap();
    }
    said(&json!({"stored": 1, "known": 0}))
}

fn said(answer: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
}

/// A tenant that may not build, in lists; watches that bring nothing.
async fn api(RawQuery(query): RawQuery, request: Request) -> Response {
    if query.unwrap_or_default().contains("watch=true") {
        return Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>()).into_response();
    }
    let ours = |kind: &str, metadata: Value, spec: Value| json!({"apiVersion": "imagefactory.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec});
    let resource = request.uri().path().rsplit('/').next().unwrap_or_default();
    let items = match resource {
        "tenants" => vec![ours(
            "Tenant",
            json!({"name": "acme"}),
            json!({"owners": [{"kind": "Group", "name": "acme-team"}]}),
        )],
        "projects" => vec![ours(
            "Project",
            json!({"name": "web", "namespace": "tenant-acme"}),
            json!({}),
        )],
        "namespaces" => {
            vec![json!({"metadata": {"name": "tenant-acme", "labels": {"imagefactory.dev/tenant": "acme"}}})]
        }
        _ => Vec::new(),
    };
    said(&json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items}))
}

/// A webhook that runs.
pub struct Hook {
    folder: tempfile::TempDir,
    child: Child,
    /// Port of reviews.
    pub port: u16,
    health: u16,
    /// Port where it looks for the intake.
    pub intake: u16,
    /// Who signed its certificate.
    pub authority: Pair,
}

impl Hook {
    /// Starts it; none where this machine allows no mount namespaces.
    pub async fn begin() -> Option<Self> {
        let apart = apart()?;
        let folder = tempfile::tempdir().unwrap();
        let [port, health, intake, server] = [free_port(), free_port(), free_port(), free_port()];
        let listener = TcpListener::bind(("127.0.0.1", server)).await.unwrap();
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(api)).await });
        let authority = files(folder.path(), server);
        let path = |name: &str| folder.path().join(name).display().to_string();
        let log = File::create(path("log")).unwrap();
        let child = Command::new(apart[0])
            .args(&apart[1..])
            .args([
                "sh",
                "-c",
                r#"mount -t tmpfs -o size="$0" spool "$1" && shift && exec "$@""#,
                SIZE,
            ])
            .args([&path("spool"), env!("CARGO_BIN_EXE_webhook")])
            .args([
                format!("--listen=127.0.0.1:{port}"),
                format!("--health-listen=127.0.0.1:{health}"),
            ])
            .args([
                format!("--audit-url=http://127.0.0.1:{intake}"),
                format!("--spool={}", path("spool")),
            ])
            .args([
                format!("--audit-token={}", path("token")),
                format!("--audit-ca={}", path("ca.crt")),
            ])
            .args([
                format!("--settings={}", path("settings.json")),
                format!("--certificates-folder={}", path(".")),
            ])
            .args([
                "--namespace=factory",
                "--prefix=factory",
                "--certificates=files",
                "--linger-seconds=0",
            ])
            .env("KUBECONFIG", path("kubeconfig"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let hook = Self {
            folder,
            child,
            port,
            health,
            intake,
            authority,
        };
        hook.is_ready(true).await;
        Some(hook)
    }

    /// Waits until it is ready, or is not.
    pub async fn is_ready(&self, ready: bool) {
        let until = Instant::now() + PATIENCE;
        loop {
            let said = self.says("/readyz").await;
            if said
                .as_ref()
                .is_some_and(|said| said.starts_with("HTTP/1.1 200") == ready)
            {
                return;
            }
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < until, "ready: {ready}? {said:?} {log}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// What the plain port answers, with its head.
    pub async fn says(&self, path: &str) -> Option<String> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.health)).await.ok()?;
        let asked = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(asked.as_bytes()).await.ok()?;
        let mut said = String::new();
        stream.read_to_string(&mut said).await.ok()?;
        Some(said)
    }

    /// Writes until the file system of the spool takes no byte more.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        while file.write_all(&[0; 512]).is_ok() {}
        assert_eq!(file.write(&[0]).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    }

    /// Gives back what [`Hook::fill`] took.
    pub fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    /// In the file system that only the webhook's process has.
    fn filler(&self) -> PathBuf {
        let spool = self.folder.path().join("spool");
        let root = PathBuf::from(format!("/proc/{}/root", self.child.id()));
        root.join(spool.strip_prefix("/").unwrap()).join("filler")
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What runs a program where it may mount: in a user namespace, or as who may anyway.
fn apart() -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [
        &["unshare", "--user", "--map-root-user", "--mount"],
        &["unshare", "--mount"],
    ];
    ways.into_iter().find(|way| {
        let mounts = "mount -t tmpfs -o size=4k none /tmp";
        let tried = Command::new(way[0]).args(&way[1..]).args(["sh", "-c", mounts]).output();
        tried.is_ok_and(|tried| tried.status.success())
    })
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// All that the program reads; gives the authority of its certificate.
fn files(folder: &Path, server: u16) -> Pair {
    let (now, life) = (Timestamp::now(), SignedDuration::from_hours(1));
    let authority = make::authority(now, life).unwrap();
    let leaf = make::leaf(&authority, &[NAME.to_owned()], now, life).unwrap();
    let settings = json!({
        "onboarding": {"build": false},
        "persons": {"platformGroups": [], "securityGroups": [], "gitopsAccounts": [], "ownAccounts": []},
    });
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": "a", "cluster": {"server": format!("http://127.0.0.1:{server}")}}],
        "users": [{"name": "a", "user": {}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
    });
    fs::create_dir(folder.join("spool")).unwrap();
    for (name, text) in [
        ("ca.crt", authority.certificate.clone()),
        ("tls.crt", leaf.certificate),
        ("tls.key", leaf.key),
        ("token", "secret".to_owned()),
        ("settings.json", settings.to_string()),
        ("kubeconfig", kubeconfig.to_string()),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    authority
}
