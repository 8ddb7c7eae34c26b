//! `push`: what the builder wrote is checked and sent to staging.

use std::io::Write as _;

use imagefactory_core::step::{PushStep, Pushed, StepFailure};
use imagefactory_crds::build::FailureClass;
use imagefactory_worker::push;
use serde_json::json;

use super::support::{FakeRegistry, Pod, image_config, repository};

const REPO: &str = "staging/acme/shop/web";

struct Scene {
    registry: FakeRegistry,
    pod: Pod,
    step: PushStep,
}

impl Scene {
    async fn new() -> Self {
        let registry = FakeRegistry::basic("staging", "secret").await;
        let pod = Pod::trusting(&[&registry]);
        pod.credential("credentials/staging", &registry.host, "staging", "secret");
        let step = PushStep {
            repository: format!("{}/{REPO}", registry.host),
            credential_prefix: format!("{}/staging/acme", registry.host),
            tag: "attempt-1".to_owned(),
            max_bytes: 1 << 20,
            platforms: Vec::new(),
            cache: None,
            deadline: None,
        };
        Self { registry, pod, step }
    }

    async fn push(&self) -> Result<Pushed, StepFailure> {
        push::run(&self.step, &self.pod.places, &self.pod.roots(), |_| ()).await
    }

    async fn refusal(&self) -> StepFailure {
        self.push().await.unwrap_err()
    }

