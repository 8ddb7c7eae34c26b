//! Where a Build's source may come from: inline files, a ConfigMap, Git in all its forms, an OCI artifact, a recipe.

use imagefactory_crds::Build;
use imagefactory_crds::build::FailureClass;
use imagefactory_tests::building::{output_of, status_of};
use imagefactory_tests::dockerfile::{BASE, SMALL, files, git};
use imagefactory_tests::git::GitRepository;
use imagefactory_tests::git::server::OwnGitServer;
use imagefactory_tests::image::{push_artifact, push_files};
use imagefactory_tests::{Cluster, TestTenant};
use serde_json::{Value, json};

/// The configuration of the image that a Build published.
async fn config(cluster: &Cluster, build: &Build) -> Value {
    let output = output_of(build);
    let (repository, _) = output.image.rsplit_once(':').unwrap_or((&output.image, ""));
    cluster.registry().config(repository, &output.digest).await
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn inline_files_are_laid_out_as_their_paths_say() {
    let tenant = TestTenant::create("inline").await;
    let dockerfile = format!("FROM {BASE}\nCOPY app /app\nRUN test \"$(cat /app/sub/b.txt)\" = two\n");
    let inline = files(&[
        ("build/Dockerfile", &dockerfile),
        ("app/a.txt", "one"),
        ("app/sub/b.txt", "two\n"),
    ]);
    let mut source = inline;
    source["dockerfile"] = json!("build/Dockerfile");
    tenant.succeeds("inline", json!({"source": source})).await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn the_keys_of_a_config_map_are_the_files() {
    let tenant = TestTenant::create("configmap").await;
    let dockerfile = format!("FROM {BASE}\nCOPY message.txt /\nLABEL from=config-map\n");
    tenant
        .config_map("my-source", json!({"Dockerfile": dockerfile, "message.txt": "hello"}))
        .await;
    let build = tenant
        .succeeds("build", json!({"source": {"configMap": {"name": "my-source"}}}))
        .await;
    assert_eq!(
        config(&tenant.cluster, &build).await.pointer("/config/Labels/from"),
        Some(&json!("config-map"))
    );
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_project_gives_its_source_to_builds_that_name_none() {
    let tenant = TestTenant::create("default").await;
    let source = files(&[("Dockerfile", &format!("FROM {BASE}\nLABEL from=project\n"))]);
    tenant.project("with-source", json!({"source": source})).await;
    let build = tenant
        .succeeds("build", json!({"projectRef": {"name": "with-source"}}))
        .await;
    assert!(
        output_of(&build).image.ends_with("/with-source:build"),
        "{}",
        output_of(&build).image
    );
    assert_eq!(
        config(&tenant.cluster, &build).await.pointer("/config/Labels/from"),
        Some(&json!("project"))
    );
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_branch_a_tag_a_commit_and_the_default_branch_are_each_built_at_their_own_commit() {
    let tenant = TestTenant::create("git").await;
    let environment = &tenant.cluster.environment;
    let repository = GitRepository::create(environment, "");
    let commit = |version: &str| {
        let dockerfile = format!("FROM {BASE}\nCOPY file /\nLABEL version={version}\n");
        repository.commit(&[
            ("service/docker/Dockerfile", &dockerfile),
            ("service/file", version),
            ("other", ""),
        ])
    };
    let tagged = commit("tagged");
    repository.tag("v1.0");
    let on_main = commit("on-main");
    repository.branch("feature/x");
    let on_branch = commit("on-branch");
    repository.push();

    let url = repository.url(environment.get("GIT_URL"));
    let cases = [
        ("tag", Some("v1.0"), &tagged, "tagged"),
        ("branch", Some("feature/x"), &on_branch, "on-branch"),
        ("commit", Some(tagged.as_str()), &tagged, "tagged"),
        ("none", None, &on_main, "on-main"),
    ];
    for (name, revision, ..) in cases {
        let mut source = git(&url, revision);
        source["contextDir"] = json!("service");
        source["dockerfile"] = json!("docker/Dockerfile");
        tenant.start(name, json!({"source": source})).await;
    }
    for (name, _, commit, version) in cases {
        let build = tenant.has_succeeded(name).await;
        let found = status_of(&build)
            .source
            .as_ref()
            .and_then(|source| source.commit.as_ref());
        assert_eq!(found, Some(commit), "{name}");
        let label = config(&tenant.cluster, &build)
            .await
            .pointer("/config/Labels/version")
            .cloned();
        assert_eq!(label, Some(json!(version)), "{name}");
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_private_repository_is_read_with_the_secret_that_the_build_names_and_only_over_tls() {
    let tenant = TestTenant::create("private").await;
    let environment = &tenant.cluster.environment;
    let repository = GitRepository::create(environment, "private/");
    let commit = repository.commit(&[("Dockerfile", &format!("FROM {BASE}\nLABEL private=yes\n"))]);
    repository.push();
    let credentials = json!({"username": environment.get("GIT_USER"), "password": environment.get("GIT_PASSWORD")});
    tenant.secret("git", "kubernetes.io/basic-auth", credentials).await;
    let wrong = json!({"username": environment.get("GIT_USER"), "password": "not-the-password"});
    tenant.secret("wrong", "kubernetes.io/basic-auth", wrong).await;

    let by_tls = repository.url(environment.get("GIT_TLS_URL"));
    let in_the_clear = repository.url(environment.get("GIT_URL"));
    let source = |url: &str, secret: &str| json!({"source": {"git": {"url": url, "secretRef": {"name": secret}}}});
    tenant.start("good", source(&by_tls, "git")).await;
    for (name, spec) in [
        ("wrong", source(&by_tls, "wrong")),
        ("in-the-clear", source(&in_the_clear, "git")),
        ("without", json!({"source": git(&by_tls, None)})),
        ("missing", source(&by_tls, "no-such-secret")),
    ] {
        let failure = tenant.fails(name, FailureClass::Source, spec).await;
        assert_eq!(failure.container.as_deref(), Some("prepare"), "{name}: {failure:?}");
        let told = serde_json::to_string(&failure).unwrap();
        assert!(
            !told.contains(environment.get("GIT_PASSWORD")) && !told.contains("not-the-password"),
            "{name}"
        );
    }
    let build = tenant.has_succeeded("good").await;
    assert_eq!(
        status_of(&build)
            .source
            .as_ref()
            .and_then(|source| source.commit.clone()),
        Some(commit)
    );
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_git_server_with_an_authority_of_its_own_is_trusted_where_the_build_brings_it() {
    let tenant = TestTenant::create("authority").await;
    let repository = GitRepository::create(&tenant.cluster.environment, "");
    repository.commit(&[("Dockerfile", &format!("FROM {BASE}\nLABEL trusted=yes\n"))]);
    let server = OwnGitServer::serve(&tenant.cluster.environment, &repository);
    tenant
        .config_map("authorities", json!({"git.pem": server.authority()}))
        .await;

    let source = git(&server.url(), None);
    let bundle = json!({"name": "authorities", "key": "git.pem"});
    tenant
        .start("with", json!({"source": source, "caBundle": bundle}))
        .await;
    tenant
        .fails("without", FailureClass::Source, json!({"source": source}))
        .await;
    tenant.has_succeeded("with").await;
}

/// A tenant with a repository that its Secret `pull` reads.
async fn with_repository(purpose: &str) -> (TestTenant, String) {
    let tenant = TestTenant::create(purpose).await;
    let environment = &tenant.cluster.environment;
    let (user, password) = (environment.get("REGISTRY_USER"), environment.get("REGISTRY_PASSWORD"));
    let host = environment.get("REGISTRY");
    tenant.registry_secret("pull", host, user, password).await;
    let prefix = tenant.cluster.installation.text("/output/prefix");
    let repository = format!("{prefix}/{}/sources", tenant.name);
    (tenant, repository)
}

/// A source that only works with its other file beside it.
fn labelled(from: &str) -> String {
    format!("FROM {SMALL}\nCOPY message.txt /\nRUN grep -qx hello /message.txt\nLABEL from={from}\n")
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn an_image_and_an_artifact_are_sources_by_tag_and_by_digest() {
    let (tenant, repository) = with_repository("oci").await;
    let environment = &tenant.cluster.environment;
    let image = format!("{repository}:image");
    let (of_image, of_artifact) = (labelled("image"), labelled("artifact"));
    let files = [
        ("service/Dockerfile", of_image.as_str()),
        ("service/message.txt", "hello"),
    ];
    let digest_of_image = push_files(environment, &image, &files);
    let files = [("Dockerfile", of_artifact.as_str()), ("message.txt", "hello")];
    let digest_of_artifact = push_artifact(environment, &format!("{repository}:artifact"), &files);

    let by_tag = json!({"oci": {"image": image}, "contextDir": "service"});
    let by_digest = json!({"oci": {"image": format!("{repository}@{digest_of_artifact}")}});
    for (name, source) in [("image", by_tag), ("artifact", by_digest)] {
        let spec = json!({"source": source, "pullSecrets": [{"name": "pull"}]});
        tenant.start(name, spec).await;
    }
    for (name, digest) in [("image", digest_of_image), ("artifact", digest_of_artifact)] {
        let build = tenant.has_succeeded(name).await;
        let config = config(&tenant.cluster, &build).await;
        assert_eq!(config.pointer("/config/Labels/from"), Some(&json!(name)));
        let pinned = &status_of(&build).source.as_ref().unwrap().bases;
        assert!(pinned.iter().any(|image| image.digest.0 == digest), "{pinned:?}");
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn an_artifact_is_no_source_for_who_may_not_pull_it() {
    let (tenant, repository) = with_repository("oci-refused").await;
    let private = format!("{repository}:private");
    let _ = push_artifact(
        &tenant.cluster.environment,
        &private,
        &[("Dockerfile", &labelled("never"))],
    );
    let foreign = repository.replace(&tenant.name, "somebody-else");
    let pull = json!([{"name": "pull"}]);
    for (name, image, secrets, class, reason) in [
        (
            "without",
            private,
            json!([]),
            FailureClass::Pull,
            "SourceImageUnauthorized",
        ),
        (
            "missing",
            format!("{repository}:nowhere"),
            pull.clone(),
            FailureClass::Pull,
            "SourceImageNotFound",
        ),
        (
            "foreign",
            format!("{foreign}:1"),
            pull,
            FailureClass::Source,
            "RegistryNotAllowed",
        ),
    ] {
        let spec = json!({"source": {"oci": {"image": image}}, "pullSecrets": secrets});
        let failure = tenant.fails(name, class, spec).await;
        assert_eq!(failure.reason, reason, "{failure:?}");
        tenant.is_not_published(name).await;
    }
    let foreign = tenant.build("foreign").await;
    assert!(
        status_of(&foreign).pod_name.is_none(),
        "it is refused before it is asked for"
    );
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_recipe_is_built_without_a_dockerfile() {
    let tenant = TestTenant::create("recipe").await;
    let recipe = json!({
        "baseImage": BASE,
        "commands": ["mkdir -p /srv/app", "printf '%s' \"it's $((40 + 2)) #not a comment\" > /srv/app/text"],
        "env": [{"name": "APP_MODE", "value": "a \"quoted\" $HOME \\ value"}],
        "entrypoint": ["/bin/cat", "/srv/app/text"],
    });
    let build = tenant.succeeds("recipe", json!({"recipe": recipe})).await;
    let config = config(&tenant.cluster, &build).await;
    assert_eq!(
        config.pointer("/config/Entrypoint"),
        Some(&json!(["/bin/cat", "/srv/app/text"]))
    );
    let environment = config
        .pointer("/config/Env")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    assert!(
        environment.contains(&json!("APP_MODE=a \"quoted\" $HOME \\ value")),
        "{environment:?}"
    );
}
