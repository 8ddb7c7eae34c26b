//! `publish`: the image with its evidence goes to its place, and gets its name last.

use std::collections::BTreeMap;

use axum::body::Bytes;
use imagefactory_core::step::{Evidence, PublishStep, Published, PushStep, StepFailure};
use imagefactory_crds::build::FailureClass;
use imagefactory_worker::manifest::Descriptor;
use imagefactory_worker::registry::{Artifact, Blob, Digest, Payload, Subject};
use imagefactory_worker::{publish, push};
use serde_json::{Value, json};

use super::support::state::State;
use super::support::{Auth, FakeRegistry, Options, Pod, image_config, repository};

const STAGING: &str = "staging/acme/shop/web";
const OUTPUT: &str = "images/acme/shop";
const TAG: &str = "web";

/// A staged image with SBOM and report, and a pod that publishes it.
struct Scene {
    staging: FakeRegistry,
    output: FakeRegistry,
    pod: Pod,
    step: PublishStep,
    evidence: Vec<Evidence>,
}

impl Scene {
    async fn new() -> Self {
        Self::with(false, true).await
    }

    async fn with(index: bool, referrers_api: bool) -> Self {
        let staging = FakeRegistry::start(Options {
            auth: Auth::Basic("staging", "s"),
            referrers_api,
            ..Options::default()
        })
        .await;
        let output = FakeRegistry::start(Options {
            auth: Auth::Basic("output", "o"),
            referrers_api,
            ..Options::default()
        })
        .await;
        let pod = Pod::trusting(&[&staging, &output]);
        pod.credential("credentials/staging", &staging.host, "staging", "s");
        pod.credential("credentials/output", &output.host, "output", "o");
        let mut scene = Self {
            staging,
            output,
            pod,
            step: empty_step(),
            evidence: Vec::new(),
        };
        scene.stage(index).await;
        scene
    }

    /// Pushes an image to staging and attaches evidence, as the steps before do.
    async fn stage(&mut self, index: bool) {
        if index {
            layout_index(&self.pod);
        } else {
            self.pod.layout_image(&[b"one", b"two"]);
        }
        let name = format!("{}/{STAGING}", self.staging.host);
        let prefix = format!("{}/staging/acme", self.staging.host);
        let step = PushStep {
            repository: name.clone(),
            credential_prefix: prefix.clone(),
            tag: "a".to_owned(),
            max_bytes: 1 << 20,
            platforms: Vec::new(),
            cache: None,
            deadline: None,
        };
        let pushed = push::run(&step, &self.pod.places, &self.pod.roots(), |_| ())
            .await
            .unwrap();
        let images: Vec<_> = match pushed.platforms.as_slice() {
            [] => vec![(pushed.digest.clone(), None)],
            all => all
                .iter()
                .map(|image| (image.digest.0.clone(), Some(image.platform.clone())))
                .collect(),
        };
        for (subject, platform) in images {
            for content in ["sbom", "report"] {
                let digest = self.attach(&name, &subject, content).await.to_string();
                self.evidence.push(Evidence {
                    subject: subject.clone(),
                    digest,
                    platform: platform.clone(),
                });
            }
        }
        self.step = PublishStep {
            repository: name,
            digest: pushed.digest,
            staging_prefix: prefix,
            image: format!("{}/{OUTPUT}:{TAG}", self.output.host),
            output_prefixes: vec![format!("{}/images/acme", self.output.host)],
            referrers: self.evidence.clone(),
        };
        self.staging.state().seen.clear();
    }

