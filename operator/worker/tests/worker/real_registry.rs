//! The same steps against a real registry: the one that `REGISTRY`, `REGISTRY_CA`, `REGISTRY_USER` and
//! `REGISTRY_PASSWORD` name, as `.cluster/env` sets them. `REGISTRY_REFERRERS` says how it lists referrers: `tag`, where
//! nothing is said, or `api`.

use std::collections::BTreeMap;
use std::env::var;

use axum::body::Bytes;
use imagefactory_core::step::{
    CachePlace, Evidence, Fate, LoadCacheStep, PublishStep, PushStep, StagedEntry, StagedName, UnstageStep,
};
use imagefactory_worker::manifest::Descriptor;
use imagefactory_worker::registry::{Artifact, Blob, Digest, Payload, Registry, Subject};
use imagefactory_worker::{cache, publish, push, unstage};

use super::support::{Pod, repository};

struct Scene {
    host: String,
    pod: Pod,
    push: PushStep,
}

impl Scene {
    fn new() -> Self {
        super::support::server::install_provider();
        let host = var("REGISTRY").unwrap();
        let pod = Pod::trusting(&[]);
        pod.write(
            "ca/platform/ca.crt",
            std::fs::read(var("REGISTRY_CA").unwrap()).unwrap(),
        );
        for place in ["credentials/staging", "credentials/output"] {
            pod.credential(
                place,
                &host,
                &var("REGISTRY_USER").unwrap(),
                &var("REGISTRY_PASSWORD").unwrap(),
            );
        }
        let push = PushStep {
            repository: format!("{host}/staging/worker-test/shop/web"),
            credential_prefix: format!("{host}/staging/worker-test"),
            tag: "attempt-1".to_owned(),
            max_bytes: 1 << 20,
            platforms: Vec::new(),
            cache: None,
            deadline: None,
        };
        Self { host, pod, push }
    }

    /// One whose image lies where that of a build does.
    fn staging_of(build: &str) -> Self {
        let mut scene = Self::new();
        scene.push.repository = format!("{}/builds/shop/{build}", scene.push.credential_prefix);
        scene
    }

    /// Pushes the layout, attaches evidence to each image of it, and has all of it removed.
    async fn assert_expires(&self) {
        let (places, roots) = (&self.pod.places, self.pod.roots());
        let pushed = push::run(&self.push, places, &roots, |_| ()).await.unwrap();
        let top = Digest::parse(&pushed.digest).unwrap();
        let parts = pushed
            .platforms
            .iter()
            .map(|image| Digest::parse(&image.digest).unwrap());
        let parts: Vec<_> = parts.collect();
        let mut referrers = Vec::new();
        for image in if parts.is_empty() {
            std::slice::from_ref(&top)
        } else {
            &parts
        } {
            referrers.push(self.attach(image).await);
        }
        let step = UnstageStep {
            credential_prefix: self.push.credential_prefix.clone(),
            images: vec![StagedEntry {
                path: "slot/one".to_owned(),
                repository: self.push.repository.clone(),
                image: StagedName::Tag("attempt-1".to_owned()),
            }],
            budget_seconds: None,
        };
        let done = unstage::run(&step, places, &roots).await.unwrap();
        assert_eq!(done.images, [Fate::Removed]);
        let (client, at) = (self.staging(), repository(&self.push.repository));
        for gone in parts.iter().chain([&top]).chain(&referrers) {
            assert!(
                !client.manifest_exists(&at, gone).await.unwrap(),
                "{gone} is still there"
            );
            assert!(client.read_tag(&at, &gone.referrers_tag()).await.unwrap().is_none());
        }
        assert!(client.read_tag(&at, "attempt-1").await.unwrap().is_none());
        let again = unstage::run(&step, places, &roots).await.unwrap();
        assert_eq!(again.images, [Fate::Absent]);
    }

    fn staging(&self) -> Registry {
        let credentials = self.pod.credentials("credentials/staging");
        self.pod
            .client(credentials.bound_to(vec![self.push.credential_prefix.clone()]))
    }

