//! Manifests and blobs on their way: checked, bounded, tried again.

use axum::body::Bytes;
use axum::http::StatusCode;
use imagefactory_worker::registry::{
    Blob, BodyFault, Credentials, Digest, Found, Reference, Registry, RegistryError, chain,
};

use super::credentials::mirror_of;
use super::support::{FakeRegistry, Options, Pod, repository};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

async fn anonymous() -> (FakeRegistry, Pod, Registry) {
    let registry = FakeRegistry::start(Options::default()).await;
    let pod = Pod::trusting(&[&registry]);
    let client = pod.client(Credentials::none());
    (registry, pod, client)
}

async fn writable() -> (FakeRegistry, Pod, Registry) {
    let registry = FakeRegistry::basic("user", "secret").await;
    let pod = Pod::trusting(&[&registry]);
    pod.credential("secret", &registry.host, "user", "secret");
    let client = pod.client(pod.credentials("secret"));
    (registry, pod, client)
}

fn put(registry: &FakeRegistry, repo: &str, tag: &str, text: &str) -> Digest {
    let mut state = registry.state();
    let digest = state.put_manifest(repo, MANIFEST, text);
    state.repo(repo).tags.insert(tag.to_owned(), digest.to_string());
    digest
}

#[tokio::test]
async fn a_tag_is_resolved_to_the_digest_of_the_bytes() {
    let (registry, _pod, client) = anonymous().await;
    let digest = put(&registry, "team/app", "1", "{\"a\":1}");
    // What the registry says of its bytes does not count.
    let lie = Digest::of(b"other").to_string();
    let entry = registry
        .state()
        .repo("team/app")
        .manifests
        .remove(digest.as_str())
        .unwrap();
    registry.state().repo("team/app").manifests.insert(lie.clone(), entry);
    registry
        .state()
        .repo("team/app")
        .tags
        .insert("1".to_owned(), lie.clone());
    let name = format!("{}/team/app", registry.host);
    assert_eq!(
        client
            .resolve(&Reference::parse(&format!("{name}:1")).unwrap())
            .await
            .unwrap()
            .digest,
        digest
    );
    let pinned = client
        .resolve(&Reference::parse(&format!("{name}@{lie}")).unwrap())
        .await;
    assert!(matches!(pinned, Err(RegistryError::DigestMismatch { actual, .. }) if actual == digest));
    let pulled = client
        .pull_manifest(&repository(&name), &Digest::parse(&lie).unwrap())
        .await;
    assert!(matches!(pulled, Err(RegistryError::DigestMismatch { .. })));
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let (registry, _pod, client) = anonymous().await;
    let missing = client
        .resolve(&Reference::parse(&format!("{}/team/app:9", registry.host)).unwrap())
        .await
        .unwrap_err();
    assert!(matches!(missing, RegistryError::NotFound { .. }));
    assert!(chain(&missing).contains("team/app has no 9"), "{}", chain(&missing));
}

#[tokio::test]
async fn manifests_and_small_blobs_are_bounded() {
    let (registry, _pod, client) = anonymous().await;
    let digest = put(&registry, "team/app", "1", &" ".repeat((4 << 20) + 1));
    let name = repository(&format!("{}/team/app", registry.host));
    assert!(matches!(
        client.pull_manifest(&name, &digest).await,
        Err(RegistryError::TooLarge { .. })
    ));
    let blob = registry.state().put_blob("team/app", &[7; 100]);
    assert!(client.read_blob(&name, &blob, 100).await.is_ok());
    assert!(matches!(
        client.read_blob(&name, &blob, 99).await,
        Err(RegistryError::TooLarge { .. })
    ));
}

#[tokio::test]
async fn a_manifest_of_another_kind_is_refused() {
    let (registry, _pod, client) = anonymous().await;
    let digest = registry.state().put_manifest(
        "team/app",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "{}",
    );
    let refused = client
        .pull_manifest(&repository(&format!("{}/team/app", registry.host)), &digest)
        .await;
    assert!(matches!(refused, Err(RegistryError::Protocol { .. })));
}

