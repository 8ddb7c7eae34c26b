//! `resolve`: what an image is, is asked once; what could hide something from the scan is refused, and so is an image whose
//! layers are not what its configuration says.

use std::io::Write as _;

use imagefactory_core::step::{PushStep, ResolveStep, Resolved, StepFailure};
use imagefactory_crds::build::FailureClass;
use imagefactory_worker::registry::Digest;
use imagefactory_worker::{push, resolve};
use serde_json::{Value, json};

use super::support::{FakeRegistry, Pod, image_config};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// Media type, packed bytes, what the configuration says they unpack to.
type Layer<'a> = (&'a str, &'a [u8], &'a [u8]);

struct Scene {
    registry: FakeRegistry,
    pod: Pod,
    step: ResolveStep,
    image: Digest,
}

impl Scene {
    /// A repository with one image, tagged `a`.
    async fn new() -> Self {
        let registry = FakeRegistry::basic("output", "secret").await;
        let pod = Pod::trusting(&[&registry]);
        pod.credential("credentials/staging", &registry.host, "output", "secret");
        let name = format!("{}/images/acme/web", registry.host);
        let prefix = format!("{}/images/acme", registry.host);
        let image = pod.layout_image(&[b"one"]);
        let staged = PushStep {
            repository: name.clone(),
            credential_prefix: prefix.clone(),
            tag: "a".to_owned(),
            max_bytes: 1 << 20,
            platforms: Vec::new(),
            cache: None,
            deadline: None,
        };
        push::run(&staged, &pod.places, &pod.roots(), |_| ()).await.unwrap();
        std::fs::create_dir_all(pod.path("image")).unwrap();
        registry.state().seen.clear();
        let step = ResolveStep {
            repository: name,
            digest: None,
            tag: Some("a".to_owned()),
            credential_prefix: prefix,
        };
        Self {
            registry,
            pod,
            step,
            image,
        }
    }

    async fn resolve(&self) -> Result<Resolved, StepFailure> {
        resolve::run(&self.step, &self.pod.places, &self.pod.roots()).await
    }

    /// Puts a document there and names it by its digest.
    fn put(&mut self, document: &Value, media_type: &str) -> Digest {
        let mut state = self.registry.state();
        let digest = state.put_manifest("images/acme/web", media_type, &document.to_string());
        self.step.digest = Some(digest.to_string());
        digest
    }

    /// Puts an image there, as somebody who is not the factory does, and names it by its digest.
    fn put_image(&mut self, layers: &[Layer<'_>]) -> Digest {
        let contents: Vec<_> = layers.iter().map(|(_, _, content)| *content).collect();
        let config = self.put_blob(image_config(&contents).as_bytes(), CONFIG);
        let layers: Vec<_> = layers
            .iter()
            .map(|(kind, packed, _)| self.put_blob(packed, kind))
            .collect();
        let document = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        self.put(&document, MANIFEST)
    }

    fn put_blob(&self, bytes: &[u8], media_type: &str) -> Value {
        let digest = self.registry.state().put_blob("images/acme/web", bytes);
        json!({"mediaType": media_type, "digest": digest.as_str(), "size": bytes.len()})
    }

    /// How often a blob was read.
    fn reads(&self, bytes: &[u8]) -> usize {
        let digest = Digest::of(bytes);
        let seen = self.registry.seen();
        seen.iter().filter(|seen| seen.path.ends_with(digest.as_str())).count()
    }

    async fn refused(&self) -> String {
        let failure = self.resolve().await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Pull, "{failure:?}");
        assert!(!self.pod.path("image/image.json").exists(), "nothing is written down");
        format!("{}: {}", failure.reason, failure.message)
    }
}

fn entry(digest: &Digest, platform: &Value) -> Value {
    json!({"mediaType": MANIFEST, "digest": digest.as_str(), "size": 1, "platform": platform})
}

fn index(entries: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
}

#[tokio::test]
async fn a_tag_means_a_digest_which_is_written_down_for_the_steps_that_follow() {
    let mut scene = Scene::new().await;
    let resolved = scene.resolve().await.unwrap();
    assert_eq!(
        (resolved.digest.as_str(), resolved.platforms.len()),
        (scene.image.as_str(), 0)
    );
    let written: Value = serde_json::from_slice(&std::fs::read(scene.pod.path("image/image.json")).unwrap()).unwrap();
    assert_eq!(written, json!({"digest": scene.image.as_str()}));
    scene.step.digest = Some(scene.image.to_string());
    scene.step.tag = Some("gone".to_owned());
    assert_eq!(scene.resolve().await.unwrap(), resolved, "the digest counts");
}