    async fn attach(&self, digest: &Digest) -> Digest {
        let (client, at) = (self.staging(), repository(&self.push.repository));
        let image = client.pull_manifest(&at, digest).await.unwrap();
        let size = image.bytes.len() as u64;
        let descriptor = Descriptor {
            media_type: image.media_type,
            digest: digest.clone(),
            size,
        };
        let (bytes, hash) = (Bytes::from_static(b"worker-test-sbom"), Digest::of(b"worker-test-sbom"));
        let blob = Blob {
            digest: &hash,
            size: bytes.len() as u64,
        };
        let payload = Payload {
            media_type: "text/plain",
            title: "note.txt",
            blob,
            source: &bytes,
        };
        let artifact = Artifact {
            artifact_type: "application/vnd.test",
            payload,
            annotations: BTreeMap::new(),
        };
        client
            .attach(
                Subject {
                    repository: &at,
                    descriptor: &descriptor,
                },
                &artifact,
            )
            .await
            .unwrap()
    }
}

#[tokio::test]
#[ignore = "needs a registry"]
async fn a_real_registry_takes_image_evidence_and_tag() {
    let scene = Scene::new();
    let (pod, roots) = (&scene.pod, scene.pod.roots());
    let digest = pod.layout_image(&[b"worker-test-one", b"worker-test-two"]);
    // Everything twice: the second time finds what the first one did.
    for _ in 0..2 {
        assert_eq!(
            push::run(&scene.push, &pod.places, &roots, |_| ())
                .await
                .unwrap()
                .digest,
            digest.as_str()
        );
    }
    let referrer = scene.attach(&digest).await;
    assert_eq!(scene.attach(&digest).await, referrer);
    let listed = scene
        .staging()
        .referrers(&repository(&scene.push.repository), &digest)
        .await
        .unwrap();
    assert_eq!(listed, std::slice::from_ref(&referrer));

    let output = format!("{}/images/worker-test/shop", scene.host);
    let step = PublishStep {
        repository: scene.push.repository.clone(),
        digest: digest.to_string(),
        staging_prefix: scene.push.credential_prefix.clone(),
        image: format!("{output}:web"),
        output_prefixes: vec![format!("{}/images/worker-test", scene.host)],
        referrers: vec![Evidence {
            subject: digest.to_string(),
            digest: referrer.to_string(),
            platform: None,
        }],
    };
    for _ in 0..2 {
        publish::run(&step, &pod.places, &roots).await.unwrap();
    }
    let (reader, published) = (pod.client(pod.credentials("credentials/output")), repository(&output));
    assert_eq!(
        reader.read_tag(&published, "web").await.unwrap().unwrap().digest,
        digest
    );
    assert_eq!(reader.referrers(&published, &digest).await.unwrap(), [referrer]);
}

#[tokio::test]
#[ignore = "needs a registry"]
async fn a_real_registry_refuses_a_wrong_password() {
    let scene = Scene::new();
    scene
        .pod
        .credential("credentials/staging", &scene.host, "factory", "wrong");
    scene.pod.layout_image(&[b"worker-test-one"]);
    let failure = push::run(&scene.push, &scene.pod.places, &scene.pod.roots(), |_| ())
        .await
        .unwrap_err();
    assert_eq!(failure.reason, "RegistryUnauthorized");
    assert!(failure.message.contains("401"), "{}", failure.message);
}

#[tokio::test]
#[ignore = "needs a registry"]
async fn a_real_registry_removes_an_expired_image_with_its_evidence() {
    let scene = Scene::staging_of("expired");
    scene.pod.layout_image(&[b"worker-test-expired"]);
    scene.assert_expires().await;
}

#[tokio::test]
#[ignore = "needs a registry"]
async fn a_real_registry_removes_an_expired_index_with_the_evidence_of_each_image() {
    let scene = Scene::staging_of("expired-index");
    super::publish::layout_index(&scene.pod);
    scene.assert_expires().await;
}

