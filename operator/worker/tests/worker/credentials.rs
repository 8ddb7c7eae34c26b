//! No credential goes to a host that it does not name, nor is it used for repositories that it may not be used for.

use axum::body::Bytes;
use imagefactory_worker::registry::{Blob, Credentials, Digest, Reference, Registry, RegistryError, chain};

use super::support::registry::basic;
use super::support::{Auth, FakeRegistry, Options, Pod, QUICK, repository};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn reference(host: &str, rest: &str) -> Reference {
    Reference::parse(&format!("{host}/{rest}")).unwrap()
}

/// A registry with a manifest under `team/app:1`.
async fn stocked(options: Options) -> FakeRegistry {
    let registry = FakeRegistry::start(options).await;
    let digest = registry.state().put_manifest("team/app", MANIFEST, "{}");
    registry
        .state()
        .repo("team/app")
        .tags
        .insert("1".to_owned(), digest.to_string());
    registry
}

#[tokio::test]
async fn a_credential_goes_to_the_host_that_it_names_and_to_no_other() {
    let named = stocked(Options {
        auth: Auth::Basic("user", "secret"),
        ..Options::default()
    })
    .await;
    let other = stocked(Options {
        auth: Auth::Basic("user", "secret"),
        ..Options::default()
    })
    .await;
    let pod = Pod::trusting(&[&named, &other]);
    pod.credential("secret", &named.host, "user", "secret");
    let client = pod.client(pod.credentials("secret"));
    assert!(client.resolve(&reference(&named.host, "team/app:1")).await.is_ok());
    let refused = client.resolve(&reference(&other.host, "team/app:1")).await;
    assert!(matches!(refused, Err(RegistryError::Unauthorized { .. })));
    assert_eq!(named.secrets_seen(), [basic("user", "secret")]);
    assert!(other.secrets_seen().is_empty() && !other.seen().is_empty());
}

#[tokio::test]
async fn for_a_repository_outside_the_prefixes_no_request_is_sent() {
    let registry = stocked(Options {
        auth: Auth::Basic("user", "secret"),
        ..Options::default()
    })
    .await;
    let pod = Pod::trusting(&[&registry]);
    pod.credential("secret", &registry.host, "user", "secret");
    let bound = pod
        .credentials("secret")
        .bound_to(vec![format!("{}/staging/acme", registry.host)]);
    let client = pod.client(bound);
    for outside in ["team/app", "staging/acme-two/app", "staging/app"] {
        let to = repository(&format!("{}/{outside}", registry.host));
        let digest = Digest::of(b"x");
        let reading = client
            .resolve(&reference(&registry.host, &format!("{outside}:1")))
            .await;
        let writing = client
            .upload_blob(
                &to,
                Blob {
                    digest: &digest,
                    size: 1,
                },
                &Bytes::from_static(b"x"),
            )
            .await;
        for result in [
            reading.map(drop),
            writing,
            client.referrers(&to, &digest).await.map(drop),
        ] {
            assert!(
                matches!(result, Err(RegistryError::OutsidePrefix { .. })),
                "{outside}: {result:?}"
            );
        }
    }
    assert!(registry.seen().is_empty());
}

#[tokio::test]
async fn nothing_is_pushed_without_a_credential() {
    let registry = FakeRegistry::start(Options::default()).await;
    let pod = Pod::trusting(&[&registry]);
    let client = pod.client(Credentials::none());
    let digest = Digest::of(b"x");
    let to = repository(&format!("{}/team/app", registry.host));
    let refused = client
        .upload_blob(
            &to,
            Blob {
                digest: &digest,
                size: 1,
            },
            &Bytes::from_static(b"x"),
        )
        .await;
    assert!(matches!(refused, Err(RegistryError::NoCredential { .. })));
    assert!(registry.seen().is_empty());
}

#[tokio::test]
async fn a_password_goes_to_the_token_service_and_only_tokens_to_the_registry() {
    let service = FakeRegistry::start(Options {
        token_user: Some(("user", "secret")),
        ..Options::default()
    })
    .await;
    let auth = Auth::Token(format!("https://{}/token", service.host));
    let registry = stocked(Options {
        auth,
        ..Options::default()
    })
    .await;
    let pod = Pod::trusting(&[&service, &registry]);
    pod.credential("secret", &registry.host, "user", "secret");
    let client = pod.client(pod.credentials("secret"));
    client.resolve(&reference(&registry.host, "team/app:1")).await.unwrap();
    let digest = Digest::of(b"x");
    let to = repository(&format!("{}/team/app", registry.host));
    client
        .upload_blob(
            &to,
            Blob {
                digest: &digest,
                size: 1,
            },
            &Bytes::from_static(b"x"),
        )
        .await
        .unwrap();
    assert!(
        registry
            .secrets_seen()
            .iter()
            .all(|header| header.starts_with("Bearer t0ken."))
    );
    assert_eq!(
        service.secrets_seen(),
        [basic("user", "secret"), basic("user", "secret")]
    );
    let asked: Vec<_> = service.seen().into_iter().map(|seen| seen.query).collect();
    assert_eq!(
        asked,
        [
            "service=test&scope=repository%3Ateam%2Fapp%3Apull",
            "service=test&scope=repository%3Ateam%2Fapp%3Apull%2Cpush"
        ],
        "a token for pulling does not serve for pushing, and each is asked for once"
    );
}

