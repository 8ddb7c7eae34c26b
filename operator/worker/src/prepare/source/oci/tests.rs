//! Tests of OCI sources: what registries serve and hostile code may write.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use imagefactory_crds::build::FailureClass;
use serde_json::{Value, json};

use super::*;
use crate::ca::Roots;
use crate::places::Places;
use crate::prepare::test_server::{Answer, Server, Tls};
use crate::registry::Credentials;

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// One entry of a tar file, as the format has it.
fn entry(kind: u8, path: &str, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, path.as_bytes());
    put(100, b"0004755\0");
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(148, b"        ");
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut bytes = header.to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(path: &str, content: &str) -> Vec<u8> {
    entry(b'0', path, "", content.as_bytes())
}

fn link(path: &str, target: &str) -> Vec<u8> {
    entry(b'2', path, target, b"")
}

fn tar(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.extend([0; 1024]);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

struct Workspace(tempfile::TempDir);

impl Workspace {
    fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        fs::create_dir(parent.path().join("w")).unwrap();
        Self(parent)
    }

    fn root(&self) -> std::path::PathBuf {
        self.0.path().join("w")
    }

    fn laid(&self, layers: &[Vec<u8>], limits: Limits) -> Result<(), LayOutError> {
        let mut tree = Tree::new(&self.root(), limits);
        for layer in layers {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(layer).unwrap();
            tree.add(&manifest::Content::Tar(crate::layout::packing::Packing::None), file)?;
        }
        tree.check_links()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap()
    }

    fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.root().join(path)).is_ok()
    }
}

