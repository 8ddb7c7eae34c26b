//! Builds behind a proxy: what it is asked for, and what it never gets to read.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use imagefactory_tests::TestTenant;
use imagefactory_tests::building::output_of;
use imagefactory_tests::dockerfile::{SMALL, git};
use imagefactory_tests::git::GitRepository;
use imagefactory_tests::image::{content_of, crane};
use imagefactory_tests::proxy::{ANSWER, ForwardProxy, KNOWN_TO_THE_PROXY};
use serde_json::{Value, json};

const PULL_PASSWORD: &str = "marker-of-the-pull-secret";

/// A repository that only its readers get, whose Dockerfile fetches what only the proxy has.
fn private_source(tenant: &TestTenant) -> Value {
    let environment = &tenant.cluster.environment;
    let repository = GitRepository::create(environment, "private/");
    let dockerfile = format!("FROM {SMALL}\nRUN wget -q -O /told http://{KNOWN_TO_THE_PROXY}/by-a-step\n");
    repository.commit(&[("Dockerfile", &dockerfile)]);
    repository.push();
    let mut source = git(&repository.url(environment.get("GIT_TLS_URL")), None);
    source["git"]["secretRef"] = json!({"name": "git"});
    source
}

/// Expects that nothing that the proxy could read is a credential.
fn got_no_credential(tenant: &TestTenant, proxy: &ForwardProxy) {
    let environment = &tenant.cluster.environment;
    let of = |user: &str, password: &str| (user.to_owned(), password.to_owned());
    let heard = proxy.heard().join("\n");
    assert!(!heard.to_lowercase().contains("authorization"), "{heard}");
    for (user, password) in [
        of(environment.get("GIT_USER"), environment.get("GIT_PASSWORD")),
        of(environment.get("REGISTRY_USER"), environment.get("REGISTRY_PASSWORD")),
        of("puller", PULL_PASSWORD),
    ] {
        let basic = BASE64_STANDARD.encode(format!("{user}:{password}"));
        assert!(!heard.contains(&password) && !heard.contains(&basic), "{user}: {heard}");
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn source_base_and_steps_come_by_the_builds_proxy_and_no_credential_is_told_to_it() {
    let tenant = TestTenant::create("proxied").await;
    let environment = &tenant.cluster.environment;
    let (repositories, mirror) = (environment.host_of("GIT_TLS_URL"), environment.get("MIRROR"));
    let credentials = json!({"username": environment.get("GIT_USER"), "password": environment.get("GIT_PASSWORD")});
    tenant.secret("git", "kubernetes.io/basic-auth", credentials).await;
    tenant.registry_secret("pull", mirror, "puller", PULL_PASSWORD).await;
    let source = private_source(&tenant);
    let mut builds = Vec::new();
    for (method, exceptions, tunnels) in [
        ("kaniko", json!([]), vec![repositories, mirror]),
        ("docker", json!([repositories]), vec![mirror]),
        ("buildx", json!([]), vec![repositories, mirror]),
    ] {
        let proxy = ForwardProxy::start(environment);
        let by = json!({"http": proxy.url, "https": proxy.url, "exceptions": exceptions});
        let spec = json!({"method": method, "source": source, "pullSecrets": [{"name": "pull"}], "proxy": by});
        tenant.start(method, spec).await;
        builds.push((method, proxy, tunnels));
    }
    for (method, proxy, tunnels) in builds {
        let build = tenant.has_succeeded(method).await;
        let image = &output_of(&build).image;
        assert_eq!(
            content_of(environment, image, "linux/amd64", "told"),
            ANSWER,
            "{method}"
        );
        let url = format!("http://{KNOWN_TO_THE_PROXY}/by-a-step");
        assert_eq!(proxy.asked("GET "), [url], "{method}");
        // Neither staging nor output: what the platform's own containers do with them goes straight there.
        assert_eq!(proxy.asked("CONNECT "), tunnels, "{method}");
        got_no_credential(&tenant, &proxy);
        let config = crane(environment, &["config", image]);
        assert!(!config.to_lowercase().contains("proxy"), "{method}: {config}");
    }
}