#[tokio::test]
async fn a_token_service_without_tls_gets_nothing() {
    let registry = stocked(Options {
        auth: Auth::Token("http://127.0.0.1:9/token".to_owned()),
        ..Options::default()
    })
    .await;
    let pod = Pod::trusting(&[&registry]);
    pod.credential("secret", &registry.host, "user", "secret");
    let refused = pod
        .client(pod.credentials("secret"))
        .resolve(&reference(&registry.host, "team/app:1"))
        .await
        .unwrap_err();
    assert!(
        chain(&refused).contains("token service without TLS"),
        "{}",
        chain(&refused)
    );
    assert!(registry.secrets_seen().is_empty());
}

#[tokio::test]
async fn a_blob_that_lies_elsewhere_is_fetched_without_the_credential() {
    let elsewhere = FakeRegistry::start(Options::default()).await;
    let registry = FakeRegistry::basic("user", "secret").await;
    let digest = elsewhere.state().put_blob("team/app", b"blob");
    registry.state().put_blob("team/app", b"blob");
    registry.state().blobs_at = Some(format!("https://{}", elsewhere.host));
    let pod = Pod::trusting(&[&registry, &elsewhere]);
    pod.credential("secret", &registry.host, "user", "secret");
    let from = repository(&format!("{}/team/app", registry.host));
    let read = pod
        .client(pod.credentials("secret"))
        .read_blob(&from, &digest, 100)
        .await
        .unwrap();
    assert_eq!(read.as_ref(), b"blob");
    assert!(elsewhere.secrets_seen().is_empty() && elsewhere.seen().len() == 1);
}

#[tokio::test]
async fn where_a_blob_lies_nobody_asks_for_the_credential_in_the_registrys_name() {
    let thief = FakeRegistry::start(Options::default()).await;
    let elsewhere = FakeRegistry::start(Options {
        auth: Auth::Token(format!("https://{}/token", thief.host)),
        ..Options::default()
    })
    .await;
    let registry = FakeRegistry::basic("user", "secret").await;
    let digest = registry.state().put_blob("team/app", b"blob");
    registry.state().blobs_at = Some(format!("https://{}", elsewhere.host));
    let pod = Pod::trusting(&[&registry, &elsewhere, &thief]);
    pod.credential("secret", &registry.host, "user", "secret");
    let from = repository(&format!("{}/team/app", registry.host));
    let client = pod.client(pod.credentials("secret"));
    // The first asks the registry itself, the second knows how it is asked.
    for _ in 0..2 {
        assert!(client.read_blob(&from, &digest, 100).await.is_err());
    }
    assert!(elsewhere.seen().len() >= 2 && elsewhere.secrets_seen().is_empty());
    assert!(thief.seen().is_empty());
}

#[tokio::test]
async fn an_upload_that_goes_on_elsewhere_takes_no_credential_along() {
    let elsewhere = FakeRegistry::start(Options::default()).await;
    let registry = FakeRegistry::basic("user", "secret").await;
    registry.state().uploads_at = Some(format!("https://{}", elsewhere.host));
    let pod = Pod::trusting(&[&registry, &elsewhere]);
    pod.credential("secret", &registry.host, "user", "secret");
    let digest = Digest::of(b"blob");
    let to = repository(&format!("{}/team/app", registry.host));
    let client = pod.client(pod.credentials("secret"));
    client
        .upload_blob(
            &to,
            Blob {
                digest: &digest,
                size: 4,
            },
            &Bytes::from_static(b"blob"),
        )
        .await
        .unwrap();
    assert!(elsewhere.secrets_seen().is_empty());
    assert!(elsewhere.state().repo("team/app").blobs.contains_key(digest.as_str()));
}

#[tokio::test]
async fn an_upload_is_not_sent_without_tls() {
    let registry = FakeRegistry::basic("user", "secret").await;
    registry.state().uploads_at = Some("http://127.0.0.1:9".to_owned());
    let pod = Pod::trusting(&[&registry]);
    pod.credential("secret", &registry.host, "user", "secret");
    let digest = Digest::of(b"blob");
    let to = repository(&format!("{}/team/app", registry.host));
    let client = pod.client(pod.credentials("secret"));
    let refused = client
        .upload_blob(
            &to,
            Blob {
                digest: &digest,
                size: 4,
            },
            &Bytes::from_static(b"blob"),
        )
        .await;
    assert!(matches!(refused, Err(RegistryError::Protocol { .. })));
}

