//! Tests of layouts: what hostile code can write, and what becomes of it.

use std::fs::{self, File};
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use super::*;
use crate::beneath::OpenError;
use crate::manifest::{DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const LIMIT: u64 = 1 << 20;

struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    /// A layout without an index.
    fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("blobs/sha256")).unwrap();
        fs::write(folder.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { folder }
    }

    fn blob_path(&self, digest: &str) -> std::path::PathBuf {
        self.folder
            .path()
            .join("blobs/sha256")
            .join(digest.trim_start_matches("sha256:"))
    }

    fn blob(&self, bytes: &[u8], media_type: &str) -> Value {
        let digest = Digest::of(bytes);
        fs::write(self.blob_path(digest.as_str()), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest.as_str(), "size": bytes.len() })
    }

    fn config(&self, layers: usize) -> Value {
        let text = json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": vec![Digest::of(b"unpacked"); layers].iter().map(Digest::as_str).collect::<Vec<_>>() } });
        self.blob(text.to_string().as_bytes(), CONFIG_TYPE)
    }

    fn manifest(&self, config: &Value, layers: &[Value]) -> Value {
        let text = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers });
        self.blob(text.to_string().as_bytes(), OCI_MANIFEST)
    }

    fn index(&self, entries: &[Value]) {
        let text = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries });
        fs::write(self.folder.path().join("index.json"), text.to_string()).unwrap();
    }

    /// A good image with one layer; returns the layer's descriptor.
    fn image() -> (Self, Value) {
        let fixture = Self::empty();
        let layer = fixture.blob(b"layer", LAYER_TYPE);
        let manifest = fixture.manifest(&fixture.config(1), std::slice::from_ref(&layer));
        fixture.index(&[manifest]);
        (fixture, layer)
    }

    /// An image whose layer's descriptor is changed by `change`.
    fn with_layer(change: impl FnOnce(&mut Value)) -> Self {
        let (fixture, mut layer) = Self::image();
        change(&mut layer);
        fixture.index(&[fixture.manifest(&fixture.config(1), &[layer])]);
        fixture
    }

    fn read(&self) -> Result<Layout, LayoutError> {
        Layout::read(self.folder.path(), LIMIT)
    }

    fn refusal(&self) -> String {
        crate::registry::chain(&self.read().unwrap_err())
    }
}

fn digest_of(descriptor: &Value) -> &str {
    descriptor["digest"].as_str().unwrap()
}

#[test]
fn a_good_image_is_read() {
    let (fixture, layer) = Fixture::image();
    let layout = fixture.read().unwrap();
    assert_eq!(layout.images.len(), 1);
    assert_eq!(layout.images[0].platform.to_string(), "linux/amd64");
    assert_eq!(layout.blobs.len(), 2);
    assert!(layout.blobs.contains_key(&Digest::parse(digest_of(&layer)).unwrap()));
    assert_eq!(
        layout.size,
        layout.top.bytes.len() as u64 + layout.blobs.values().sum::<u64>()
    );
}

#[test]
fn an_index_of_images_is_read_one_level_deep() {
    let fixture = Fixture::empty();
    let (one, two) = (fixture.blob(b"one", LAYER_TYPE), fixture.blob(b"two", LAYER_TYPE));
    let children = [
        fixture.manifest(&fixture.config(1), &[one]),
        fixture.manifest(&fixture.config(1), &[two]),
    ];
    let index = json!({ "schemaVersion": 2, "manifests": children }).to_string();
    fixture.index(&[fixture.blob(index.as_bytes(), OCI_INDEX)]);
    let layout = fixture.read().unwrap();
    assert_eq!(
        (layout.children.len(), layout.blobs.len(), layout.images.len()),
        (2, 3, 2)
    );

    let inner = fixture.blob(index.as_bytes(), OCI_INDEX);
    let outer = json!({ "schemaVersion": 2, "manifests": [inner] }).to_string();
    fixture.index(&[fixture.blob(outer.as_bytes(), OCI_INDEX)]);
    assert!(
        fixture.refusal().contains("an index in an index"),
        "{}",
        fixture.refusal()
    );
}

#[test]
fn an_index_that_names_itself_ends() {
    let fixture = Fixture::empty();
    let digest = format!("sha256:{}", "a".repeat(64));
    let entry = json!({ "mediaType": OCI_MANIFEST, "digest": digest, "size": 200 });
    let text = format!(
        "{:<200}",
        json!({ "schemaVersion": 2, "manifests": [entry] }).to_string()
    );
    fs::write(fixture.blob_path(&digest), &text).unwrap();
    fixture.index(&[json!({ "mediaType": OCI_INDEX, "digest": digest, "size": text.len() })]);
    assert!(matches!(fixture.read(), Err(LayoutError::Digest { .. })));
}

#[test]
fn a_blob_that_is_a_link_is_refused() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), b"layer").unwrap();
    let (fixture, layer) = Fixture::image();
    let path = fixture.blob_path(digest_of(&layer));
    fs::remove_file(&path).unwrap();
    symlink(outside.path(), &path).unwrap();
    assert!(
        fixture.refusal().contains("can't be opened as a plain file"),
        "{}",
        fixture.refusal()
    );
    fs::remove_file(&path).unwrap();
    symlink("/proc/self/environ", &path).unwrap();
    assert!(fixture.read().is_err());
}