#[test]
fn layers_lie_over_each_other_and_whiteouts_take_away() {
    let workspace = Workspace::new();
    let lower = tar(&[
        entry(b'5', "./", "", b""),
        file("./app/old", "old"),
        file("app/kept", "1"),
        file("gone/a", "a"),
        file("opaque/lower", "x"),
        file("opaque/deep/lower", "x"),
        link("app/link", "../opaque"),
        entry(b'1', "app/hard", "app/old", b""),
        file("folder", "a file"),
    ]);
    let upper = tar(&[
        file("app/.wh.old", ""),
        file(".wh.gone", ""),
        file("opaque/deep/upper", "y"),
        file("opaque/.wh..wh..opq", ""),
        file("app/kept", "2"),
        file("folder/inner", "a directory"),
        file("app/.wh.never", ""),
    ]);
    // A file gives way to a directory only where the layer says that it is one.
    assert!(matches!(
        workspace.laid(&[lower.clone(), upper.clone()], LIMITS),
        Err(LayOutError::Entry { .. })
    ));
    let workspace = Workspace::new();
    let upper = [entry(b'5', "folder/", "", b""), upper].concat();
    workspace.laid(&[lower, upper], LIMITS).unwrap();
    assert!(!workspace.has("app/old") && !workspace.has("gone") && !workspace.has("opaque/lower"));
    assert!(!workspace.has("opaque/deep/lower"));
    assert_eq!(workspace.read("opaque/deep/upper"), "y");
    assert_eq!(
        (workspace.read("app/kept"), workspace.read("app/hard")),
        ("2".into(), "old".into())
    );
    assert_eq!(workspace.read("folder/inner"), "a directory");
    let mode = fs::metadata(workspace.root().join("app/kept"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o755, "no set-uid bit");
}

#[test]
fn nothing_leads_out_of_the_workspace() {
    for (why, entries) in [
        ("up", vec![file("../x", "")]),
        ("up inside", vec![file("a/../../x", "")]),
        ("absolute", vec![file("/tmp/x", "")]),
        ("link up", vec![link("a", "../outside")]),
        ("link absolute", vec![link("a", "/etc/passwd")]),
        ("link up from below", vec![link("a/b", "../../outside")]),
        ("through a link", vec![link("a", "."), file("a/x", "")]),
        (
            "whiteout through a link",
            vec![link("a", "b"), file("b/x", ""), file("a/.wh.x", "")],
        ),
        ("hard link out", vec![entry(b'1', "a", "../outside/secret", b"")]),
        (
            "hard link to a link",
            vec![link("l", "f"), file("f", ""), entry(b'1', "a", "l", b"")],
        ),
        ("device", vec![entry(b'3', "a", "", b"")]),
        ("pipe", vec![entry(b'6', "a", "", b"")]),
        ("unknown kind", vec![entry(b'Z', "a", "", b"")]),
        ("whiteout of what is above", vec![file("a/.wh...", "")]),
        (
            "link by way of another",
            vec![file("d/e/f", ""), link("d/up", ".."), link("out", "d/up/../outside")],
        ),
    ] {
        let workspace = Workspace::new();
        fs::create_dir(workspace.0.path().join("outside")).unwrap();
        fs::write(workspace.0.path().join("outside/secret"), "s").unwrap();
        let laid = workspace.laid(&[tar(&entries)], LIMITS);
        assert!(laid.is_err(), "{why}");
        let around: Vec<_> = fs::read_dir(workspace.0.path()).unwrap().collect();
        assert_eq!(around.len(), 2, "{why}");
        assert_eq!(
            fs::read_to_string(workspace.0.path().join("outside/secret")).unwrap(),
            "s"
        );
    }
}

#[test]
fn long_names_of_both_kinds_are_read() {
    let long = format!("{}/{}", "a".repeat(120), "b".repeat(120));
    let record = |key: &str, value: &str| {
        let rest = format!(" {key}={value}\n");
        let length = (1..)
            .find(|digits| (rest.len() + digits).to_string().len() == *digits)
            .unwrap();
        format!("{}{rest}", rest.len() + length)
    };
    let pax = [
        entry(b'g', "global", "", record("comment", "x").as_bytes()),
        entry(b'x', "header", "", record("path", &long).as_bytes()),
        file("short", "pax"),
    ];
    let gnu = [entry(b'L', "././@LongLink", "", long.as_bytes()), file("short", "gnu")];
    for (entries, content) in [(pax.to_vec(), "pax"), (gnu.to_vec(), "gnu")] {
        let workspace = Workspace::new();
        workspace.laid(&[tar(&entries)], LIMITS).unwrap();
        assert_eq!(workspace.read(&long), content);
        assert!(!workspace.has("short"));
    }
}

#[test]
fn what_is_cut_or_too_large_is_refused() {
    let whole = tar(&[file("a", &"x".repeat(2000)), file("b", "y")]);
    for length in [100, 512, 600, 2000, 2600] {
        let laid = Workspace::new().laid(&[whole[..length].to_vec()], LIMITS);
        assert!(matches!(laid, Err(LayOutError::Tar(_))), "{length}: {laid:?}");
    }
    let mut spoilt = whole.clone();
    spoilt[0] = b'z';
    assert!(matches!(
        Workspace::new().laid(&[spoilt], LIMITS),
        Err(LayOutError::Tar(_))
    ));
    let small = |files, entries| Limits {
        packed: 1,
        files,
        entries,
    };
    for limits in [small(2000, 10), small(4000, 1)] {
        let laid = Workspace::new().laid(std::slice::from_ref(&whole), limits);
        assert!(matches!(laid, Err(LayOutError::TooLarge { .. })), "{laid:?}");
    }
    assert!(Workspace::new().laid(&[whole], small(2001, 2)).is_ok());
}

/// A step that may pull what lies under the prefix.
fn under(prefix: &str) -> PrepareStep {
    serde_json::from_value(json!({
        "requireUserNamespace": true, "builder": "kaniko", "pullPrefixes": [prefix], "source": "configMap",
        "contextDir": "", "dockerfile": "Dockerfile", "buildArgs": [], "mirrors": [], "pullSecrets": [],
    }))
    .unwrap()
}

/// A registry that serves these manifests and blobs.
struct Registered {
    server: Server,
    root: tempfile::TempDir,
}

impl Registered {
    fn new(top: &Value, media_type: &str, others: &[(&Value, &str)], blobs: &[&[u8]]) -> Self {
        let tls = Tls::new();
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("ca/build")).unwrap();
        fs::write(root.path().join("ca/build/ca.crt"), &tls.authority).unwrap();
        fs::create_dir(root.path().join("w")).unwrap();
        let mut served: BTreeMap<String, (String, Vec<u8>)> = BTreeMap::new();
        for (manifest, media_type) in others.iter().copied().chain([(top, media_type)]) {
            let bytes = manifest.to_string().into_bytes();
            let path = format!("/v2/team/source/manifests/{}", Digest::of(&bytes));
            served.insert(path, (media_type.to_owned(), bytes));
        }
        let bytes = top.to_string().into_bytes();
        served.insert("/v2/team/source/manifests/1".to_owned(), (media_type.to_owned(), bytes));
        for blob in blobs {
            let path = format!("/v2/team/source/blobs/{}", Digest::of(blob));
            served.insert(path, ("application/octet-stream".to_owned(), blob.to_vec()));
        }
        let server = Server::start(Some(&tls), move |asked| match served.get(&asked.path) {
            Some((media_type, bytes)) => Answer::status(200)
                .header("Content-Type", media_type)
                .body(bytes.clone()),
            None => Answer::status(404),
        });
        Self { server, root }
    }

    fn registry(&self) -> Registry {
        let roots = Roots::collect(&Places::below(self.root.path()), true).unwrap();
        Registry::new(Credentials::none(), &roots).unwrap()
    }

    async fn fetch(&self) -> Result<Pinned, PrepareError> {
        self.fetch_named("source:1").await
    }

    async fn fetch_named(&self, name: &str) -> Result<Pinned, PrepareError> {
        let host = format!("localhost:{}", self.server.port);
        let image = format!("{host}/team/{name}");
        fetch(&image, &under(&host), &self.registry(), &self.root.path().join("w")).await
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.path().join("w").join(path)).unwrap()
    }
}