    fn manifests(&self) -> usize {
        self.registry.state().repo(REPO).manifests.len()
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

#[tokio::test]
async fn an_image_goes_to_staging_by_its_digest() {
    let scene = Scene::new().await;
    let digest = scene.pod.layout_image(&[b"one", b"two"]);
    let pushed = scene.push().await.unwrap();
    assert_eq!(pushed.digest, digest.as_str());
    let client = scene.pod.client(scene.pod.credentials("credentials/staging"));
    let manifest = client
        .pull_manifest(&repository(&scene.step.repository), &digest)
        .await
        .unwrap();
    let blobs = image_config(&[b"one", b"two"]).len() + "one".len() + "two".len();
    assert_eq!(usize::try_from(pushed.size).unwrap(), manifest.bytes.len() + blobs);
    assert_eq!(scene.registry.state().repo(REPO).blobs.len(), 3);
    assert_eq!(scene.registry.tag(REPO, "attempt-1").as_deref(), Some(digest.as_str()));
}

#[tokio::test]
async fn pushing_again_sends_no_blob_twice() {
    let scene = Scene::new().await;
    scene.pod.layout_image(&[b"one", b"two"]);
    let first = scene.push().await.unwrap();
    let before = scene.registry.writes_seen().len();
    assert_eq!(scene.push().await.unwrap(), first);
    let again = scene.registry.writes_seen().split_off(before);
    assert!(again.iter().all(|seen| seen.path.contains("/manifests/")), "{again:?}");
}

#[tokio::test]
async fn an_index_goes_with_all_its_images() {
    let scene = Scene::new().await;
    let pod = &scene.pod;
    let mut children = Vec::new();
    let packed = [
        (
            b"one",
            gzip(b"one"),
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "amd64",
        ),
        (
            b"two",
            zstd(b"two"),
            "application/vnd.oci.image.layer.v1.tar+zstd",
            "arm64",
        ),
    ];
    for (content, packed, media_type, architecture) in packed {
        let layer = pod.layout_blob(&packed, media_type);
        let config = pod.layout_blob(
            image_config(&[content]).replace("amd64", architecture).as_bytes(),
            "application/vnd.oci.image.config.v1+json",
        );
        let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
        children.push(pod.layout_blob(
            manifest.to_string().as_bytes(),
            "application/vnd.oci.image.manifest.v1+json",
        ));
    }
    let index = json!({ "schemaVersion": 2, "manifests": &children });
    let index = pod.layout_blob(index.to_string().as_bytes(), "application/vnd.oci.image.index.v1+json");
    pod.write("layout/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    pod.write(
        "layout/index.json",
        json!({ "schemaVersion": 2, "manifests": [index] }).to_string(),
    );
    let pushed = scene.push().await.unwrap();
    assert_eq!(pushed.digest, index["digest"]);
    let reported: Vec<_> = (pushed.platforms.iter())
        .map(|image| (image.platform.as_str(), image.digest.as_str()))
        .collect();
    let digest = |child: usize| children[child]["digest"].as_str().unwrap();
    assert_eq!(reported, [("linux/amd64", digest(0)), ("linux/arm64", digest(1))]);
    assert_eq!(
        (scene.manifests(), scene.registry.state().repo(REPO).blobs.len()),
        (3, 4)
    );
}

#[tokio::test]
async fn a_layer_with_false_bytes_is_the_build_s_failure_and_no_manifest_follows() {
    let scene = Scene::new().await;
    scene.pod.layout_image(&[b"one", b"two"]);
    let digest = imagefactory_worker::registry::Digest::of(b"two");
    scene.pod.write(&format!("layout/blobs/sha256/{}", digest.hex()), "TWO");
    let failure = scene.refusal().await;
    assert_eq!(
        (failure.class, failure.reason.as_str()),
        (FailureClass::Build, "InvalidLayout")
    );
    assert!(failure.message.contains(digest.as_str()), "{}", failure.message);
    assert!(!scene.registry.state().repo(REPO).blobs.contains_key(digest.as_str()));
    assert_eq!(scene.manifests(), 0);
    // Also where the registry has the right bytes: a layout gets no blob by merely naming it.
    scene.registry.state().put_blob(REPO, b"two");
    assert_eq!(scene.refusal().await.reason, "InvalidLayout");
    assert_eq!(scene.manifests(), 0);
}

#[tokio::test]
async fn a_configuration_that_lies_about_a_layer_is_the_build_s_failure_and_nothing_is_sent() {
    let scene = Scene::new().await;
    let pod = &scene.pod;
    let layer = pod.layout_blob(&gzip(b"hostile"), "application/vnd.oci.image.layer.v1.tar+gzip");
    let config = pod.layout_blob(
        image_config(&[b"scanned and found good"]).as_bytes(),
        "application/vnd.oci.image.config.v1+json",
    );
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
    let manifest = pod.layout_blob(
        manifest.to_string().as_bytes(),
        "application/vnd.oci.image.manifest.v1+json",
    );
    pod.write("layout/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    pod.write(
        "layout/index.json",
        json!({ "schemaVersion": 2, "manifests": [manifest] }).to_string(),
    );
    let failure = scene.refusal().await;
    assert_eq!(
        (failure.class, failure.reason.as_str()),
        (FailureClass::Build, "InvalidLayout")
    );
    assert!(
        failure.message.contains("diff_ids say") && failure.message.contains(layer["digest"].as_str().unwrap()),
        "{}",
        failure.message
    );
    assert!(scene.registry.seen().is_empty());
}

#[tokio::test]
async fn a_hostile_layout_sends_nothing() {
    let scene = Scene::new().await;
    scene.pod.layout_image(&[b"one"]);
    let blob = scene
        .pod
        .path("layout/blobs/sha256")
        .join(imagefactory_worker::registry::Digest::of(b"one").hex());
    std::fs::remove_file(&blob).unwrap();
    std::os::unix::fs::symlink(scene.pod.path("credentials/staging/.dockerconfigjson"), &blob).unwrap();
    let failure = scene.refusal().await;
    assert_eq!(
        (failure.class, failure.reason.as_str()),
        (FailureClass::Build, "InvalidLayout")
    );
    assert!(!failure.message.contains("secret\""), "{}", failure.message);
    assert!(scene.registry.seen().is_empty());
}

#[tokio::test]
async fn an_image_over_the_limit_is_refused() {
    let mut scene = Scene::new().await;
    scene.pod.layout_image(&[&[0; 4096]]);
    scene.step.max_bytes = 4096;
    let failure = scene.refusal().await;
    assert_eq!(
        (failure.class, failure.reason.as_str()),
        (FailureClass::Build, "ImageTooLarge")
    );
    assert!(scene.registry.seen().is_empty());
}

#[tokio::test]
async fn staging_outside_the_credential_s_prefix_gets_no_request() {
    let mut scene = Scene::new().await;
    scene.pod.layout_image(&[b"one"]);
    scene.step.repository = format!("{}/staging/acme-two/web", scene.registry.host);
    let failure = scene.refusal().await;
    assert_eq!(
        (failure.class, failure.reason.as_str()),
        (FailureClass::Publish, "RepositoryNotAllowed")
    );
    assert!(scene.registry.seen().is_empty());
}

#[tokio::test]
async fn failures_at_the_registry_are_told_as_such() {
    let scene = Scene::new().await;
    scene.pod.layout_image(&[b"one"]);
    scene
        .pod
        .credential("credentials/staging", &scene.registry.host, "staging", "hunter2");
    let failure = scene.refusal().await;
    assert_eq!(
        (failure.class, failure.reason.as_str()),
        (FailureClass::Publish, "RegistryUnauthorized")
    );
    assert!(
        failure.message.contains(REPO) && !failure.message.contains("hunter2"),
        "{}",
        failure.message
    );
    scene
        .pod
        .credential("credentials/staging", "other.example.com", "staging", "secret");
    assert_eq!(
        scene.refusal().await.reason,
        "RegistryUnauthorized",
        "a registry that wants a password and gets none"
    );
    scene.pod.write("credentials/staging/.dockerconfigjson", "{");
    assert_eq!(scene.refusal().await.reason, "InvalidCredential");
}

#[tokio::test]
async fn an_image_for_another_platform_is_the_build_s_failure_and_nothing_is_sent() {
    let mut scene = Scene::new().await;
    scene.pod.layout_image(&[b"one"]);
    for wanted in [vec!["linux/arm64"], vec!["linux/amd64", "linux/arm64"]] {
        scene.step.platforms = wanted.iter().map(|text| (*text).to_owned()).collect();
        let failure = scene.refusal().await;
        assert_eq!(
            (failure.class, failure.reason.as_str()),
            (FailureClass::Build, "WrongPlatforms")
        );
        assert!(failure.message.contains("is for linux/amd64"), "{}", failure.message);
    }
    assert!(scene.registry.seen().is_empty());
    scene.step.platforms = vec!["linux/amd64".to_owned()];
    assert!(scene.push().await.unwrap().platforms.is_empty(), "it is no index");
}

#[tokio::test]
async fn an_image_that_would_be_evidence_about_another_is_not_sent() {
    let scene = Scene::new().await;
    let subject = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": format!("sha256:{}", "a".repeat(64)), "size": 7,
    });
    for (field, value) in [
        ("subject", subject),
        ("artifactType", json!("application/vnd.cyclonedx+json")),
    ] {
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let config = image_config(&[b"one"]);
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": scene.pod.layout_blob(config.as_bytes(), "application/vnd.oci.image.config.v1+json"),
            "layers": [scene.pod.layout_blob(b"one", "application/vnd.oci.image.layer.v1.tar")],
        });
        manifest[field] = value;
        let top = scene.pod.layout_blob(manifest.to_string().as_bytes(), media_type);
        let index = json!({ "schemaVersion": 2, "manifests": [top] });
        scene.pod.write("layout/index.json", index.to_string());
        scene
            .pod
            .write("layout/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
        let failure = scene.refusal().await;
        assert_eq!(
            (failure.class, failure.reason.as_str()),
            (FailureClass::Build, "InvalidLayout")
        );
        assert!(failure.message.contains(field), "{}", failure.message);
        assert_eq!(scene.manifests(), 0);
    }
}