#[test]
fn a_directory_that_is_a_link_is_refused() {
    for name in ["blobs", "blobs/sha256"] {
        let (fixture, _) = Fixture::image();
        let moved = fixture.folder.path().join("moved");
        fs::rename(fixture.folder.path().join(name), &moved).unwrap();
        symlink(&moved, fixture.folder.path().join(name)).unwrap();
        assert!(
            matches!(fixture.read(), Err(LayoutError::Open(OpenError::Open { .. }))),
            "{name}"
        );
    }
    let (fixture, _) = Fixture::image();
    let link = fixture.folder.path().join("link");
    symlink(fixture.folder.path(), &link).unwrap();
    assert!(Layout::read(&link, LIMIT).is_err());
}

#[test]
fn index_and_marker_must_be_regular_files() {
    for name in ["index.json", "oci-layout"] {
        let (fixture, _) = Fixture::image();
        let path = fixture.folder.path().join(name);
        let moved = fixture.folder.path().join("moved");
        fs::rename(&path, &moved).unwrap();
        symlink(&moved, &path).unwrap();
        assert!(fixture.read().is_err(), "{name} as a link");
        fs::remove_file(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from(0o600)).unwrap();
        assert!(
            matches!(fixture.read(), Err(LayoutError::Open(OpenError::NotRegular { .. }))),
            "{name} as a pipe"
        );
    }
    let (fixture, _) = Fixture::image();
    fs::write(
        fixture.folder.path().join("oci-layout"),
        r#"{"imageLayoutVersion":"2.0.0"}"#,
    )
    .unwrap();
    assert!(matches!(fixture.read(), Err(LayoutError::Version)));
}

#[test]
fn a_pipe_as_a_blob_is_refused_at_once() {
    let (fixture, layer) = Fixture::image();
    let path = fixture.blob_path(digest_of(&layer));
    fs::remove_file(&path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from(0o600)).unwrap();
    assert!(matches!(
        fixture.read(),
        Err(LayoutError::Open(OpenError::NotRegular { .. }))
    ));
}

#[test]
fn a_digest_that_is_a_path_is_refused() {
    for digest in [
        "sha256:../../../etc/passwd",
        "../index.json",
        "sha256:",
        "sha512:aa",
        "sha256/aa",
    ] {
        let fixture = Fixture::with_layer(|layer| layer["digest"] = json!(digest));
        assert!(fixture.refusal().contains("is not supported"), "{}", fixture.refusal());
    }
}

#[test]
fn a_huge_sparse_blob_is_refused_before_it_is_read() {
    let (fixture, layer) = Fixture::image();
    let huge = 1_u64 << 40;
    File::options()
        .write(true)
        .open(fixture.blob_path(digest_of(&layer)))
        .unwrap()
        .set_len(huge)
        .unwrap();
    assert!(matches!(fixture.read(), Err(LayoutError::Size { actual, .. }) if actual == huge));
    let mut named = layer.clone();
    named["size"] = json!(huge);
    fixture.index(&[fixture.manifest(&fixture.config(1), &[named])]);
    assert!(matches!(fixture.read(), Err(LayoutError::TooLarge { limit: LIMIT })));
}

#[test]
fn sizes_that_overflow_are_refused() {
    let fixture = Fixture::empty();
    let layers: Vec<_> = (0..3)
        .map(|number| json!({ "mediaType": LAYER_TYPE, "digest": Digest::of(&[number]).as_str(), "size": u64::MAX }))
        .collect();
    fixture.index(&[fixture.manifest(&fixture.config(3), &layers)]);
    assert!(matches!(fixture.read(), Err(LayoutError::TooLarge { .. })));
}

#[test]
fn a_huge_document_is_refused_before_it_is_read() {
    for name in ["index.json", "oci-layout"] {
        let (fixture, _) = Fixture::image();
        File::options()
            .write(true)
            .open(fixture.folder.path().join(name))
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        assert!(
            matches!(fixture.read(), Err(LayoutError::Open(OpenError::TooLarge { .. }))),
            "{name}"
        );
    }
}

#[test]
fn false_sizes_and_digests_are_refused() {
    for size in [0, 4, 6] {
        let fixture = Fixture::with_layer(|layer| layer["size"] = json!(size));
        assert!(
            matches!(fixture.read(), Err(LayoutError::Size { actual: 5, .. })),
            "{size}"
        );
    }
    let fixture = Fixture::empty();
    let config = fixture.config(0);
    fs::write(
        fixture.blob_path(digest_of(&config)),
        vec![b' '; usize::try_from(config["size"].as_u64().unwrap()).unwrap()],
    )
    .unwrap();
    fixture.index(&[fixture.manifest(&config, &[])]);
    assert!(matches!(fixture.read(), Err(LayoutError::Digest { .. })));
}

