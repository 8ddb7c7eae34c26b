//! `unstage`: an expired image goes with everything that belongs to it or to one of its platforms, and nothing else does.

use axum::http::StatusCode;
use imagefactory_core::step::{Fate, MAX_REPORT, Report, StagedEntry, StagedName, StepFailure, UnstageStep, Unstaged};
use imagefactory_worker::registry::Digest;
use imagefactory_worker::unstage;
use serde_json::json;

use super::support::state::State;
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

/// An index of two platforms. The index and each image have two referrers, listed by tag where the registry has no API.
fn stage(state: &mut State, listed_by_tag: bool) -> Digest {
    let images = ["one", "two"].map(|name| {
        let text = json!({"schemaVersion": 2, "mediaType": MANIFEST, "annotations": {"name": name}});
        let image = state.put_manifest(REPOSITORY, MANIFEST, &text.to_string());
        refer(state, &image, listed_by_tag);
        image
    });
    let top = put_index(state, "attempt-1", &images);
    refer(state, &top, listed_by_tag);
    top
}

fn refer(state: &mut State, subject: &Digest, listed_by_tag: bool) {
    let referrers = ["sbom", "report"].map(|name| {
        let text = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": name, "subject": {"digest": subject.as_str()},
        });
        state.put_manifest(REPOSITORY, MANIFEST, &text.to_string())
    });
    if listed_by_tag {
        put_index(state, &subject.referrers_tag(), &referrers);
    }
}

fn put_index(state: &mut State, tag: &str, named: &[Digest]) -> Digest {
    let entry = |digest: &Digest| json!({"mediaType": MANIFEST, "digest": digest.as_str(), "size": 1});
    let entries: Vec<_> = named.iter().map(entry).collect();
    let text = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string();
    let index = state.put_manifest(REPOSITORY, INDEX, &text);
    let tags = &mut state.repo(REPOSITORY).tags;
    tags.insert(tag.to_owned(), index.to_string());
    index
}

impl Scene {
    /// What [`stage`] puts there, and another build's image.
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
            let top = stage(&mut state, listed_by_tag);
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
async fn an_index_goes_with_its_platforms_the_evidence_of_each_and_its_tags_and_other_builds_stay() {
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
async fn wherever_it_breaks_off_what_is_left_is_found_and_goes_the_next_time() {
    for (referrers_api, writes) in [(true, 9), (false, 12)] {
        for done in 0..writes {
            let scene = Scene::new(Options {
                referrers_api,
                ..Options::default()
            })
            .await;
            let attempt = || vec![scene.tagged(REPOSITORY, "attempt-1")];
            scene.registry.state().writes_left = Some(done);
            assert_eq!(scene.remove(attempt()).await.unwrap().images, [Fate::Failed]);
            assert_eq!(scene.left(REPOSITORY).0, writes - done);
            scene.registry.state().writes_left = None;
            assert_eq!(scene.remove(attempt()).await.unwrap().images, [Fate::Removed]);
            assert_eq!(scene.left(REPOSITORY), (0, 0), "{done} of {writes} were gone");
        }
    }
}

#[tokio::test]
async fn a_registry_that_removes_nothing_that_an_index_names_is_left_with_nothing_either() {
    for referrers_api in [true, false] {
        let scene = Scene::new(Options {
            referrers_api,
            holds_parts: true,
            ..Options::default()
        })
        .await;
        assert_eq!(scene.remove_top().await.unwrap().images, [Fate::Removed]);
        assert_eq!(scene.left(REPOSITORY), (0, 0), "referrers API: {referrers_api}");
    }
}

#[tokio::test]
async fn what_two_attempts_share_goes_with_the_first_and_all_the_rest_with_the_second() {
    let scene = Scene::new(Options::default()).await;
    {
        let mut state = scene.registry.state();
        let one = json!({"schemaVersion": 2, "mediaType": MANIFEST, "annotations": {"name": "one"}});
        let own = json!({"schemaVersion": 2, "mediaType": MANIFEST, "annotations": {"name": "own"}});
        let images = [one, own].map(|text| state.put_manifest(REPOSITORY, MANIFEST, &text.to_string()));
        refer(&mut state, &images[1], true);
        put_index(&mut state, "attempt-2", &images);
    }
    let attempts = ["attempt-1", "attempt-2"].map(|tag| scene.tagged(REPOSITORY, tag));
    let done = scene.remove(attempts[..1].to_vec()).await.unwrap();
    assert_eq!(done.images, [Fate::Removed]);
    assert_eq!(
        scene.left(REPOSITORY),
        (5, 2),
        "the second, its own image and that one's evidence"
    );
    let done = scene.remove(attempts.to_vec()).await.unwrap();
    assert_eq!(done.images, [Fate::Absent, Fate::Removed]);
    assert_eq!(scene.left(REPOSITORY), (0, 0));
}

#[tokio::test]
async fn a_list_that_is_longer_than_any_build_makes_it_is_not_followed() {
    let crowd = |count: u32| {
        let digests = (0..count).map(|number| Digest::of(&number.to_be_bytes()));
        digests.collect::<Vec<_>>()
    };
    for (of_platforms, count) in [(true, 65), (false, 1001)] {
        let scene = Scene::new(Options::default()).await;
        let tag = match of_platforms {
            true => "attempt-1".to_owned(),
            false => scene.top.referrers_tag(),
        };
        put_index(&mut scene.registry.state(), &tag, &crowd(count));
        let done = scene.remove(vec![scene.tagged(REPOSITORY, "attempt-1")]).await.unwrap();
        assert_eq!(done.images, [Fate::Failed]);
        assert_eq!(reason(&done), "RegistryAnswerTooLarge");
        assert!(scene.registry.tag(REPOSITORY, "attempt-1").is_some());
        let asked = scene.registry.writes_seen().len();
        assert!(asked < 10, "{asked} were removed");
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
    assert_eq!(scene.left(REPOSITORY), (12, 4));
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
    assert_eq!(scene.left(REPOSITORY), (12, 4));
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
