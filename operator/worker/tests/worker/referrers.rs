//! Evidence is attached so that others find it: by the referrers API, or by the index tag.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::StatusCode;
use imagefactory_worker::manifest::Descriptor;
use imagefactory_worker::registry::{Artifact, Blob, Digest, Payload, Registry, RegistryError, Repository, Subject};
use serde_json::Value;

use super::support::{Auth, FakeRegistry, Options, Pod, repository};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

struct Scene {
    registry: FakeRegistry,
    _pod: Pod,
    client: Registry,
    at: Repository,
    image: Descriptor,
}

impl Scene {
    async fn new(referrers_api: bool) -> Self {
        let registry = FakeRegistry::start(Options {
            auth: Auth::Basic("user", "secret"),
            referrers_api,
            ..Options::default()
        })
        .await;
        let pod = Pod::trusting(&[&registry]);
        pod.credential("secret", &registry.host, "user", "secret");
        let client = pod.client(pod.credentials("secret"));
        let digest = registry.state().put_manifest("team/app", MANIFEST, "{}");
        let at = repository(&format!("{}/team/app", registry.host));
        let image = Descriptor {
            media_type: MANIFEST.to_owned(),
            digest,
            size: 2,
        };
        Self {
            registry,
            _pod: pod,
            client,
            at,
            image,
        }
    }

    async fn attach(&self, content: &'static [u8]) -> Result<Digest, RegistryError> {
        let (bytes, digest) = (Bytes::from_static(content), Digest::of(content));
        let blob = Blob {
            digest: &digest,
            size: content.len() as u64,
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
        self.client
            .attach(
                Subject {
                    repository: &self.at,
                    descriptor: &self.image,
                },
                &artifact,
            )
            .await
    }

    fn index_tag(&self) -> String {
        self.image.digest.referrers_tag()
    }

    fn index(&self) -> Option<Value> {
        let digest = self.registry.tag("team/app", &self.index_tag())?;
        let (_, bytes) = self.registry.state().repo("team/app").manifests.get(&digest).cloned()?;
        serde_json::from_slice(&bytes).ok()
    }

    async fn listed(&self) -> Vec<Digest> {
        self.client.referrers(&self.at, &self.image.digest).await.unwrap()
    }
}

#[tokio::test]
async fn a_registry_with_the_api_keeps_the_list_itself() {
    let scene = Scene::new(true).await;
    let digest = scene.attach(b"one").await.unwrap();
    assert_eq!(scene.listed().await, [digest]);
    assert_eq!(scene.index(), None);
}

#[tokio::test]
async fn without_the_api_the_index_tag_lists_every_referrer() {
    let scene = Scene::new(false).await;
    let (one, two) = (scene.attach(b"one").await.unwrap(), scene.attach(b"two").await.unwrap());
    assert_eq!(scene.listed().await, [one, two]);
    let index = scene.index().unwrap();
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    assert_eq!(index["manifests"][0]["artifactType"], "application/vnd.test");
}

#[tokio::test]
async fn attaching_again_writes_nothing() {
    for referrers_api in [true, false] {
        let scene = Scene::new(referrers_api).await;
        let first = scene.attach(b"one").await.unwrap();
        let writes = scene.registry.writes_seen().len();
        assert_eq!(scene.attach(b"one").await.unwrap(), first);
        assert_eq!(
            scene.registry.writes_seen().len(),
            writes,
            "referrers API: {referrers_api}"
        );
    }
}

#[tokio::test]
async fn an_entry_that_another_writer_lost_is_written_again() {
    let scene = Scene::new(false).await;
    scene.registry.state().lose_index_puts = 2;
    let digest = scene.attach(b"one").await.unwrap();
    assert_eq!(scene.listed().await, [digest]);
    scene.registry.state().lose_index_puts = 100;
    assert!(
        matches!(scene.attach(b"two").await, Err(RegistryError::Protocol { .. })),
        "a list that does not hold is an error"
    );
}

#[tokio::test]
async fn a_list_that_can_not_be_read_is_not_overwritten() {
    let scene = Scene::new(false).await;
    scene.attach(b"one").await.unwrap();
    let before = scene.index();
    let writes = scene.registry.writes_seen().len();
    scene.registry.state().next_answers = vec![StatusCode::FORBIDDEN; 20];
    assert!(scene.attach(b"two").await.is_err());
    assert_eq!((scene.index(), scene.registry.writes_seen().len()), (before, writes));
}

#[tokio::test]
async fn a_tag_that_is_no_list_is_left_alone() {
    let scene = Scene::new(false).await;
    scene
        .registry
        .state()
        .repo("team/app")
        .tags
        .insert(scene.index_tag(), scene.image.digest.to_string());
    assert!(matches!(
        scene.attach(b"one").await,
        Err(RegistryError::Protocol { .. })
    ));
    assert_eq!(
        scene.registry.tag("team/app", &scene.index_tag()),
        Some(scene.image.digest.to_string())
    );
}