#[tokio::test]
async fn a_layer_with_other_bytes_is_found_when_it_is_read() {
    let (fixture, layer) = Fixture::image();
    let digest = Digest::parse(digest_of(&layer)).unwrap();
    let layout = fixture.read().unwrap();
    crate::registry::check(&layout.open_blob(&digest, 5).unwrap(), &digest, 5)
        .await
        .unwrap();
    fs::write(fixture.blob_path(digest.as_str()), b"LAYER").unwrap();
    assert!(
        crate::registry::check(&layout.open_blob(&digest, 5).unwrap(), &digest, 5)
            .await
            .is_err()
    );
    fs::write(fixture.blob_path(digest.as_str()), b"longer than it was").unwrap();
    assert!(matches!(layout.open_blob(&digest, 5), Err(LayoutError::Size { .. })));
}

#[test]
fn one_blob_with_two_sizes_is_refused() {
    let (fixture, layer) = Fixture::image();
    let mut other = layer.clone();
    other["size"] = json!(6);
    fixture.index(&[fixture.manifest(&fixture.config(2), &[layer, other])]);
    assert!(matches!(fixture.read(), Err(LayoutError::Contradiction(_))));
}

#[test]
fn ten_thousand_manifests_are_refused() {
    let (fixture, _) = Fixture::image();
    let manifest = fixture.manifest(&fixture.config(0), &[]);
    fixture.index(&vec![manifest.clone(); 10_000]);
    assert!(
        fixture.refusal().contains("index.json: it names more than 64 entries"),
        "{}",
        fixture.refusal()
    );
    let index = json!({ "schemaVersion": 2, "manifests": vec![manifest; 10_000] }).to_string();
    fixture.index(&[fixture.blob(index.as_bytes(), OCI_INDEX)]);
    assert!(
        fixture.refusal().contains("more than 64 entries"),
        "{}",
        fixture.refusal()
    );
}

#[test]
fn unknown_media_types_and_urls_are_refused() {
    let fixture = Fixture::with_layer(|layer| layer["mediaType"] = json!("application/x-sharedlib"));
    assert!(
        fixture.refusal().contains("application/x-sharedlib"),
        "{}",
        fixture.refusal()
    );
    let fixture = Fixture::with_layer(|layer| layer["urls"] = json!(["https://evil.example.com/layer"]));
    assert!(fixture.refusal().contains("names URLs"), "{}", fixture.refusal());
    let (fixture, _) = Fixture::image();
    let mut manifest = fixture.manifest(&fixture.config(0), &[]);
    manifest["mediaType"] = json!(DOCKER_MANIFEST);
    fixture.index(&[manifest]);
    assert!(fixture.refusal().contains("is named as"), "{}", fixture.refusal());
}

#[test]
fn a_config_with_a_diff_id_too_many_or_too_few_is_refused() {
    for (diff_ids, layers) in [(1, 0), (0, 1), (1, 2), (3, 2)] {
        let fixture = Fixture::empty();
        let layers: Vec<_> = (0..layers).map(|number| fixture.blob(&[number], LAYER_TYPE)).collect();
        fixture.index(&[fixture.manifest(&fixture.config(diff_ids), &layers)]);
        let says = format!("speaks of {diff_ids} layers, the manifest of {}", layers.len());
        assert!(fixture.refusal().contains(&says), "{}", fixture.refusal());
    }
}

#[test]
fn a_manifest_that_other_tools_read_otherwise_is_refused() {
    let (fixture, layer) = Fixture::image();
    let (config, other) = (fixture.config(1), fixture.blob(b"other", LAYER_TYPE));
    let text = json!({ "schemaVersion": 2, "config": config, "layers": [layer], "Layers": [other] });
    fixture.index(&[fixture.blob(text.to_string().as_bytes(), OCI_MANIFEST)]);
    assert!(
        fixture.refusal().contains("another letter case"),
        "{}",
        fixture.refusal()
    );
}

#[test]
fn a_config_must_be_an_image_s() {
    for (text, says) in [
        ("{}", "missing field"),
        ("[]", "can't be read"),
        (
            r#"{"os":"linux","architecture":"","rootfs":{"type":"layers","diff_ids":[]}}"#,
            "no operating system",
        ),
        (
            r#"{"os":"linux\u0000","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}"#,
            "no operating system",
        ),
        (
            r#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["a"]}}"#,
            "speaks of 1 layers",
        ),
        (
            r#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layer","diff_ids":[]}}"#,
            "not of the type layers",
        ),
        (
            r#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]},"RootFS":{}}"#,
            "another letter case",
        ),
        (
            r#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[],"diff_ids":[]}}"#,
            "duplicate field",
        ),
    ] {
        let fixture = Fixture::empty();
        let config = fixture.blob(text.as_bytes(), CONFIG_TYPE);
        fixture.index(&[fixture.manifest(&config, &[])]);
        assert!(fixture.refusal().contains(says), "{text}: {}", fixture.refusal());
    }
}

#[test]
fn a_missing_layout_is_an_error_and_not_a_panic() {
    assert!(Layout::read(Path::new("/nonexistent/layout"), LIMIT).is_err());
    let folder = tempfile::tempdir().unwrap();
    assert!(Layout::read(folder.path(), LIMIT).is_err());
}