#[tokio::test]
async fn passing_failures_are_tried_again_and_lasting_ones_end() {
    let (registry, _pod, client) = anonymous().await;
    put(&registry, "team/app", "1", "{}");
    let name = Reference::parse(&format!("{}/team/app:1", registry.host)).unwrap();
    registry.state().next_answers = vec![
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_GATEWAY,
    ];
    assert!(client.resolve(&name).await.is_ok());
    assert_eq!(registry.seen().len(), 4);
    registry.state().next_answers = vec![StatusCode::SERVICE_UNAVAILABLE; 10];
    let failed = client.resolve(&name).await.unwrap_err();
    assert!(matches!(failed, RegistryError::Unavailable { .. }));
    assert!(
        chain(&failed).contains("503 Service Unavailable: TEST: as told"),
        "{}",
        chain(&failed)
    );
    assert_eq!(registry.seen().len(), 8, "four tries and no more");
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_unreachable() {
    let (_registry, _pod, client) = anonymous().await;
    let failed = client
        .resolve(&Reference::parse("localhost:1/team/app:1").unwrap())
        .await
        .unwrap_err();
    assert!(
        matches!(&failed, RegistryError::Unreachable { host, .. } if host == "localhost"),
        "{failed:?}"
    );
}

#[tokio::test]
async fn an_upload_begins_anew_after_a_failure() {
    let (registry, _pod, client) = writable().await;
    let bytes = Bytes::from(vec![7; 3 << 20]);
    let digest = Digest::of(&bytes);
    let to = repository(&format!("{}/team/app", registry.host));
    let blob = Blob {
        digest: &digest,
        size: bytes.len() as u64,
    };
    assert!(!client.has_blob(&to, blob).await.unwrap());
    registry.state().fail_uploads = 2;
    client.upload_blob(&to, blob, &bytes).await.unwrap();
    assert!(client.has_blob(&to, blob).await.unwrap());
    assert!(
        !client.has_blob(&to, Blob { size: 1, ..blob }).await.unwrap(),
        "another size is another blob"
    );
    let uploads = registry
        .writes_seen()
        .iter()
        .filter(|seen| seen.method == "PUT")
        .count();
    assert_eq!(uploads, 3, "the bytes were sent from their beginning each time");
}

#[tokio::test]
async fn bytes_of_another_digest_or_size_never_become_a_blob() {
    let (registry, _pod, client) = writable().await;
    let to = repository(&format!("{}/team/app", registry.host));
    let bytes = Bytes::from_static(b"bytes");
    let (right, wrong) = (Digest::of(b"bytes"), Digest::of(b"other"));
    for (digest, size) in [(&wrong, 5), (&right, 4), (&right, 6)] {
        let refused = client.upload_blob(&to, Blob { digest, size }, &bytes).await;
        assert!(
            matches!(refused, Err(RegistryError::Body { .. })),
            "{digest} {size}: {refused:?}"
        );
    }
    assert!(registry.state().repo("team/app").blobs.is_empty());
}

#[tokio::test]
async fn a_copied_blob_is_checked_on_its_way() {
    let source = FakeRegistry::start(Options::default()).await;
    let (registry, pod, _client) = writable().await;
    let pod_both = Pod::trusting(&[&source, &registry]);
    let (reader, writer) = (
        pod_both.client(Credentials::none()),
        pod_both.client(pod.credentials("secret")),
    );
    let digest = source.state().put_blob("team/app", b"blob");
    let (from, to) = (
        repository(&format!("{}/team/app", source.host)),
        repository(&format!("{}/team/app", registry.host)),
    );
    let blob = Blob {
        digest: &digest,
        size: 4,
    };
    source.state().served_instead = Some(Bytes::from_static(b"BLOB"));
    let refused = writer.copy_blob(&to, blob, &reader, &from).await;
    assert!(
        matches!(
            refused,
            Err(RegistryError::Body {
                fault: BodyFault::Digest { .. },
                ..
            })
        ),
        "{refused:?}"
    );
    assert!(registry.state().repo("team/app").blobs.is_empty());
    source.state().served_instead = None;
    writer.copy_blob(&to, blob, &reader, &from).await.unwrap();
    assert_eq!(registry.state().repo("team/app").blobs.len(), 1);
}

fn found(digest: &Digest, at: Option<String>) -> Found {
    Found {
        digest: digest.clone(),
        at: at.map(|name| repository(&name)),
    }
}

#[tokio::test]
async fn mirrors_are_asked_in_order_and_the_origin_last() {
    let (first, second) = (
        FakeRegistry::start(Options::default()).await,
        FakeRegistry::start(Options::default()).await,
    );
    let origin = FakeRegistry::start(Options::default()).await;
    let pod = Pod::trusting(&[&first, &second, &origin]);
    let mirrors = vec![
        mirror_of(&origin.host, &format!("{}/one", first.host)),
        mirror_of(&origin.host, &second.host),
    ];
    let client = pod
        .client(Credentials::none())
        .with_mirrors(mirrors.clone(), Vec::new());
    let name = Reference::parse(&format!("{}/team/app:1", origin.host)).unwrap();

    let at_origin = put(&origin, "team/app", "1", "{\"from\":\"origin\"}");
    assert_eq!(client.resolve(&name).await.unwrap(), found(&at_origin, None));
    let at_second = put(&second, "team/app", "1", "{\"from\":\"second\"}");
    assert_eq!(
        client.resolve(&name).await.unwrap(),
        found(&at_second, Some(format!("{}/team/app", second.host)))
    );
    let at_first = put(&first, "one/team/app", "1", "{\"from\":\"first\"}");
    assert_eq!(
        client.resolve(&name).await.unwrap(),
        found(&at_first, Some(format!("{}/one/team/app", first.host)))
    );
    assert_eq!(
        (first.seen().len(), second.seen().len(), origin.seen().len()),
        (3, 2, 1)
    );
    let platforms = pod.client(Credentials::none()).with_mirrors(Vec::new(), mirrors);
    assert_eq!(platforms.resolve(&name).await.unwrap(), found(&at_first, None));
    // A digest is read from whoever has it.
    assert_eq!(
        client.pull_manifest(&name.repository, &at_origin).await.unwrap().digest,
        at_origin
    );
}

#[tokio::test]
async fn when_nobody_has_a_base_each_one_s_answer_is_told() {
    let (mirror, _pod, _) = anonymous().await;
    let pod = Pod::trusting(&[&mirror]);
    let client = pod
        .client(Credentials::none())
        .with_mirrors(vec![mirror_of("localhost:1", &mirror.host)], Vec::new());
    let failed = client
        .resolve(&Reference::parse("localhost:1/team/app:1").unwrap())
        .await
        .unwrap_err();
    assert_eq!(
        failed.reason(),
        "RegistryNotFound",
        "an answer tells more than a host that can't be reached"
    );
    let told = chain(&failed);
    assert!(
        told.contains("has no 1") && told.contains("localhost can't be reached"),
        "{told}"
    );
}