fn layer(bytes: &[u8], media_type: &str, annotations: &Value) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(bytes).as_str(), "size": bytes.len(), "annotations": annotations })
}

fn manifest_of(layers: &[Value]) -> Value {
    json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(b"{}").as_str(), "size": 2 }, "layers": layers })
}

#[tokio::test]
async fn images_and_artifacts_with_titled_files_are_sources() {
    let packed = gzip(&tar(&[file("Dockerfile", "FROM a"), file("src/main.c", "x")]));
    let titled = layer(
        b"notes",
        TAR,
        &json!({ "org.opencontainers.image.title": "docs/notes.txt" }),
    );
    let manifest = manifest_of(&[layer(&packed, TAR_GZIP, &json!({})), titled]);
    let child = manifest.to_string().into_bytes();
    let platform = |architecture: &str| json!({ "mediaType": MANIFEST, "digest": Digest::of(&child).as_str(), "size": child.len(), "platform": { "os": "linux", "architecture": architecture } });
    let attestation = json!({ "mediaType": MANIFEST, "digest": Digest::of(b"none").as_str(), "size": 4, "platform": { "os": "unknown", "architecture": "unknown" } });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [attestation, platform("s390x")] });
    let blobs: [&[u8]; 2] = [&packed, b"notes"];
    for registered in [
        Registered::new(&manifest, MANIFEST, &[], &blobs),
        Registered::new(&index, INDEX, &[(&manifest, MANIFEST)], &blobs),
    ] {
        let pinned = registered.fetch().await.unwrap();
        assert!(pinned.digest().is_some());
        assert_eq!(registered.read("Dockerfile"), "FROM a");
        assert_eq!(registered.read("src/main.c"), "x");
        assert_eq!(registered.read("docs/notes.txt"), "notes");
        assert_eq!(
            fs::read_dir(registered.root.path().join("w")).unwrap().count(),
            3,
            "nothing else"
        );
    }
}

#[tokio::test]
async fn a_source_that_is_not_what_it_says_is_refused() {
    let packed = gzip(&tar(&[file("a", "x")]));
    let other = layer(b"other", TAR_GZIP, &json!({}));
    let mut short = layer(&packed, TAR_GZIP, &json!({}));
    short["size"] = json!(packed.len() - 1);
    for (why, layers, reason) in [
        (
            "plain bytes as gzip",
            vec![layer(b"other", TAR_GZIP, &json!({}))],
            "InvalidSourceImage",
        ),
        (
            "gzip as plain bytes",
            vec![layer(&packed, TAR, &json!({}))],
            "InvalidSourceImage",
        ),
        (
            "no tar and no title",
            vec![layer(&packed, "text/plain", &json!({}))],
            "InvalidSourceImage",
        ),
        (
            "a title that leads out",
            vec![layer(
                b"other",
                TAR,
                &json!({ "org.opencontainers.image.title": "../x" }),
            )],
            "InvalidSourceImage",
        ),
        ("more bytes than it says", vec![short], "RegistryProtocol"),
        (
            "many bytes",
            vec![json!({ "mediaType": TAR, "digest": other["digest"], "size": 5_u64 << 30 })],
            "SourceTooLarge",
        ),
    ] {
        let registered = Registered::new(&manifest_of(&layers), MANIFEST, &[], &[&packed, b"other"]);
        let failure = imagefactory_core::step::StepFailure::from(registered.fetch().await.unwrap_err());
        assert_eq!(failure.reason, reason, "{why}: {}", failure.message);
    }
}

#[tokio::test]
async fn a_source_that_is_not_there_is_not_told_as_a_base_image() {
    let registered = Registered::new(&manifest_of(&[]), MANIFEST, &[], &[]);
    let missing = registered.fetch_named("nowhere:1").await.unwrap_err();
    let failure = imagefactory_core::step::StepFailure::from(missing);
    assert_eq!(
        (failure.class, failure.reason.as_str()),
        (FailureClass::Pull, "SourceImageNotFound")
    );
    assert!(failure.message.contains("/team/nowhere:1"), "{}", failure.message);
    assert!(failure.next.starts_with("Check the image's name"), "{}", failure.next);
}

#[tokio::test]
async fn a_source_outside_what_may_be_pulled_gets_no_request() {
    let registered = Registered::new(&manifest_of(&[]), MANIFEST, &[], &[]);
    let image = format!("localhost:{}/team/source:1", registered.server.port);
    let step = under(&format!("localhost:{}/other", registered.server.port));
    let refused = fetch(&image, &step, &registered.registry(), &registered.root.path().join("w")).await;
    let failure = imagefactory_core::step::StepFailure::from(refused.unwrap_err());
    assert_eq!(failure.reason, "RegistryNotAllowed");
    assert!(failure.message.contains("/other"), "{}", failure.message);
    assert!(registered.server.asked().is_empty());
}
