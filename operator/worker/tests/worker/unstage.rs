//! `unstage`: an expired image goes with everything that belongs to it, and nothing else does.

use axum::http::StatusCode;
use imagefactory_core::step::{StagedEntry, StepFailure, UnstageStep, Unstaged};
use imagefactory_worker::registry::Digest;
use imagefactory_worker::unstage;
use serde_json::json;

use super::support::{Auth, FakeRegistry, Options, Pod};

const REPOSITORY: &str = "staging/acme/builds/web/uid";
const OTHER: &str = "staging/acme/builds/web/other";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

struct Scene {
    registry: FakeRegistry,
    pod: Pod,
    top: Digest,
}

impl Scene {
    /// An index of two platforms with one referrer, and another build's image.
    async fn new(options: Options) -> Self {
        let listed_by_tag = !options.referrers_api;
        let registry = FakeRegistry::start(Options {
            auth: Auth::Basic("staging", "s"),
            ..options
        })
        .await;
        let pod = Pod::trusting(&[&registry]);
        pod.credential("credentials/staging", &registry.host, "staging", "s");
        let top = {
            let mut state = registry.state();
            let images = ["one", "two"].map(|name| {
                let text = json!({"schemaVersion": 2, "mediaType": MANIFEST, "annotations": {"name": name}});
                let digest = state.put_manifest(REPOSITORY, MANIFEST, &text.to_string());
                json!({"mediaType": MANIFEST, "digest": digest.as_str(), "size": 1})
            });
            let text = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": images}).to_string();
            let top = state.put_manifest(REPOSITORY, INDEX, &text);
            state
                .repo(REPOSITORY)
                .tags
                .insert("attempt-1".to_owned(), top.to_string());
            let text = json!({"schemaVersion": 2, "mediaType": MANIFEST, "subject": {"digest": top.as_str()}});
            let referrer = state.put_manifest(REPOSITORY, MANIFEST, &text.to_string());
            if listed_by_tag {
                let entry = json!({"mediaType": MANIFEST, "digest": referrer.as_str(), "size": 1});
                let text = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).to_string();
                let index = state.put_manifest(REPOSITORY, INDEX, &text);
                state
                    .repo(REPOSITORY)
                    .tags
                    .insert(top.referrers_tag(), index.to_string());
            }
            state.put_manifest(
                OTHER,
                INDEX,
                &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).to_string(),
            );
            state.seen.clear();
            top
        };
        Self { registry, pod, top }
    }

    fn entry(&self, repository: &str, digest: &str) -> StagedEntry {
        StagedEntry {
            path: "slot/one".to_owned(),
            repository: format!("{}/{repository}", self.registry.host),
            digest: digest.to_owned(),
        }
    }

    async fn remove(&self, images: Vec<StagedEntry>) -> Result<Unstaged, StepFailure> {
        let step = UnstageStep {
            credential_prefix: format!("{}/staging/acme", self.registry.host),
            images,
        };
        unstage::run(&step, &self.pod.places, &self.pod.roots()).await
    }

    async fn remove_top(&self) -> Result<Unstaged, StepFailure> {
        self.remove(vec![self.entry(REPOSITORY, self.top.as_str())]).await
    }

    fn left(&self, repository: &str) -> (usize, usize) {
        let mut state = self.registry.state();
        let repository = state.repo(repository);
        (repository.manifests.len(), repository.tags.len())
    }
}

fn counts(done: Unstaged) -> (u32, u32, u32) {
    (done.removed, done.absent, done.unsupported)
}

#[tokio::test]
async fn an_index_goes_with_its_platforms_its_evidence_and_its_tags_and_other_builds_stay() {
    for referrers_api in [true, false] {
        let scene = Scene::new(Options {
            referrers_api,
            ..Options::default()
        })
        .await;
        assert_eq!(counts(scene.remove_top().await.unwrap()), (1, 0, 0));
        assert_eq!(scene.left(REPOSITORY), (0, 0), "referrers API: {referrers_api}");
        assert_eq!(scene.left(OTHER), (1, 0));
        assert_eq!(
            counts(scene.remove_top().await.unwrap()),
            (0, 1, 0),
            "once more is as good"
        );
    }
}

#[tokio::test]
async fn a_registry_that_removes_nothing_is_no_failure_and_is_told() {
    let scene = Scene::new(Options {
        no_delete: true,
        ..Options::default()
    })
    .await;
    assert_eq!(counts(scene.remove_top().await.unwrap()), (0, 0, 1));
}

#[tokio::test]
async fn what_is_no_staged_image_of_a_build_of_the_tenant_is_refused_before_a_request_is_sent() {
    let scene = Scene::new(Options::default()).await;
    let digest = scene.top.as_str();
    for (repository, digest) in [
        ("staging/acme/cache/web", digest),
        ("staging/globex/builds/web/uid", digest),
        ("staging/acme/builds/../../globex/builds/web/uid", digest),
        ("images/acme/web", digest),
        (REPOSITORY, "attempt-1"),
    ] {
        let failure = scene.remove(vec![scene.entry(repository, digest)]).await.unwrap_err();
        assert!(scene.registry.seen().is_empty(), "{repository}: {failure:?}");
    }
    assert_eq!(scene.left(REPOSITORY).1, 2);
}

#[tokio::test]
async fn one_that_fails_does_not_keep_others_and_the_step_says_so() {
    let scene = Scene::new(Options::default()).await;
    let images = vec![
        scene.entry("staging/acme/cache/web", scene.top.as_str()),
        scene.entry(REPOSITORY, scene.top.as_str()),
    ];
    assert_eq!(scene.remove(images).await.unwrap_err().reason, "InvalidStep");
    assert_eq!(scene.left(REPOSITORY), (0, 0));
}

#[tokio::test]
async fn a_registry_that_refuses_access_is_a_failure() {
    let scene = Scene::new(Options::default()).await;
    scene.registry.state().next_answers = vec![StatusCode::FORBIDDEN; 8];
    assert_eq!(scene.remove_top().await.unwrap_err().reason, "RegistryUnauthorized");
    assert_eq!(scene.left(REPOSITORY).1, 2);
}

#[tokio::test]
async fn the_token_service_is_asked_for_the_right_to_delete() {
    let service = FakeRegistry::start(Options {
        token_user: Some(("staging", "s")),
        ..Options::default()
    })
    .await;
    let registry = FakeRegistry::start(Options {
        auth: Auth::Token(format!("https://{}/token", service.host)),
        ..Options::default()
    })
    .await;
    let pod = Pod::trusting(&[&service, &registry]);
    pod.credential("credentials/staging", &registry.host, "staging", "s");
    let text = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).to_string();
    let top = registry.state().put_manifest(REPOSITORY, INDEX, &text);
    let scene = Scene { registry, pod, top };
    assert_eq!(counts(scene.remove_top().await.unwrap()), (1, 0, 0));
    assert!(service.seen().iter().any(|seen| seen.query.contains("pull%2Cdelete")));
}
