//! On real files and in memory; against a real MinIO, `tests/archive_s3.rs`.

use std::sync::atomic::{AtomicU32, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use imagefactory_core::build::logs::{EndedContainer, Origin};
use jiff::SignedDuration;
use object_store::ObjectStoreExt;
use tempfile::TempDir;

use super::*;
use crate::testing;

struct Text {
    text: Vec<u8>,
    breaks_after: Option<usize>,
    opened: AtomicU32,
}

impl Text {
    fn of(text: impl Into<Vec<u8>>) -> Self {
        Self {
            text: text.into(),
            breaks_after: None,
            opened: AtomicU32::new(0),
        }
    }
}

impl LogSource for Text {
    fn open(&self) -> BoxFuture<'_, Result<Reader, kube::Error>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let broken = std::io::Error::other("the connection broke");
        let pieces: Vec<std::io::Result<Vec<u8>>> = match self.breaks_after {
            Some(length) => vec![Ok(self.text[..length].to_vec()), Err(broken)],
            None => self.text.chunks(1000).map(|piece| Ok(piece.to_vec())).collect(),
        };
        let reader = futures::stream::iter(pieces);
        let reader: Reader = Box::pin(futures::TryStreamExt::into_async_read(reader));
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

fn on_disk(max_bytes: u64) -> (TempDir, Archive) {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = testing::settings();
    settings.object_store.url = format!("file://{}/store/", directory.path().display());
    settings.logs.max_bytes = max_bytes;
    let archive = Archive::open_with(&settings, &[]).unwrap();
    (directory, archive)
}

async fn printed(archive: &Archive) -> String {
    let mut text = Vec::new();
    for log in archive.logs("acme/web/uid").await.unwrap() {
        archive.print(&log, &mut text).await.unwrap();
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_log_is_kept_as_it_was_written_and_keeping_it_again_changes_nothing() {
    let (directory, archive) = on_disk(1 << 20);
    let text = Text::of("one\ntwo\n");
    for _ in 0..2 {
        let kept = archive.keep(&container("build"), &text).await.unwrap();
        assert_eq!((kept.bytes, kept.cut), (8, false));
    }
    let path = directory.path().join("store/logs/acme/web/uid/1/build-build.log");
    assert_eq!(std::fs::read_to_string(path).unwrap(), "one\ntwo\n");
    assert_eq!(archive.logs("acme/web/uid").await.unwrap()[0].name, "1/build-build.log");
    assert_eq!(
        archive.logs("acme/web/ui").await.unwrap(),
        [],
        "a directory is no prefix of a name"
    );
    assert!(archive.location("acme/web/uid").ends_with("/store/logs/acme/web/uid"));
}

#[tokio::test]
async fn a_log_that_was_kept_is_found_again_as_it_was_told_and_only_by_the_container_that_wrote_it() {
    let (_directory, archive) = on_disk(400);
    let ended = |name: &str, hours: i64| EndedContainer {
        finished: Some(jiff::Timestamp::now() + SignedDuration::from_hours(hours)),
        ..container(name)
    };
    for (name, length) in [("push", 7), ("build", 1000)] {
        let text = Text::of("x".repeat(length));
        let kept = archive.keep(&ended(name, -1), &text).await.unwrap();
        assert_eq!(archive.kept(&ended(name, -1)).await.unwrap(), Some(kept), "{name}");
        let later = ended(name, 1);
        assert_eq!(
            archive.kept(&later).await.unwrap(),
            None,
            "another pod's, which ended after that"
        );
        assert_eq!(
            archive.kept(&container(name)).await.unwrap(),
            None,
            "nobody knows when it ended"
        );
    }
    assert_eq!(archive.kept(&ended("prepare", -1)).await.unwrap(), None);
}

#[tokio::test]
async fn an_empty_log_is_kept_too() {
    let (_directory, archive) = on_disk(1 << 20);
    let kept = archive.keep(&container("push"), &Text::of("")).await.unwrap();
    assert_eq!((kept.bytes, archive.logs("acme/web/uid").await.unwrap().len()), (0, 1));
}

#[tokio::test]
async fn of_a_log_that_is_too_long_the_beginning_and_the_end_are_kept_and_the_gap_is_marked() {
    let (_directory, archive) = on_disk(400);
    let text: String = (0..1000).map(|line| format!("{line:04}\n")).collect();
    let kept = archive
        .keep(&container("build"), &Text::of(text.clone()))
        .await
        .unwrap();
    let found = printed(&archive).await;
    let (head, tail) = found
        .split_once("\n[image-factory: 4600 bytes of this log are left out here]\n")
        .unwrap();
    assert_eq!(head.as_bytes(), &text.as_bytes()[..100]);
    assert_eq!(tail.as_bytes(), &text.as_bytes()[text.len() - 300..]);
    assert_eq!((kept.bytes, kept.cut), (found.len() as i64, true));
}

#[tokio::test]
async fn a_log_of_just_the_limit_is_whole() {
    let (_directory, archive) = on_disk(400);
    let text = Text::of("x".repeat(400));
    let kept = archive.keep(&container("build"), &text).await.unwrap();
    assert_eq!(
        (kept.bytes, kept.cut, text.opened.load(Ordering::Relaxed)),
        (400, false, 1)
    );
}

#[tokio::test]
async fn a_log_of_many_parts_arrives_whole() {
    let (directory, archive) = on_disk(64 << 20);
    let text: Vec<u8> = (0..12_000_000_u32).map(|byte| b'a' + (byte % 23) as u8).collect();
    archive
        .keep(&container("build"), &Text::of(text.clone()))
        .await
        .unwrap();
    let path = directory.path().join("store/logs/acme/web/uid/1/build-build.log");
    assert!(std::fs::read(path).unwrap() == text);
}

#[tokio::test]
async fn a_log_that_breaks_off_is_not_kept_and_leaves_nothing_behind() {
    for length in [10, 11_000_000] {
        let (directory, archive) = on_disk(64 << 20);
        let text = Text {
            breaks_after: Some(length),
            ..Text::of("x".repeat(12_000_000))
        };
        let error = archive.keep(&container("build"), &text).await.unwrap_err();
        assert!(matches!(error, CopyError::Read(_)), "{error}");
        let left = std::fs::read_dir(directory.path().join("store/logs/acme/web/uid/1"));
        assert_eq!(left.map_or(0, Iterator::count), 0, "after {length} bytes");
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_written_is_told_from_a_log_that_cannot_be_read() {
    let (directory, archive) = on_disk(1 << 20);
    std::fs::write(
        directory.path().join("store/logs"),
        "a file where a directory should be",
    )
    .unwrap();
    let error = archive.keep(&container("build"), &Text::of("text")).await.unwrap_err();
    assert!(matches!(error, CopyError::Store(_)), "{error}");
}

#[tokio::test]
async fn old_logs_are_removed_and_young_ones_stay() {
    let archive = Archive::in_memory(1 << 20);
    archive.keep(&container("build"), &Text::of("text")).await.unwrap();
    archive.put("expire/2026/one.json", b"{}".to_vec()).await.unwrap();
    let month = SignedDuration::from_hours(30 * 24);
    let now = jiff::Timestamp::now();
    assert_eq!(archive.remove_old_logs(now, month).await.unwrap(), 0);
    assert_eq!(archive.remove_old_logs(now + month, month).await.unwrap(), 1);
    assert_eq!(archive.logs("acme/web/uid").await.unwrap(), []);
    assert!(
        archive.store.head(&archive.path("expire/2026/one.json")).await.is_ok(),
        "only logs are removed"
    );
}

#[test]
fn names_in_a_path_cannot_lead_upwards() {
    let archive = Archive::in_memory(1);
    assert_eq!(archive.path("logs/../../etc").to_string(), "logs/%2E%2E/%2E%2E/etc");
}

#[test]
fn a_url_that_names_no_store_and_an_option_that_no_store_has_are_refused() {
    let mut settings = testing::settings();
    for url in [
        "",
        "logs",
        "ftp://host/x",
        "s3://",
        "file://relative",
        "https://bucket.example.com",
        "s3://user@bucket",
    ] {
        settings.object_store.url = url.to_owned();
        let opened = Archive::open_with(&settings, &[]);
        assert!(matches!(opened, Err(ArchiveError::Url { .. })), "{url:?}: {opened:?}");
    }
    settings.object_store.url = "s3://bucket/prefix".to_owned();
    settings.object_store.options = [("enpoint".to_owned(), "https://minio:9000".to_owned())].into();
    assert!(matches!(Archive::open_with(&settings, &[]), Err(ArchiveError::Option { key }) if key == "enpoint"));
}

#[test]
fn each_cloud_takes_its_own_variables_and_leaves_others_alone() {
    // As the program does first of all.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut settings = testing::settings();
    let environment = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    let key = "c2VjcmV0";
    let cases: [(&str, &[(&str, &str)]); 3] = [
        (
            "s3://bucket/a/b",
            &[
                ("AWS_ACCESS_KEY_ID", "me"),
                ("AWS_SECRET_ACCESS_KEY", key),
                ("AWS_PAGER", "less"),
            ],
        ),
        (
            "az://bucket",
            &[("AZURE_STORAGE_ACCOUNT_NAME", "me"), ("AZURE_STORAGE_ACCOUNT_KEY", key)],
        ),
        ("gs://bucket", &[("GOOGLE_SKIP_SIGNATURE", "true"), ("PATH", "/bin")]),
    ];
    for (url, variables) in cases {
        settings.object_store.url = url.to_owned();
        let archive = Archive::open_with(&settings, &environment(variables)).unwrap();
        assert!(
            archive.location("acme").starts_with(&format!("{url}/logs/acme")),
            "{url}"
        );
        assert!(!format!("{archive:?}").contains("c2VjcmV0"), "a secret shows in {url}");
    }
}