#[tokio::test]
async fn of_an_index_every_image_is_named_with_its_platform() {
    let mut scene = Scene::new().await;
    let platform = json!({"os": "linux", "architecture": "amd64"});
    let document = index(&[entry(&scene.image.clone(), &platform)]);
    let digest = scene.put(&document, INDEX);
    let resolved = scene.resolve().await.unwrap();
    assert_eq!(resolved.digest, digest.as_str());
    let images: Vec<_> = resolved
        .platforms
        .iter()
        .map(|image| (image.platform.as_str(), image.digest.0.as_str()))
        .collect();
    assert_eq!(images, [("linux/amd64", scene.image.as_str())]);
}

#[tokio::test]
async fn an_index_that_could_hide_an_image_from_the_scan_is_refused() {
    let mut scene = Scene::new().await;
    let (image, amd64) = (scene.image.clone(), json!({"os": "linux", "architecture": "amd64"}));
    let unknown = json!({"os": "unknown", "architecture": "unknown"});
    for (entries, why) in [
        (vec![entry(&image, &amd64), entry(&image, &unknown)], "for no platform"),
        (vec![entry(&image, &amd64), entry(&image, &amd64)], "two images"),
        (vec![entry(&image, &Value::Null)], "for no platform"),
        (vec![entry(&image, &amd64); 5], "names 5 images"),
    ] {
        let _ = scene.put(&index(&entries), INDEX);
        let said = scene.refused().await;
        assert!(said.starts_with("ImageNotSupported") && said.contains(why), "{said}");
    }
}