#[tokio::test]
async fn a_mirror_gets_its_own_credential_and_not_the_origin_s() {
    let mirror = FakeRegistry::basic("mirror-user", "mirror-secret").await;
    let digest = mirror.state().put_manifest("hub/library/debian", MANIFEST, "{}");
    mirror
        .state()
        .repo("hub/library/debian")
        .tags
        .insert("12".to_owned(), digest.to_string());
    let pod = Pod::trusting(&[&mirror]);
    pod.credential("hub", "https://index.docker.io/v1/", "hub-user", "hub-secret");
    pod.credential("mirror", &mirror.host, "mirror-user", "mirror-secret");
    let files = ["hub", "mirror"].map(|name| pod.path(name).join(".dockerconfigjson"));
    let client = pod.client(Credentials::load(&files).unwrap()).with_mirrors(
        vec![mirror_of("docker.io", &format!("{}/hub", mirror.host))],
        Vec::new(),
    );
    assert_eq!(
        client
            .resolve(&Reference::parse("debian:12").unwrap())
            .await
            .unwrap()
            .digest,
        digest
    );
    assert_eq!(mirror.secrets_seen(), [basic("mirror-user", "mirror-secret")]);
}

pub(crate) fn mirror_of(registry: &str, mirror: &str) -> imagefactory_crds::build::RegistryMirror {
    imagefactory_crds::build::RegistryMirror {
        registry: registry.into(),
        mirror: mirror.into(),
    }
}

#[tokio::test]
async fn a_refused_password_is_told_without_showing_it() {
    let registry = stocked(Options {
        auth: Auth::Basic("user", "right"),
        ..Options::default()
    })
    .await;
    let pod = Pod::trusting(&[&registry]);
    pod.credential("secret", &registry.host, "user", "hunter2");
    let client = pod.client(pod.credentials("secret"));
    let refused = client
        .resolve(&reference(&registry.host, "team/app:1"))
        .await
        .unwrap_err();
    assert!(matches!(refused, RegistryError::Unauthorized { .. }));
    let shown = format!("{refused:?} {} {} {client:?}", chain(&refused), refused.next());
    assert!(shown.contains("team/app") && !shown.contains("hunter2"), "{shown}");
    assert!(!shown.contains(&basic("user", "hunter2")));
    assert_eq!(
        registry.seen().len(),
        2,
        "once without, once with the password; a refusal is not tried again"
    );
}

#[tokio::test]
async fn a_server_whose_certificate_is_not_trusted_gets_no_request() {
    let registry = stocked(Options::default()).await;
    let other = FakeRegistry::start(Options::default()).await;
    let pod = Pod::trusting(&[&other]);
    let client = Registry::patient(Credentials::none(), &pod.roots(), QUICK).unwrap();
    let refused = client
        .resolve(&reference(&registry.host, "team/app:1"))
        .await
        .unwrap_err();
    assert!(matches!(refused, RegistryError::Unreachable { .. }), "{refused:?}");
    assert!(chain(&refused).contains("certificate"), "{}", chain(&refused));
    assert!(registry.seen().is_empty());
}

#[tokio::test]
async fn a_mount_asks_for_a_token_that_may_read_the_source_too() {
    let service = FakeRegistry::start(Options {
        token_user: Some(("user", "secret")),
        ..Options::default()
    })
    .await;
    let auth = Auth::Token(format!("https://{}/token", service.host));
    let registry = FakeRegistry::start(Options {
        auth,
        ..Options::default()
    })
    .await;
    let digest = registry.state().put_blob("staging/app", b"blob");
    let pod = Pod::trusting(&[&service, &registry]);
    pod.credential("secret", &registry.host, "user", "secret");
    let client = pod.client(pod.credentials("secret"));
    let [from, to] = ["staging", "images"].map(|name| repository(&format!("{}/{name}/app", registry.host)));
    client
        .copy_blob(
            &to,
            Blob {
                digest: &digest,
                size: 4,
            },
            &client,
            &from,
        )
        .await
        .unwrap();
    assert!(registry.state().repo("images/app").blobs.contains_key(digest.as_str()));
    let last = service.seen().pop().unwrap().query;
    assert!(
        last.ends_with("scope=repository%3Aimages%2Fapp%3Apull%2Cpush&scope=repository%3Astaging%2Fapp%3Apull"),
        "{last}"
    );
    assert!(
        registry
            .seen()
            .iter()
            .all(|seen| !seen.path.contains("uploads/session")),
        "nothing was sent"
    );
}