    async fn attach(&self, name: &str, digest: &str, content: &str) -> Digest {
        let client = self.pod.client(self.pod.credentials("credentials/staging"));
        let (at, digest) = (repository(name), Digest::parse(digest).unwrap());
        let image = client.pull_manifest(&at, &digest).await.unwrap();
        let descriptor = Descriptor {
            media_type: image.media_type,
            digest,
            size: image.bytes.len() as u64,
        };
        let (bytes, hash) = (
            Bytes::copy_from_slice(content.as_bytes()),
            Digest::of(content.as_bytes()),
        );
        let payload = Payload {
            media_type: "text/plain",
            title: "x",
            blob: Blob {
                digest: &hash,
                size: bytes.len() as u64,
            },
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

    fn evidence_of_top(&self, digest: &str) -> Evidence {
        Evidence {
            subject: self.step.digest.clone(),
            digest: digest.to_owned(),
            platform: None,
        }
    }

    async fn publish(&self) -> Result<Published, StepFailure> {
        publish::run(&self.step, &self.pod.places, &self.pod.roots()).await
    }

    async fn assert_published(&self) {
        assert_eq!(self.output.tag(OUTPUT, TAG).as_deref(), Some(self.step.digest.as_str()));
        let client = self.pod.client(self.pod.credentials("credentials/output"));
        let at = repository(&format!("{}/{OUTPUT}", self.output.host));
        for Evidence { subject, digest, .. } in &self.evidence {
            let listed = client.referrers(&at, &Digest::parse(subject).unwrap()).await.unwrap();
            assert!(listed.iter().any(|found| found.as_str() == digest), "{listed:?}");
        }
        let top = Digest::parse(&self.step.digest).unwrap();
        let listed = client.referrers(&at, &top).await.unwrap();
        assert_eq!(listed.len(), self.evidence.len(), "the published digest has all of it");
        for digest in &listed {
            let manifest = client.pull_manifest(&at, digest).await.unwrap();
            let manifest: Value = serde_json::from_slice(&manifest.bytes).unwrap();
            assert_eq!(manifest["subject"]["digest"], self.step.digest);
            let platform = manifest["annotations"][publish::PLATFORM_ANNOTATION].as_str();
            let same = |known: &&Evidence| known.platform.as_deref() == platform;
            assert_eq!(self.evidence.iter().filter(same).count(), 2, "{manifest}");
        }
        for (digest, content) in &self.staging.state().repo(STAGING).blobs {
            assert_eq!(self.output.state().repo(OUTPUT).blobs.get(digest), Some(content));
        }
    }
}

fn empty_step() -> PublishStep {
    PublishStep {
        repository: String::new(),
        digest: String::new(),
        staging_prefix: String::new(),
        image: String::new(),
        output_prefixes: Vec::new(),
        referrers: Vec::new(),
    }
}

pub(super) fn layout_index(pod: &Pod) {
    let children = [(b"one", "amd64"), (b"two", "arm64")].map(|(content, architecture)| {
        let layer = pod.layout_blob(content, "application/vnd.oci.image.layer.v1.tar");
        let config = pod.layout_blob(
            image_config(&[content]).replace("amd64", architecture).as_bytes(),
            "application/vnd.oci.image.config.v1+json",
        );
        let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
        pod.layout_blob(
            manifest.to_string().as_bytes(),
            "application/vnd.oci.image.manifest.v1+json",
        )
    });
    let index = json!({ "schemaVersion": 2, "manifests": children }).to_string();
    let index = pod.layout_blob(index.as_bytes(), "application/vnd.oci.image.index.v1+json");
    pod.write("layout/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    pod.write(
        "layout/index.json",
        json!({ "schemaVersion": 2, "manifests": [index] }).to_string(),
    );
}

#[tokio::test]
async fn an_image_is_published_with_its_evidence() {
    for (index, referrers_api) in [(false, true), (false, false), (true, true), (true, false)] {
        let scene = Scene::with(index, referrers_api).await;
        assert_eq!(scene.publish().await.unwrap().digest, scene.step.digest);
        scene.assert_published().await;
    }
}

#[tokio::test]
async fn the_tag_is_the_last_thing_that_is_written() {
    let scene = Scene::with(true, false).await;
    scene.publish().await.unwrap();
    let writes = scene.output.writes_seen();
    let last = writes.last().unwrap();
    assert!(last.path.ends_with(&format!("/manifests/{TAG}")), "{last:?}");
    assert_eq!(writes.iter().filter(|seen| seen.path == last.path).count(), 1);
    assert!(scene.staging.writes_seen().is_empty(), "staging is only read");
}

#[tokio::test]
async fn publishing_again_writes_nothing() {
    let scene = Scene::with(true, false).await;
    scene.publish().await.unwrap();
    let before = scene.output.writes_seen().len();
    scene.publish().await.unwrap();
    assert_eq!(scene.output.writes_seen().len(), before);
}

#[tokio::test]
async fn a_publisher_that_was_killed_anywhere_comes_to_the_same_end() {
    for referrers_api in [true, false] {
        let scene = Scene::with(true, referrers_api).await;
        for killed_after in 0.. {
            *scene.output.state() = State::default();
            scene.output.state().writes_left = Some(killed_after);
            let finished = scene.publish().await.is_ok();
            let set = scene.output.tag(OUTPUT, TAG).is_some();
            assert_eq!(set, finished, "a tag without the rest after {killed_after} writes");
            scene.output.state().writes_left = None;
            scene.publish().await.unwrap();
            scene.assert_published().await;
            if finished {
                assert!(killed_after > 10, "the test has killed nothing");
                break;
            }
        }
    }
}

#[tokio::test]
async fn without_its_evidence_nothing_is_written() {
    let mut scene = Scene::new().await;
    let other = Digest::of(b"nowhere");
    scene.step.referrers.push(scene.evidence_of_top(other.as_str()));
    let failure = scene.publish().await.unwrap_err();
    assert_eq!(
        (failure.class, failure.reason.as_str()),
        (FailureClass::Publish, "EvidenceMissing")
    );
    assert!(failure.message.contains(other.as_str()));
    // The staged image itself is there and refers to nothing: it is no evidence.
    scene.step.referrers = vec![scene.evidence_of_top(&scene.step.digest)];
    assert_eq!(scene.publish().await.unwrap_err().reason, "EvidenceMissing");
    assert!(scene.output.writes_seen().is_empty());
}

#[tokio::test]
async fn an_index_of_which_one_image_has_no_evidence_is_not_published() {
    let mut scene = Scene::with(true, true).await;
    let first = scene.evidence[0].subject.clone();
    scene.step.referrers.retain(|evidence| evidence.subject == first);
    let failure = scene.publish().await.unwrap_err();
    assert_eq!(
        (failure.class, failure.reason.as_str()),
        (FailureClass::Publish, "EvidenceMissing")
    );
    assert!(scene.output.writes_seen().is_empty());
}

#[tokio::test]
async fn evidence_of_another_image_is_no_evidence() {
    let mut scene = Scene::new().await;
    let other = scene.pod.layout_image(&[b"three"]);
    let step = PushStep {
        repository: scene.step.repository.clone(),
        credential_prefix: scene.step.staging_prefix.clone(),
        tag: "b".to_owned(),
        max_bytes: 1 << 20,
        platforms: Vec::new(),
        cache: None,
        deadline: None,
    };
    push::run(&step, &scene.pod.places, &scene.pod.roots(), |_| ())
        .await
        .unwrap();
    let foreign = scene.attach(&scene.step.repository, other.as_str(), "report").await;
    scene.step.referrers = vec![scene.evidence_of_top(foreign.as_str())];
    let failure = scene.publish().await.unwrap_err();
    assert_eq!(failure.reason, "EvidenceMissing");
    assert!(scene.output.tag(OUTPUT, TAG).is_none());
}

#[tokio::test]
async fn an_output_outside_the_prefixes_gets_no_request_and_neither_does_staging() {
    let mut scene = Scene::new().await;
    let host = scene.output.host.clone();
    for image in [
        format!("{host}/images/acme-two/shop:web"),
        format!("{host}/images:web"),
        "docker.io/acme/shop:web".to_owned(),
    ] {
        scene.step.image = image;
        let failure = scene.publish().await.unwrap_err();
        assert_eq!(
            (failure.class, failure.reason.as_str()),
            (FailureClass::Publish, "RepositoryNotAllowed")
        );
    }
    scene.step.image = format!("{host}/{OUTPUT}@{}", scene.step.digest);
    assert_eq!(scene.publish().await.unwrap_err().reason, "InvalidStep");
    assert!(scene.output.seen().is_empty() && scene.staging.seen().is_empty());
}

#[tokio::test]
async fn a_tag_that_stands_for_the_evidence_of_an_image_is_not_set_and_nothing_is_sent() {
    let mut scene = Scene::new().await;
    let (host, hex) = (scene.output.host.clone(), "a".repeat(64));
    for tag in [
        format!("sha256-{hex}"),
        format!("sha256-{hex}.sig"),
        "sha256-".to_owned(),
    ] {
        scene.step.image = format!("{host}/{OUTPUT}:{tag}");
        let failure = scene.publish().await.unwrap_err();
        assert_eq!(
            (failure.class, failure.reason.as_str()),
            (FailureClass::Publish, "OutputNotAllowed"),
            "{tag}"
        );
        assert!(failure.message.contains("sha256-"), "{}", failure.message);
    }
    assert!(scene.output.seen().is_empty() && scene.staging.seen().is_empty());
    scene.step.image = format!("{host}/{OUTPUT}:sha256");
    scene.publish().await.unwrap();
}

#[tokio::test]
async fn staging_outside_its_prefix_is_not_read() {
    let mut scene = Scene::new().await;
    scene.step.repository = format!("{}/staging/other/web", scene.staging.host);
    assert_eq!(scene.publish().await.unwrap_err().reason, "RepositoryNotAllowed");
    assert!(scene.staging.seen().is_empty() && scene.output.writes_seen().is_empty());
}

#[tokio::test]
async fn a_tag_that_does_not_hold_is_told() {
    let scene = Scene::new().await;
    scene.output.state().overwrite_tag = Some(TAG.to_owned());
    let failure = scene.publish().await.unwrap_err();
    assert_eq!(failure.reason, "ReadBackFailed");
}

#[tokio::test]
async fn staged_bytes_that_changed_are_not_published() {
    let scene = Scene::new().await;
    scene.staging.state().served_instead = Some(Bytes::from_static(b"changed"));
    let failure = scene.publish().await.unwrap_err();
    assert_eq!(
        (failure.class, failure.reason.as_str()),
        (FailureClass::Publish, "BlobChanged")
    );
    assert!(scene.output.tag(OUTPUT, TAG).is_none());
    assert!(scene.output.state().repo(OUTPUT).manifests.is_empty());
}

#[tokio::test]
async fn each_credential_stays_at_its_end() {
    let scene = Scene::new().await;
    scene.publish().await.unwrap();
    let (staging, output) = (
        super::support::registry::basic("staging", "s"),
        super::support::registry::basic("output", "o"),
    );
    assert!(scene.staging.secrets_seen().iter().all(|secret| *secret == staging));
    assert!(scene.output.secrets_seen().iter().all(|secret| *secret == output));
}

/// Staging and output at one host, with one user for both, or with a user for each.
async fn one_host(no_mount: bool, same_user: bool) -> Scene {
    let registry = FakeRegistry::start(Options {
        no_mount,
        ..Options::default()
    })
    .await;
    let pod = Pod::trusting(&[&registry]);
    pod.credential("credentials/staging", &registry.host, "one", "o");
    pod.credential(
        "credentials/output",
        &registry.host,
        if same_user { "one" } else { "two" },
        "o",
    );
    let other = FakeRegistry::start(Options::default()).await;
    let mut scene = Scene {
        staging: registry,
        output: other,
        pod,
        step: empty_step(),
        evidence: Vec::new(),
    };
    scene.stage(false).await;
    scene.step.image = format!("{}/{OUTPUT}:{TAG}", scene.staging.host);
    scene.step.output_prefixes = vec![format!("{}/images/acme", scene.staging.host)];
    scene
}

fn mounts(scene: &Scene) -> usize {
    scene
        .staging
        .seen()
        .iter()
        .filter(|seen| seen.query.contains("mount="))
        .count()
}

#[tokio::test]
async fn at_one_host_blobs_are_mounted_and_not_sent() {
    let scene = one_host(false, true).await;
    scene.publish().await.unwrap();
    assert_eq!(
        scene.staging.tag(OUTPUT, TAG).as_deref(),
        Some(scene.step.digest.as_str())
    );
    let downloads = scene
        .staging
        .seen()
        .iter()
        .filter(|seen| seen.method == "GET" && seen.path.contains("/blobs/"))
        .count();
    assert_eq!(
        (mounts(&scene), downloads),
        (6, 0),
        "config, two layers, the empty config, SBOM and report"
    );
}

#[tokio::test]
async fn where_a_registry_does_not_mount_blobs_are_copied() {
    let scene = one_host(true, true).await;
    scene.publish().await.unwrap();
    assert_eq!(
        scene.staging.tag(OUTPUT, TAG).as_deref(),
        Some(scene.step.digest.as_str())
    );
    assert_eq!(mounts(&scene), 6);
}

#[tokio::test]
async fn a_credential_for_the_output_alone_is_not_used_to_read_staging() {
    let scene = one_host(false, false).await;
    scene.publish().await.unwrap();
    assert_eq!(
        scene.staging.tag(OUTPUT, TAG).as_deref(),
        Some(scene.step.digest.as_str())
    );
    assert_eq!(mounts(&scene), 0);
}