#[tokio::test]
async fn an_image_whose_layers_lie_elsewhere_is_not_handed_to_the_scanner() {
    let mut scene = Scene::new().await;
    let layer = json!({
        "mediaType": "application/vnd.docker.image.rootfs.diff.tar", "digest": scene.image.as_str(), "size": 1,
        "urls": ["http://169.254.169.254/latest"],
    });
    let config = json!({
        "mediaType": "application/vnd.docker.container.image.v1+json", "digest": scene.image.as_str(), "size": 1,
    });
    let document = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
    let _ = scene.put(&document, MANIFEST);
    let said = scene.refused().await;
    assert!(said.starts_with("ImageNotSupported") && said.contains("URLs"), "{said}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

#[tokio::test]
async fn an_honest_image_is_taken_however_it_is_packed_and_each_layer_is_read_once() {
    let mut scene = Scene::new().await;
    let large = [b"0123456789abcdef".repeat(1 << 16), vec![0; 1 << 20]].concat();
    let (packed, small) = (
        gzip(&large),
        ruzstd::encoding::compress_to_vec(b"two".as_slice(), ruzstd::encoding::CompressionLevel::Fastest),
    );
    let empty = gzip(&[0; 1024]);
    let digest = scene.put_image(&[
        (TAR, b"one", b"one"),
        (GZIP, &packed, &large),
        (ZSTD, &small, b"two"),
        (GZIP, &empty, &[0; 1024]),
        (TAR, b"", b""),
        (GZIP, &empty, &[0; 1024]),
    ]);
    assert_eq!(scene.resolve().await.unwrap().digest, digest.as_str());
    assert_eq!(
        (scene.reads(&empty), scene.reads(b"one"), scene.reads(&packed)),
        (1, 1, 1)
    );
}

#[tokio::test]
async fn an_image_that_lies_about_a_layer_never_reaches_the_scanner() {
    let mut scene = Scene::new().await;
    let (empty, packed) = ([0; 1024], gzip(b"vulnerable"));
    let lies: [(&str, Vec<Layer<'_>>, &str); 5] = [
        (
            "one layer",
            vec![(TAR, b"one", b"one"), (TAR, &empty, b"vulnerable")],
            "diff_ids say",
        ),
        (
            "one diff_id for two",
            vec![(TAR, &empty, b"vulnerable"), (GZIP, &packed, b"vulnerable")],
            "diff_ids say",
        ),
        (
            "two diff_ids for one",
            vec![(TAR, b"one", b"one"), (TAR, b"one", b"two")],
            "two diff_ids",
        ),
        ("packed otherwise", vec![(TAR, &packed, &packed)], "first bytes"),
        (
            "broken off",
            vec![(GZIP, &packed[..packed.len() - 4], b"vulnerable")],
            "can't be unpacked",
        ),
    ];
    for (what, layers, why) in lies {
        let _ = scene.put_image(&layers);
        let said = scene.refused().await;
        assert!(
            said.starts_with("InvalidImage: ") && said.contains(why),
            "{what}: {said}"
        );
    }
}

#[tokio::test]
async fn one_lying_image_spoils_its_index() {
    let mut scene = Scene::new().await;
    let (honest, lying) = (
        scene.image.clone(),
        scene.put_image(&[(TAR, &[0; 1024], b"vulnerable")]),
    );
    let platform = |name: &str| json!({"os": "linux", "architecture": name});
    let document = index(&[entry(&honest, &platform("amd64")), entry(&lying, &platform("arm64"))]);
    let _ = scene.put(&document, INDEX);
    let said = scene.refused().await;
    assert!(
        said.starts_with("InvalidImage: ") && said.contains("diff_ids say"),
        "{said}"
    );
}

#[tokio::test]
async fn a_configuration_speaks_of_every_layer_and_of_no_other() {
    let mut scene = Scene::new().await;
    let layer = scene.put_blob(b"one", TAR);
    let two = image_config(&[b"one", b"two"]);
    let misspelt = image_config(&[b"one"]).replace("rootfs", "RootFS");
    let twice = image_config(&[b"one"]).replace(r#""rootfs""#, r#""RootFS":{},"rootfs""#);
    for (config, why) in [
        (two.as_str(), "speaks of 2 layers"),
        (misspelt.as_str(), "missing field"),
        (twice.as_str(), "another letter case"),
        ("{", "can't be read"),
    ] {
        let config = scene.put_blob(config.as_bytes(), CONFIG);
        let document = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        let _ = scene.put(&document, MANIFEST);
        let said = scene.refused().await;
        assert!(said.starts_with("InvalidImage: ") && said.contains(why), "{said}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_not_asked_for_and_what_is_not_there_or_other_is_told() {
    let mut scene = Scene::new().await;
    let config = scene.put_blob(image_config(&[b"one"]).as_bytes(), CONFIG);
    let layer = |size: u64| json!({"mediaType": TAR, "digest": Digest::of(b"one").as_str(), "size": size});
    let document =
        |layer: Value| json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
    let _ = scene.put(&document(layer(65 << 30)), MANIFEST);
    scene.registry.state().seen.clear();
    assert!(scene.refused().await.starts_with("ImageTooLarge: "));
    assert_eq!(scene.reads(b"one"), 0);
    let _ = scene.put(&document(layer(3)), MANIFEST);
    scene
        .registry
        .state()
        .repo("images/acme/web")
        .blobs
        .remove(Digest::of(b"one").as_str());
    assert!(scene.refused().await.starts_with("RegistryNotFound: "));
    let other = axum::body::Bytes::from_static(b"two");
    scene
        .registry
        .state()
        .repo("images/acme/web")
        .blobs
        .insert(Digest::of(b"one").to_string(), other);
    assert!(scene.refused().await.contains("its bytes have the digest"));
}

#[tokio::test]
async fn an_image_of_others_may_speak_of_another_since_it_is_put_nowhere() {
    let mut scene = Scene::new().await;
    let config = scene.put_blob(image_config(&[b"one"]).as_bytes(), CONFIG);
    let layer = scene.put_blob(b"one", TAR);
    let document = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
        "artifactType": "application/vnd.example", "subject": {"mediaType": MANIFEST, "digest": scene.image.as_str(), "size": 1},
    });
    let digest = scene.put(&document, MANIFEST);
    assert_eq!(scene.resolve().await.unwrap().digest, digest.as_str());
}

#[tokio::test]
async fn what_is_not_there_or_lies_outside_the_prefix_is_told_and_outside_nobody_is_asked() {
    let mut scene = Scene::new().await;
    scene.step.tag = Some("gone".to_owned());
    assert!(scene.refused().await.starts_with("RegistryNotFound"));
    scene.registry.state().seen.clear();
    scene.step.credential_prefix = format!("{}/images/other", scene.registry.host);
    assert!(scene.refused().await.starts_with("RepositoryNotAllowed"));
    assert!(scene.registry.state().seen.is_empty(), "no request was sent");
}
