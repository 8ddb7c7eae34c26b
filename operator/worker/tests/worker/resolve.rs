//! `resolve`: what an image is, is asked once; what could hide something from the scan is refused.

use imagefactory_core::step::{PushStep, ResolveStep, Resolved, StepFailure};
use imagefactory_crds::build::FailureClass;
use imagefactory_worker::registry::Digest;
use imagefactory_worker::{push, resolve};
use serde_json::{Value, json};

use super::support::{FakeRegistry, Pod};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

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
