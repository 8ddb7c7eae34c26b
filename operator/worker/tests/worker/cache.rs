//! The project's cache: stored after the image, laid out for the next build, and never the reason for a failure.

use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use imagefactory_core::step::{CacheLoaded, CachePlace, LoadCacheStep, PushStep};
use imagefactory_worker::{cache, push};
use serde_json::json;

use super::support::{FakeRegistry, Pod, repository};

const REPO: &str = "staging/acme/cache/shop";

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
        pod.layout_image(&[b"one"]);
        let step = PushStep {
            repository: format!("{}/staging/acme/shop/web", registry.host),
            credential_prefix: format!("{}/staging/acme", registry.host),
            tag: "attempt-1".to_owned(),
            max_bytes: 1 << 20,
            platforms: Vec::new(),
            cache: Some(CachePlace {
                repository: format!("{}/{REPO}", registry.host),
                tag: "kaniko".to_owned(),
                max_bytes: 1 << 20,
            }),
            deadline: None,
        };
        Self { registry, pod, step }
    }

    async fn push(&self) {
        push::run(&self.step, &self.pod.places, &self.pod.roots(), |_| ())
            .await
            .unwrap();
    }

    async fn load(&self) -> CacheLoaded {
        let step = LoadCacheStep {
            cache: self.step.cache.clone().unwrap(),
            credential_prefix: self.step.credential_prefix.clone(),
        };
        cache::load(&step, &self.pod.places, &self.pod.roots()).await.unwrap()
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.pod.path("cache/in").join(path)).unwrap()
    }

    fn is_empty(&self) -> bool {
        std::fs::read_dir(self.pod.path("cache/in")).unwrap().next().is_none()
    }
}

#[tokio::test]
async fn what_one_build_leaves_the_next_one_finds() {
    let scene = Scene::new().await;
    scene.pod.write("cache/out/k:1/index.json", "{}");
    scene.pod.write("cache/out/k:1/blobs/sha256/a", "layer");
    scene.pod.write("cache/out/k:2/index.json", "{}");
    symlink(
        scene.pod.path("credentials/staging/.dockerconfigjson"),
        scene.pod.path("cache/out/k:2/secret"),
    )
    .unwrap();
    scene.push().await;
    scene.pod.write("cache/in/of/an/earlier/run", "x");
    assert_eq!(scene.load().await.bytes, 9);
    assert_eq!(
        (scene.read("k:1/blobs/sha256/a"), scene.read("k:2/index.json")),
        ("layer".into(), "{}".into())
    );
    assert!(!scene.pod.path("cache/in/k:2/secret").exists() && !scene.pod.path("cache/in/of").exists());
    let age = std::fs::metadata(scene.pod.path("cache/in/k:1/index.json"))
        .unwrap()
        .modified()
        .unwrap();
    assert!(
        age <= SystemTime::now() - Duration::from_secs(59),
        "what is built now is newer"
    );
    let blobs = scene.registry.state().repo(REPO).blobs.len();
    assert_eq!(
        blobs, 2,
        "two files have the same bytes, which are the empty config too"
    );
    let client = scene.pod.client(scene.pod.credentials("credentials/staging"));
    let at = repository(&format!("{}/{REPO}", scene.registry.host));
    assert!(client.read_tag(&at, "kaniko").await.unwrap().is_some());
}

#[tokio::test]
async fn what_did_not_change_is_not_sent_again() {
    let scene = Scene::new().await;
    scene.pod.write("cache/out/k:1/index.json", "one");
    scene.push().await;
    let to_cache = |scene: &Scene| {
        let seen = scene.registry.writes_seen();
        seen.into_iter().filter(|seen| seen.path.contains(REPO)).count()
    };
    let before = to_cache(&scene);
    scene.push().await;
    assert_eq!(to_cache(&scene), before, "nothing changed");
    scene.pod.write("cache/out/k:2/index.json", "two");
    scene.push().await;
    assert_eq!(
        to_cache(&scene),
        before + 3,
        "one blob in two requests, and the manifest"
    );
}

#[tokio::test]
async fn an_image_is_pushed_whatever_becomes_of_the_cache() {
    let mut scene = Scene::new().await;
    scene.push().await;
    assert!(scene.registry.tag(REPO, "kaniko").is_none(), "the builder left none");
    scene.pod.write("cache/out/k:1/index.json", "one");
    let place = scene.step.cache.as_mut().unwrap();
    place.repository = format!("{}/staging/other/cache/shop", scene.registry.host);
    scene.push().await;
    let seen = scene.registry.seen();
    assert!(
        seen.iter().all(|seen| !seen.path.contains("/other/")),
        "outside the credential's prefix"
    );
}

#[tokio::test]
async fn without_a_cache_the_builder_finds_an_empty_directory() {
    let scene = Scene::new().await;
    assert_eq!(scene.load().await, CacheLoaded { bytes: 0 });
    assert!(scene.is_empty());
    scene.pod.write("cache/out/k:1/index.json", "one");
    scene.pod.write("cache/out/k:2/index.json", "two");
    scene.push().await;
    scene.registry.state().served_instead = Some("changed".into());
    assert_eq!(scene.load().await, CacheLoaded { bytes: 0 });
    assert!(scene.is_empty(), "bytes that are not those of the digest");
    scene.registry.state().served_instead = None;
    assert_eq!(scene.load().await.bytes, 6);
    scene
        .pod
        .credential("credentials/staging", &scene.registry.host, "staging", "wrong");
    assert_eq!(scene.load().await, CacheLoaded { bytes: 0 });
    assert!(scene.is_empty());
}

#[tokio::test]
async fn a_cache_that_names_files_elsewhere_is_not_laid_out() {
    let scene = Scene::new().await;
    scene.pod.write("cache/out/k:1/index.json", "one");
    scene.push().await;
    for path in ["../outside", "/tmp/outside", "a/../../outside"] {
        {
            let mut state = scene.registry.state();
            let repo = state.repo(REPO);
            let digest = repo.tags["kaniko"].clone();
            let (media_type, bytes) = repo.manifests[&digest].clone();
            let mut manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            manifest["layers"][0]["annotations"]["org.opencontainers.image.title"] = json!(path);
            let bytes = axum::body::Bytes::from(manifest.to_string());
            let digest = imagefactory_worker::registry::Digest::of(&bytes).to_string();
            repo.manifests.insert(digest.clone(), (media_type, bytes));
            repo.tags.insert("kaniko".to_owned(), digest);
        }
        assert_eq!(scene.load().await, CacheLoaded { bytes: 0 }, "{path}");
        assert!(scene.is_empty() && !scene.pod.path("cache/outside").exists());
    }
}

#[tokio::test]
async fn a_cache_that_can_t_be_sent_in_time_leaves_time_to_the_image() {
    let mut scene = Scene::new().await;
    scene.pod.write("cache/out/k:1/index.json", "one");
    scene.registry.state().hangs_at = Some(REPO.to_owned());
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    scene.step.deadline = i64::try_from(now + 4).ok();
    tokio::time::timeout(Duration::from_secs(30), scene.push())
        .await
        .unwrap();
    assert!(
        scene.registry.seen().iter().any(|seen| seen.path.contains(REPO)),
        "it was tried"
    );
}
