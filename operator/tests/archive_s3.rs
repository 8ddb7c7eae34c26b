//! The archive against a real S3: MinIO, started by the test itself where it is built (`hack/tools/build.sh minio`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says why it ends"
)]

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use imagefactory_core::build::logs::{EndedContainer, Origin};
use imagefactory_core::settings::Settings;
use imagefactory_operator::archive::{Archive, CopyError, LogSource, Reader};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

const USER: &str = "archive";
const PASSWORD: &str = "archive-secret";

/// A MinIO of the test's own, with one bucket.
struct Minio {
    process: Child,
    data: TempDir,
    port: u16,
}

impl Minio {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        // A folder is a bucket.
        std::fs::create_dir_all(data.path().join("bucket")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut minio = Self {
            process: spawn(&data, port),
            data,
            port,
        };
        minio.until_ready().await;
        minio
    }

    /// As if the store went down.
    fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    async fn start_again(&mut self) {
        self.process = spawn(&self.data, self.port);
        self.until_ready().await;
    }

    async fn until_ready(&mut self) {
        for _ in 0..300 {
            assert!(self.process.try_wait().unwrap().is_none(), "MinIO ended");
            if self
                .archive(1 << 20, PASSWORD)
                .logs("nobody/nothing/none")
                .await
                .is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("MinIO does not answer");
    }

    fn archive(&self, max_bytes: u64, password: &str) -> Archive {
        let text = include_str!("../src/config/testdata/config.yaml");
        let mut settings: Settings = serde_yaml::from_str(text).unwrap();
        settings.logs.max_bytes = max_bytes;
        settings.object_store.url = "s3://bucket/factory".to_owned();
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        settings.object_store.options = [
            ("endpoint", endpoint.as_str()),
            ("region", "eu-1"),
            ("allow_http", "true"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let environment = [("AWS_ACCESS_KEY_ID", USER), ("AWS_SECRET_ACCESS_KEY", password)];
        let environment = environment.map(|(key, value)| (key.to_owned(), value.to_owned()));
        // As the program does first of all.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Archive::open_with(&settings, &environment).unwrap()
    }
}

impl Drop for Minio {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(data: &TempDir, port: u16) -> Child {
    let tools = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.cluster/bin/minio");
    let program = std::env::var_os("MINIO").map_or(tools, PathBuf::from);
    Command::new(&program)
        .args([
            "server",
            "--quiet",
            "--address",
            &format!("127.0.0.1:{port}"),
            "--console-address",
            "127.0.0.1:0",
        ])
        .arg(data.path())
        .env("MINIO_ROOT_USER", USER)
        .env("MINIO_ROOT_PASSWORD", PASSWORD)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "{}: {error}; build it with hack/tools/build.sh minio",
                program.display()
            )
        })
}

struct Text(Vec<u8>);

impl LogSource for Text {
    fn open(&self) -> BoxFuture<'_, Result<Reader, kube::Error>> {
        let reader: Reader = Box::pin(futures::io::Cursor::new(self.0.clone()));
        async { Ok(reader) }.boxed()
    }
}

fn container(name: &str) -> EndedContainer {
    EndedContainer {
        origin: Origin {
            tenant: "acme".to_owned(),
            project: "web".to_owned(),
            work: imagefactory_core::work::Work::Build,
            build: "hello".to_owned(),
            build_uid: "uid".to_owned(),
            attempt: 1,
            stage: "build".to_owned(),
        },
        container: name.to_owned(),
        namespace: "tenant-acme".to_owned(),
        pod: "hello-build-1".to_owned(),
        pod_uid: "pod".to_owned(),
        finished: None,
    }
}

async fn printed(archive: &Archive, name: &str) -> Vec<u8> {
    let mut text = Vec::new();
    let logs = archive.logs("acme/web/uid").await.unwrap();
    let log = logs.iter().find(|log| log.name == name).expect("the log is kept");
    archive.print(log, &mut text).await.unwrap();
    text
}

#[tokio::test]
#[ignore = "needs MinIO, which hack/tools/build.sh builds"]
async fn real_s3_keeps_short_logs_and_logs_of_many_parts_and_keeping_twice_is_keeping_once() {
    let minio = Minio::start().await;
    let archive = minio.archive(64 << 20, PASSWORD);
    let long: Vec<u8> = (0..12_000_000_u32).map(|byte| b'a' + (byte % 23) as u8).collect();
    for _ in 0..2 {
        archive
            .keep(&container("prepare"), &Text(b"one\ntwo\n".to_vec()))
            .await
            .unwrap();
        archive.keep(&container("build"), &Text(long.clone())).await.unwrap();
    }
    assert_eq!(printed(&archive, "1/build-prepare.log").await, b"one\ntwo\n");
    assert!(printed(&archive, "1/build-build.log").await == long);
    assert_eq!(archive.logs("acme/web/uid").await.unwrap().len(), 2);
    assert_eq!(
        archive.location("acme/web/uid"),
        "s3://bucket/factory/logs/acme/web/uid"
    );
}

#[tokio::test]
#[ignore = "needs MinIO, which hack/tools/build.sh builds"]
async fn real_s3_keeps_the_beginning_and_the_end_of_a_log_that_is_too_long() {
    let minio = Minio::start().await;
    let archive = minio.archive(8 << 20, PASSWORD);
    let long: Vec<u8> = (0..20_000_000_u32).map(|byte| b'a' + (byte % 23) as u8).collect();
    let kept = archive.keep(&container("build"), &Text(long.clone())).await.unwrap();
    assert!(kept.cut);
    let text = printed(&archive, "1/build-build.log").await;
    assert_eq!(text.len() as i64, kept.bytes);
    assert!(text.starts_with(&long[..2 << 20]), "a quarter from the beginning");
    assert!(text.ends_with(&long[long.len() - (6 << 20)..]), "the rest from the end");
}

#[tokio::test]
#[ignore = "needs MinIO, which hack/tools/build.sh builds"]
async fn real_s3_removes_old_logs() {
    let minio = Minio::start().await;
    let archive = minio.archive(1 << 20, PASSWORD);
    archive
        .keep(&container("prepare"), &Text(b"text".to_vec()))
        .await
        .unwrap();
    let day = SignedDuration::from_hours(24);
    assert_eq!(archive.remove_old_logs(Timestamp::now(), day).await.unwrap(), 0);
    assert_eq!(
        archive.remove_old_logs(Timestamp::now() + 2 * day, day).await.unwrap(),
        1
    );
    assert!(archive.logs("acme/web/uid").await.unwrap().is_empty());
}

#[tokio::test]
#[ignore = "needs MinIO, which hack/tools/build.sh builds"]
async fn real_s3_that_is_down_or_refuses_is_an_error_of_the_store_and_works_again_later() {
    let mut minio = Minio::start().await;
    let wrong = minio.archive(1 << 20, "another-secret");
    let refused = wrong
        .keep(&container("prepare"), &Text(b"text".to_vec()))
        .await
        .unwrap_err();
    assert!(matches!(refused, CopyError::Store(_)), "{refused}");
    let archive = minio.archive(1 << 20, PASSWORD);
    minio.stop();
    let down = archive
        .keep(&container("prepare"), &Text(b"text".to_vec()))
        .await
        .unwrap_err();
    assert!(matches!(down, CopyError::Store(_)), "{down}");
    minio.start_again().await;
    archive
        .keep(&container("prepare"), &Text(b"text".to_vec()))
        .await
        .unwrap();
    assert_eq!(printed(&archive, "1/build-prepare.log").await, b"text");
}