#[tokio::test]
#[ignore = "needs a registry"]
async fn a_real_registry_takes_an_index_with_the_evidence_of_each_image() {
    let scene = Scene::new();
    let (pod, roots) = (&scene.pod, scene.pod.roots());
    super::publish::layout_index(pod);
    let pushed = push::run(&scene.push, &pod.places, &roots, |_| ()).await.unwrap();
    let mut referrers = Vec::new();
    for image in &pushed.platforms {
        let digest = scene.attach(&Digest::parse(&image.digest).unwrap()).await;
        referrers.push(Evidence {
            subject: image.digest.0.clone(),
            digest: digest.to_string(),
            platform: Some(image.platform.clone()),
        });
    }
    assert_eq!(referrers.len(), 2);
    let output = format!("{}/images/worker-test/index", scene.host);
    let step = PublishStep {
        repository: scene.push.repository.clone(),
        digest: pushed.digest.clone(),
        staging_prefix: scene.push.credential_prefix.clone(),
        image: format!("{output}:web"),
        output_prefixes: vec![format!("{}/images/worker-test", scene.host)],
        referrers: referrers.clone(),
    };
    for _ in 0..2 {
        publish::run(&step, &pod.places, &roots).await.unwrap();
    }
    let (reader, published) = (pod.client(pod.credentials("credentials/output")), repository(&output));
    let listed = async |digest: &str| {
        let digest = Digest::parse(digest).unwrap();
        reader.referrers(&published, &digest).await.unwrap().len()
    };
    assert_eq!(listed(&pushed.digest).await, 2);
    for evidence in &referrers {
        assert_eq!(listed(&evidence.subject).await, 1);
    }
}

#[tokio::test]
#[ignore = "needs a registry"]
async fn a_real_registry_keeps_a_cache() {
    let mut scene = Scene::new();
    scene.pod.layout_image(&[b"worker-test-one"]);
    let place = CachePlace {
        repository: format!("{}/staging/worker-test/cache/shop", scene.host),
        tag: "kaniko".to_owned(),
        max_bytes: 1 << 20,
    };
    scene.push.cache = Some(place.clone());
    scene.pod.write("cache/out/k:1/index.json", "one");
    scene.pod.write("cache/out/k:1/blobs/sha256/layer", vec![7; 100_000]);
    for _ in 0..2 {
        push::run(&scene.push, &scene.pod.places, &scene.pod.roots(), |_| ())
            .await
            .unwrap();
    }
    let step = LoadCacheStep {
        cache: place,
        credential_prefix: scene.push.credential_prefix.clone(),
    };
    let loaded = cache::load(&step, &scene.pod.places, &scene.pod.roots()).await.unwrap();
    assert_eq!(loaded.bytes, 100_003);
    assert_eq!(
        std::fs::read(scene.pod.path("cache/in/k:1/blobs/sha256/layer")).unwrap(),
        vec![7; 100_000]
    );
}

/// What is attached is listed in the one way that this registry has, and in no other beside it.
#[tokio::test]
#[ignore = "needs a registry"]
async fn a_real_registry_lists_evidence_by_its_api_or_else_by_the_tag() {
    let scene = Scene::staging_of("listed");
    let digest = scene.pod.layout_image(&[b"worker-test-listed"]);
    push::run(&scene.push, &scene.pod.places, &scene.pod.roots(), |_| ())
        .await
        .unwrap();
    let referrer = scene.attach(&digest).await;
    let (client, at) = (scene.staging(), repository(&scene.push.repository));
    assert_eq!(client.referrers(&at, &digest).await.unwrap(), [referrer]);
    let by_tag = client.read_tag(&at, &digest.referrers_tag()).await.unwrap();
    match var("REGISTRY_REFERRERS").as_deref().unwrap_or("tag") {
        "api" => assert!(
            by_tag.is_none(),
            "the registry lists by its API, and there is a tag beside"
        ),
        "tag" => assert!(by_tag.is_some(), "the registry has no API, and there is no tag"),
        other => panic!("REGISTRY_REFERRERS is {other}"),
    }
}
