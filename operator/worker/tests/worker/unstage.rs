//! `unstage`: an expired image goes with everything that belongs to it, and nothing else does.

use axum::http::StatusCode;
use imagefactory_core::step::{Fate, MAX_REPORT, Report, StagedEntry, StagedName, StepFailure, UnstageStep, Unstaged};
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
            image: StagedName::Digest(digest.to_owned()),
        }
    }

    fn tagged(&self, repository: &str, tag: &str) -> StagedEntry {
        StagedEntry {
            image: StagedName::Tag(tag.to_owned()),
            ..self.entry(repository, "")
        }
    }

    async fn remove(&self, images: Vec<StagedEntry>) -> Result<Unstaged, StepFailure> {
        self.remove_within(None, images).await
    }

    async fn remove_within(
        &self,
        budget_seconds: Option<u64>,
        images: Vec<StagedEntry>,
    ) -> Result<Unstaged, StepFailure> {
        let step = UnstageStep {
            credential_prefix: format!("{}/staging/acme", self.registry.host),
            images,
            budget_seconds,
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

fn reason(done: &Unstaged) -> &str {
    done.failure.as_ref().map_or("", |failure| &failure.reason)
}

#[tokio::test]
async fn an_index_goes_with_its_platforms_its_evidence_and_its_tags_and_other_builds_stay() {
    for referrers_api in [true, false] {
        let scene = Scene::new(Options {
            referrers_api,
            ..Options::default()
        })
        .await;
        assert_eq!(scene.remove_top().await.unwrap().images, [Fate::Removed]);
        assert_eq!(scene.left(REPOSITORY), (0, 0), "referrers API: {referrers_api}");
        assert_eq!(scene.left(OTHER), (1, 0));
        assert_eq!(
            scene.remove_top().await.unwrap().images,
            [Fate::Absent],
            "once more is as good"
        );
    }
}

#[tokio::test]
async fn what_an_attempt_has_tagged_goes_and_an_attempt_that_never_pushed_is_as_good_as_gone() {
    let scene = Scene::new(Options::default()).await;
    let attempts = || {
        vec![
            scene.tagged("staging/acme/builds/web/never", "attempt-1"),
            scene.tagged(REPOSITORY, "attempt-2"),
            scene.tagged(REPOSITORY, "attempt-1"),
        ]
    };
    let done = scene.remove(attempts()).await.unwrap();
    assert_eq!(done.images, [Fate::Absent, Fate::Absent, Fate::Removed]);
    assert_eq!((scene.left(REPOSITORY), scene.left(OTHER)), ((0, 0), (1, 0)));
    assert_eq!(scene.remove(attempts()).await.unwrap().images, [Fate::Absent; 3]);
}

#[tokio::test]
async fn a_registry_that_removes_nothing_is_no_failure_and_is_told() {
    let scene = Scene::new(Options {
        no_delete: true,
        ..Options::default()
    })
    .await;
    assert_eq!(scene.remove_top().await.unwrap().images, [Fate::Unsupported]);
}

#[tokio::test]
async fn what_is_no_staged_image_of_a_build_of_the_tenant_is_refused_before_a_request_is_sent() {
    let scene = Scene::new(Options::default()).await;
    let digest = scene.top.as_str();
    for entry in [
        scene.entry("staging/acme/cache/web", digest),
        scene.entry("staging/globex/builds/web/uid", digest),
        scene.entry("staging/acme/builds/../../globex/builds/web/uid", digest),
        scene.entry("images/acme/web", digest),
        scene.entry(REPOSITORY, "attempt-1"),
        scene.tagged("staging/acme/cache/web", "attempt-1"),
        scene.tagged(REPOSITORY, "latest"),
        scene.tagged(REPOSITORY, "attempt-1/../../other/manifests/attempt-1"),
        scene.tagged(REPOSITORY, digest),
    ] {
        let done = scene.remove(vec![entry.clone()]).await.unwrap();
        assert_eq!(done.images, [Fate::Failed], "{entry:?}");
        assert!(scene.registry.seen().is_empty(), "{entry:?}: {done:?}");
    }
    assert_eq!(scene.left(REPOSITORY).1, 2);
}

#[tokio::test]
async fn one_that_fails_does_not_keep_others_and_it_is_told_of_each_what_became_of_it() {
    let scene = Scene::new(Options::default()).await;
    let images = vec![
        scene.entry("staging/acme/cache/web", scene.top.as_str()),
        scene.entry(REPOSITORY, scene.top.as_str()),
        scene.entry(REPOSITORY, scene.top.as_str()),
    ];
    let done = scene.remove(images).await.unwrap();
    assert_eq!(done.images, [Fate::Failed, Fate::Removed, Fate::Absent]);
    assert_eq!(reason(&done), "InvalidStep");
    assert_eq!(scene.left(REPOSITORY), (0, 0));
}

#[tokio::test]
async fn a_registry_that_hangs_does_not_keep_it_from_telling_in_time_what_was_removed() {
    let scene = Scene::new(Options::default()).await;
    let hanging = "staging/acme/builds/web/hanging";
    scene.registry.state().hangs_at = Some("web/hanging".to_owned());
    let images = vec![
        scene.tagged(REPOSITORY, "attempt-1"),
        scene.tagged(hanging, "attempt-1"),
        scene.tagged(OTHER, "attempt-1"),
    ];
    let done = scene.remove_within(Some(5), images).await.unwrap();
    assert_eq!(done.images, [Fate::Removed, Fate::Failed, Fate::Failed]);
    assert_eq!(reason(&done), "RegistrySlow");
    let seen = scene.registry.seen();
    assert!(seen.iter().any(|seen| seen.path.contains(hanging)));
    assert!(
        !seen.iter().any(|seen| seen.path.contains(OTHER)),
        "there is no time to try it"
    );
}

#[tokio::test]
async fn an_image_that_is_refused_is_told_and_stays() {
    let scene = Scene::new(Options::default()).await;
    scene.registry.state().next_answers = vec![StatusCode::FORBIDDEN; 8];
    let done = scene.remove_top().await.unwrap();
    assert_eq!(
        (done.images.as_slice(), reason(&done)),
        ([Fate::Failed].as_slice(), "RegistryUnauthorized")
    );
    assert_eq!(scene.left(REPOSITORY).1, 2);
}

#[tokio::test]
async fn the_report_of_a_whole_job_fits_whatever_it_names() {
    let scene = Scene::new(Options::default()).await;
    let long = scene.entry(&"\u{1F4A5}\"".repeat(400), "");
    let mut done = scene.remove(vec![long]).await.unwrap();
    done.images = vec![Fate::Unsupported; 40];
    let text = Report::Done(done.clone()).encode();
    assert!(text.len() <= MAX_REPORT, "{}", text.len());
    assert_eq!(Report::decode(&text), Some(Report::Done(done)));
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
    assert_eq!(scene.remove_top().await.unwrap().images, [Fate::Removed]);
    assert!(service.seen().iter().any(|seen| seen.query.contains("pull%2Cdelete")));
}
