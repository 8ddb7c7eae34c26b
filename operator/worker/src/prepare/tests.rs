//! The whole step, with a registry and a Git server that speak TLS.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use imagefactory_core::step::ClosedPlaces;
use imagefactory_crds::build::{FailureClass, InlineFile, NamedValue, Recipe, RegistryMirror};

use super::git::test_repository::{Repository, serve};
use super::test_server::{Answer, Server, Tls};
use super::*;
use crate::registry::Digest;

const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
const NAMESPACED: &str = "         0     131072      65536\n";

struct Pod {
    root: tempfile::TempDir,
    places: Places,
    tls: Tls,
    /// Hosts of registries that were started.
    hosts: std::sync::Mutex<Vec<String>>,
}

impl Pod {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let places = Places::below(root.path());
        let pod = Self {
            root,
            places,
            tls: Tls::new(),
            hosts: std::sync::Mutex::default(),
        };
        pod.put("/proc/self/uid_map", NAMESPACED);
        pod.put("/ca/build/ca.crt", &pod.tls.authority);
        pod
    }

    fn put(&self, path: &str, content: &str) {
        let path = self.places.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.places.path(path)).unwrap()
    }

    /// Prepares with all registries at this host allowed.
    async fn run(&self, step: &PrepareStep) -> Result<Prepared, StepFailure> {
        let mut step = step.clone();
        let text = serde_json::to_string(&step).unwrap();
        let hosts = text.split("localhost:").skip(1).map(|rest| {
            let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
            format!("localhost:{port}")
        });
        step.pull_prefixes
            .extend(hosts.chain(self.hosts.lock().unwrap().iter().cloned()));
        run_in(&step, &self.places).await
    }

    /// A registry that has any image of the tag `1`, and shows those below `private/` to the one who knows the password.
    fn registry(&self) -> Server {
        let server = Server::start(Some(&self.tls), |asked| {
            let right = format!("Basic {}", STANDARD.encode("me:secret"));
            let private = asked.path.starts_with("/v2/private/");
            if private && asked.header("authorization") != Some(&right) {
                return Answer::status(401).header("WWW-Authenticate", "Basic realm=\"x\"");
            }
            if !asked.path.ends_with("/manifests/1") && !asked.path.ends_with(&digest()) {
                return Answer::status(404);
            }
            Answer::status(200)
                .header("Content-Type", "application/vnd.oci.image.index.v1+json")
                .body(MANIFEST)
        });
        self.hosts.lock().unwrap().push(format!("localhost:{}", server.port));
        server
    }
}

fn digest() -> String {
    Digest::of(MANIFEST.as_bytes()).to_string()
}

fn step(source: StepSource) -> PrepareStep {
    PrepareStep {
        require_user_namespace: true,
        builder: Builder::Kaniko,
        pull_prefixes: vec!["docker.io".to_owned()],
        closed: ClosedPlaces::default(),
        proxy: None,
        source,
        context_dir: String::new(),
        dockerfile: "Dockerfile".to_owned(),
        build_args: Vec::new(),
        target: None,
        mirrors: Vec::new(),
        platform_mirrors: Vec::new(),
        pull_secrets: Vec::new(),
        secrets: Vec::new(),
    }
}

fn inline(files: &[(&str, &str)]) -> PrepareStep {
    let file = |(path, content): &(&str, &str)| InlineFile {
        path: (*path).into(),
        content: (*content).into(),
    };
    step(StepSource::Inline {
        files: files.iter().map(file).collect(),
    })
}

fn outcome(result: Result<Prepared, StepFailure>) -> (FailureClass, String) {
    let failure = result.unwrap_err();
    assert!(!failure.message.is_empty() && !failure.next.is_empty(), "{failure:?}");
    (failure.class, failure.reason)
}

fn class_and_reason(class: FailureClass, reason: &str) -> (FailureClass, String) {
    (class, reason.to_owned())
}

#[tokio::test]
async fn inline_files_are_laid_out_and_their_bases_pinned_once_each() {
    let pod = Pod::new();
    let registry = pod.registry();
    let host = format!("localhost:{}", registry.port);
    let text = format!(
        "ARG TAG=0\nFROM {host}/go:$TAG AS build\nRUN make\nFROM {host}/base:1\nCOPY --from=build /a /a\nCOPY --from={host}/go:1 /b /b\n"
    );
    let mut step = inline(&[
        ("app/Dockerfile", &text),
        ("app/main.go", "x"),
        ("app/Dockerfile.dockerignore", "*.md"),
    ]);
    step.context_dir = "app".to_owned();
    step.build_args = vec![NamedValue {
        name: "TAG".into(),
        value: "1".into(),
    }];
    let prepared = pod.run(&step).await.unwrap();
    let references: Vec<_> = prepared.bases.iter().map(|base| base.reference.clone()).collect();
    assert_eq!(references, [format!("{host}/go:1"), format!("{host}/base:1")]);
    assert!(prepared.bases.iter().all(|base| base.digest.0 == digest()) && prepared.commit.is_none());
    let expected = text
        .replace(&format!("{host}/go:$TAG"), &format!("{host}/go:1@{}", digest()))
        .replace(&format!("{host}/base:1"), &format!("{host}/base:1@{}", digest()))
        .replace(
            &format!("--from={host}/go:1"),
            &format!("--from={host}/go:1@{}", digest()),
        );
    assert_eq!(pod.read("/prepared/Dockerfile"), expected);
    assert_eq!(pod.read("/prepared/Dockerfile.dockerignore"), "*.md");
    assert_eq!(pod.read("/workspace/app/main.go"), "x");
    assert_eq!(pod.read("/prepared/docker/config.json"), r#"{"auths":{}}"#);
    assert!(pod.read("/prepared/ca.pem").contains("BEGIN CERTIFICATE"));
    assert_eq!(registry.asked().len(), 2, "each image is asked for once");
}

#[tokio::test]
async fn a_config_map_and_a_recipe_are_sources() {
    let pod = Pod::new();
    let registry = pod.registry();
    let image = format!("localhost:{}/base:1", registry.port);
    pod.put("/source-config/..data/Containerfile", &format!("FROM {image}\n"));
    std::os::unix::fs::symlink("..data/Containerfile", pod.places.path("/source-config/Containerfile")).unwrap();
    let mut from_map = step(StepSource::ConfigMap);
    from_map.dockerfile = "Containerfile".to_owned();
    pod.run(&from_map).await.unwrap();
    assert_eq!(pod.read("/prepared/Dockerfile"), format!("FROM {image}@{}\n", digest()));

    let recipe = Recipe {
        base_image: image.as_str().into(),
        packages: vec!["curl".into()],
        commands: Vec::new(),
        env: Vec::new(),
        entrypoint: Vec::new(),
    };
    let prepared = pod.run(&step(StepSource::Recipe(Box::new(recipe)))).await.unwrap();
    assert_eq!(prepared.bases.len(), 1);
    let text = pod.read("/prepared/Dockerfile");
    assert!(text.contains(&format!("FROM {image}@{}\n", digest())) && text.contains(r#""recipe","curl"]"#));
    assert!(fs::read_dir(pod.places.path("/workspace")).unwrap().next().is_none());
}

#[tokio::test]
async fn a_git_source_tells_its_commit() {
    let pod = Pod::new();
    let registry = pod.registry();
    let repository = Repository::new("app.git");
    let commit = repository.commit_file("Dockerfile", &format!("FROM localhost:{}/base:1\n", registry.port));
    let root = repository.root();
    let server = Server::start(Some(&pod.tls), move |asked| serve(&root, asked, true));
    let git = StepSource::Git {
        url: server.url("/app.git"),
        revision: Some("main".to_owned()),
        credentials: false,
    };
    assert_eq!(pod.run(&step(git)).await.unwrap().commit, Some(commit));
    let none = StepSource::Git {
        url: server.url("/app.git"),
        revision: Some("none".to_owned()),
        credentials: false,
    };
    assert_eq!(
        outcome(pod.run(&step(none)).await),
        class_and_reason(FailureClass::Source, "RevisionNotFound")
    );
}

#[tokio::test]
async fn without_a_user_namespace_nothing_is_done() {
    let pod = Pod::new();
    let registry = pod.registry();
    pod.put("/workspace/before", "x");
    let step = inline(&[("Dockerfile", &format!("FROM localhost:{}/base:1", registry.port))]);
    for map in ["         0          0 4294967295\n", "", "nonsense"] {
        pod.put("/proc/self/uid_map", map);
        let failure = outcome(pod.run(&step).await);
        assert_eq!(
            failure,
            class_and_reason(FailureClass::Infrastructure, "UserNamespaceMissing"),
            "{map:?}"
        );
    }
    fs::remove_file(pod.places.path("/proc/self/uid_map")).unwrap();
    assert_eq!(outcome(pod.run(&step).await).1, "UserNamespaceMissing");
    assert_eq!(pod.read("/workspace/before"), "x");
    assert!(!pod.places.path("/prepared").exists() && registry.asked().is_empty());
    let waived = PrepareStep {
        require_user_namespace: false,
        ..step
    };
    assert!(pod.run(&waived).await.is_ok());
}

#[tokio::test]
async fn a_base_that_can_t_be_had_is_a_failure_to_pull() {
    let pod = Pod::new();
    let registry = pod.registry();
    let host = format!("localhost:{}", registry.port);
    for (image, class, reason) in [
        (format!("{host}/base:2"), FailureClass::Pull, "BaseImageNotFound"),
        (
            format!("{host}/private/base:1"),
            FailureClass::Pull,
            "BaseImageUnauthorized",
        ),
        (
            format!("{host}/base:1@sha256:{}", "0".repeat(64)),
            FailureClass::Pull,
            "BaseImageNotFound",
        ),
        (format!("{host}/Base:1"), FailureClass::Source, "InvalidDockerfile"),
        (
            format!("{host}/base:1@sha512:ab"),
            FailureClass::Source,
            "InvalidDockerfile",
        ),
    ] {
        let result = pod.run(&inline(&[("Dockerfile", &format!("FROM {image}"))])).await;
        let message = result.as_ref().unwrap_err().message.clone();
        assert_eq!(outcome(result), class_and_reason(class, reason), "{message}");
        assert!(
            message.contains(if class == FailureClass::Pull { &image } else { "line 1" }),
            "{message}"
        );
        assert!(!pod.places.path("/prepared/Dockerfile").exists());
    }
}

#[tokio::test]
async fn a_registry_that_is_not_there_can_t_be_reached() {
    let result = Pod::new()
        .run(&inline(&[("Dockerfile", "FROM localhost:1/base:1")]))
        .await;
    assert_eq!(
        outcome(result),
        class_and_reason(FailureClass::Pull, "RegistryUnreachable")
    );
}

#[tokio::test]
async fn mirrors_are_asked_first_and_pull_secrets_are_used() {
    let pod = Pod::new();
    let registry = pod.registry();
    let host = format!("localhost:{}", registry.port);
    let auth = STANDARD.encode("me:secret");
    let other = STANDARD.encode("me:wrong");
    let first = format!(
        r#"{{"auths":{{"{host}":{{"auth":"{auth}"}}}},"credHelpers":{{"{host}":"evil"}},"credsStore":"evil","HttpHeaders":{{"X":"y"}}}}"#
    );
    pod.put("/credentials/pull/0/.dockerconfigjson", &first);
    let second =
        format!(r#"{{"auths":{{"https://{host}":{{"auth":"{other}"}},"other.example.com":{{"auth":"{other}"}}}}}}"#);
    pod.put("/credentials/pull/1/.dockerconfigjson", &second);
    let mut step = inline(&[("Dockerfile", "FROM base:1\n")]);
    step.pull_secrets = vec!["first".to_owned(), "second".to_owned()];
    step.mirrors = vec![RegistryMirror {
        registry: "docker.io".into(),
        mirror: format!("{host}/private").as_str().into(),
    }];
    pod.run(&step).await.unwrap();
    assert_eq!(pod.read("/prepared/Dockerfile"), format!("FROM base:1@{}\n", digest()));
    assert!(
        registry
            .asked()
            .iter()
            .all(|asked| asked.path == "/v2/private/library/base/manifests/1")
    );

    let config: serde_json::Value = serde_json::from_str(&pod.read("/prepared/docker/config.json")).unwrap();
    let expected = serde_json::json!({"auths": {host: {"auth": auth}, "other.example.com": {"auth": other}}});
    assert_eq!(
        config, expected,
        "the first entry for a host counts, and nothing but entries is taken over"
    );
    let mode = |path: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(pod.places.path(path)).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!(
        (
            mode("/prepared/docker"),
            mode("/prepared/docker/config.json"),
            mode("/prepared/Dockerfile")
        ),
        (0o700, 0o400, 0o644)
    );
}

#[tokio::test]
async fn what_a_mirror_of_the_build_s_own_says_is_told_under_the_mirror_s_name() {
    let pod = Pod::new();
    let (registry, own) = (pod.registry(), pod.registry());
    let (host, own) = (
        format!("localhost:{}", registry.port),
        format!("localhost:{}", own.port),
    );
    let mirror = |mirror: &str| RegistryMirror {
        registry: host.as_str().into(),
        mirror: mirror.into(),
    };
    let (mine, platforms) = (mirror(&format!("{own}/acme/m")), mirror(&format!("{own}/hub")));
    let pinned = format!("{host}/hardened/debian@{}", digest());
    let named = format!("{host}/hardened/debian:1");
    let nowhere = format!("{own}/private/x");
    for (written, mirrors, platform_mirrors, told) in [
        (
            &named,
            vec![mine.clone()],
            vec![],
            format!("{own}/acme/m/hardened/debian:1"),
        ),
        (
            &pinned,
            vec![mine.clone()],
            vec![],
            format!("{own}/acme/m/hardened/debian@{}", digest()),
        ),
        (
            &named,
            vec![mine.clone()],
            vec![platforms.clone()],
            format!("{own}/acme/m/hardened/debian:1"),
        ),
        // The platform's mirrors stand for the registry, also where a build names them too; and so does the registry.
        (&named, vec![], vec![platforms.clone()], named.clone()),
        (&named, vec![platforms.clone()], vec![platforms], named.clone()),
        (&named, vec![mirror(&nowhere)], vec![], named.clone()),
        (&pinned, vec![], vec![], pinned.clone()),
    ] {
        let mut step = inline(&[("Dockerfile", &format!("FROM {written}\n"))]);
        step.builder = Builder::Buildkit;
        (step.mirrors, step.platform_mirrors) = (mirrors, platform_mirrors);
        let prepared = pod.run(&step).await.unwrap();
        let bases: Vec<_> = prepared
            .bases
            .iter()
            .map(|base| (base.reference.as_str(), base.digest.0.as_str()))
            .collect();
        assert_eq!(bases, [(told.as_str(), digest().as_str())], "{:?}", step.mirrors);
        assert!(
            pod.read("/prepared/source-policy.json")
                .contains(&format!("{host}/hardened/debian"))
        );
    }
}

#[tokio::test]
async fn staging_and_the_images_of_other_tenants_are_pulled_by_no_way() {
    let pod = Pod::new();
    let registry = pod.registry();
    let host = format!("localhost:{}", registry.port);
    let dockerfile = |text: String| inline(&[("Dockerfile", text.as_str())]);
    let recipe = |base: String| {
        let recipe = serde_json::from_value(serde_json::json!({ "baseImage": base }));
        step(StepSource::Recipe(recipe.unwrap()))
    };
    let mirrored = |mirror: String, base: &str| PrepareStep {
        mirrors: vec![RegistryMirror {
            registry: "docker.io".into(),
            mirror: mirror.as_str().into(),
        }],
        ..dockerfile(format!("FROM {base}\n"))
    };
    let closed = |step: PrepareStep| PrepareStep {
        builder: Builder::Buildkit,
        // The Tenant lists the whole registry.
        pull_prefixes: vec![host.clone(), "docker.io".to_owned()],
        closed: ClosedPlaces {
            staging: format!("{host}/staging"),
            output: format!("{host}/images"),
            open: vec![format!("{host}/images/acme")],
        },
        ..step
    };
    for step in [
        dockerfile(format!("FROM {host}/staging/acme/builds/web/u:1\n")),
        dockerfile(format!("FROM {host}/images/other/web:1\n")),
        dockerfile(format!("FROM {host}/images/acme-two/web@{}\n", digest())),
        dockerfile(format!(
            "FROM {host}/go:1\nCOPY --from={host}/images/other/web:1 /a /a\n"
        )),
        dockerfile(format!(
            "FROM {host}/go:1\nRUN --mount=from={host}/staging/other/x:1,target=/x true\n"
        )),
        dockerfile(format!("# syntax={host}/images/other/frontend:1\nFROM {host}/go:1\n")),
        recipe(format!("{host}/images/other/web:1")),
        step(StepSource::Oci {
            image: format!("{host}/staging/other/source:1").as_str().into(),
        }),
        mirrored(format!("{host}/images"), "docker.io/other/web:1"),
        mirrored(host.clone(), "docker.io/staging/other:1"),
    ] {
        let failure = pod.run(&closed(step.clone())).await.unwrap_err();
        assert_eq!(
            (failure.class, failure.reason.as_str()),
            (FailureClass::Source, "RegistryNotAllowed"),
            "{step:?}"
        );
        assert!(failure.message.contains("platform's own"), "{}", failure.message);
    }
    assert!(registry.asked().is_empty());
    for step in [
        dockerfile(format!(
            "FROM {host}/images/acme/web:1\nCOPY --from={host}/go:1 /a /a\n"
        )),
        mirrored(format!("{host}/images/acme"), "docker.io/library/base:1"),
    ] {
        pod.run(&closed(step)).await.unwrap();
    }
}

#[tokio::test]
async fn a_pull_secret_that_can_t_be_read_is_told_without_its_content() {
    let pod = Pod::new();
    for text in [
        r#"{"auths":{"r.io":{"auth":"hunter2-hunter2"}}}"#,
        "hunter2",
        r#"{"auths":"hunter2"}"#,
    ] {
        pod.put("/credentials/pull/0/.dockerconfigjson", text);
        let mut step = inline(&[("Dockerfile", "FROM scratch\n")]);
        step.pull_secrets = vec!["only".to_owned()];
        let failure = pod.run(&step).await.unwrap_err();
        assert_eq!(
            (failure.class, failure.reason.as_str()),
            (FailureClass::Pull, "InvalidPullSecret")
        );
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
    }
}

#[tokio::test]
async fn paths_that_lead_nowhere_or_out_are_named() {
    let pod = Pod::new();
    pod.put("/credentials/git/password", "hunter2");
    let repository = Repository::new("app.git");
    let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, repository.path(name)).unwrap();
    link("/credentials/git/password", "Absolute");
    link(
        pod.root.path().join("credentials/git/password").to_str().unwrap(),
        "Real",
    );
    link("../credentials/git/password", "Up");
    link("../credentials", "out");
    link("../credentials/git/password", "Good.dockerignore");
    repository.commit_file("Good", "FROM scratch\n");
    let root = repository.root();
    let server = Server::start(Some(&pod.tls), move |asked| serve(&root, asked, true));
    for (context, dockerfile, reason) in [
        ("", "Dockerfile", "DockerfileNotFound"),
        ("none", "Dockerfile", "PathNotFound"),
        ("", "Real", "InvalidPath"),
        ("", "Up", "InvalidPath"),
        ("out", "git/password", "InvalidPath"),
        ("", "../credentials/git/password", "InvalidPath"),
        ("..", "credentials/git/password", "InvalidPath"),
        ("/", "etc/passwd", "InvalidPath"),
        ("", "/etc/passwd", "InvalidPath"),
        ("", "", "InvalidPath"),
        ("", "out", "InvalidPath"),
        ("", "Good", "InvalidPath"),
    ] {
        let git = StepSource::Git {
            url: server.url("/app.git"),
            revision: None,
            credentials: false,
        };
        let step = PrepareStep {
            context_dir: context.to_owned(),
            dockerfile: dockerfile.to_owned(),
            ..step(git)
        };
        let result = pod.run(&step).await;
        assert_eq!(
            outcome(result),
            class_and_reason(FailureClass::Source, reason),
            "{context:?} {dockerfile:?}"
        );
        assert!(!holds(&pod.places.path("/prepared"), "hunter2"));
    }
}

/// Whether any file below holds the text.
fn holds(directory: &Path, text: &str) -> bool {
    fs::read_dir(directory)
        .unwrap()
        .flatten()
        .any(|entry| match entry.file_type().unwrap().is_dir() {
            true => holds(&entry.path(), text),
            false => String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).contains(text),
        })
}

#[tokio::test]
async fn a_step_that_runs_again_finds_nothing_of_the_first() {
    let pod = Pod::new();
    pod.run(&inline(&[
        ("Dockerfile", "FROM scratch\n"),
        ("old", "x"),
        ("Dockerfile.dockerignore", "x"),
    ]))
    .await
    .unwrap();
    pod.run(&inline(&[("Dockerfile", "FROM scratch\nLABEL a=b\n")]))
        .await
        .unwrap();
    assert_eq!(pod.read("/prepared/Dockerfile"), "FROM scratch\nLABEL a=b\n");
    assert!(!pod.places.path("/workspace/old").exists());
    assert!(!pod.places.path("/prepared/Dockerfile.dockerignore").exists());
}

#[tokio::test]
async fn what_a_dockerfile_lacks_is_told() {
    let pod = Pod::new();
    for (text, target, reason) in [
        ("RUN x\n", None, "InvalidDockerfile"),
        ("", None, "InvalidDockerfile"),
        ("FROM scratch AS a\n", Some("b"), "TargetNotFound"),
    ] {
        let step = PrepareStep {
            target: target.map(str::to_owned),
            ..inline(&[("Dockerfile", text)])
        };
        assert_eq!(
            outcome(pod.run(&step).await),
            class_and_reason(FailureClass::Source, reason),
            "{text:?}"
        );
    }
    fs::create_dir_all(pod.places.path("/source-config")).unwrap();
    fs::write(pod.places.path("/source-config/Dockerfile"), b"FROM scratch\n# \xff\n").unwrap();
    assert_eq!(
        outcome(pod.run(&step(StepSource::ConfigMap)).await).1,
        "InvalidDockerfile"
    );
    pod.put(
        "/source-config/Dockerfile",
        &format!("FROM scratch\n{}", "#".repeat(1 << 20)),
    );
    assert_eq!(
        outcome(pod.run(&step(StepSource::ConfigMap)).await).1,
        "InvalidDockerfile"
    );
    pod.put("/ca/build/ca.crt", "no certificate");
    assert_eq!(
        outcome(pod.run(&step(StepSource::ConfigMap)).await),
        class_and_reason(FailureClass::Source, "InvalidCaBundle")
    );
}

#[tokio::test]
async fn what_the_tenant_may_not_pull_is_refused_before_anyone_is_asked() {
    let pod = Pod::new();
    let registry = pod.registry();
    let host = format!("localhost:{}", registry.port);
    let uses_both = format!("FROM {host}/team/base:1\nFROM scratch\nCOPY --from={host}/other/tool:1 / /\n");
    let mount = format!("FROM {host}/team/base:1\nRUN --mount=from={host}/other/tool:1,target=/t true\n");
    let syntax = format!("# syntax={host}/other/dockerfile:1\nFROM {host}/team/base:1\n");
    for (text, builder, line) in [
        (uses_both.clone(), Builder::Kaniko, 3),
        (uses_both, Builder::Buildkit, 3),
        (mount, Builder::Buildkit, 2),
        (syntax, Builder::Buildkit, 1),
        ("FROM debian\n".to_owned(), Builder::Kaniko, 1),
    ] {
        let mut step = inline(&[("Dockerfile", &text)]);
        step.builder = builder;
        step.pull_prefixes = vec![format!("{host}/team"), "docker.io/team".to_owned()];
        let failure = run_in(&step, &pod.places).await.unwrap_err();
        assert_eq!(
            (failure.class, failure.reason.as_str()),
            (FailureClass::Source, "RegistryNotAllowed"),
            "{text}"
        );
        assert!(failure.message.contains(&format!("line {line}")), "{}", failure.message);
        assert!(
            failure.message.contains(&format!("{host}/team, docker.io/team")),
            "{}",
            failure.message
        );
    }
    assert!(registry.asked().is_empty());
    assert!(!pod.places.path("/prepared/Dockerfile").exists());
}

#[tokio::test]
async fn buildkit_is_given_names_with_digests_and_a_policy_that_denies_all_else() {
    let pod = Pod::new();
    let registry = pod.registry();
    let host = format!("localhost:{}", registry.port);
    let text = format!(
        "# syntax={host}/dockerfile:1 x\nFROM {host}/base:1 AS one\nRUN --mount=type=bind,from={host}/tool:1,target=/t true\nFROM one\nRUN --mount=from=one,target=/o true\nCOPY --from={host}/base:1 / /\n"
    );
    let mut step = inline(&[("Dockerfile", &text)]);
    step.builder = Builder::Buildkit;
    pod.run(&step).await.unwrap();
    let name = |image: &str| format!("{host}/{image}:1@{}", digest());
    let expected = ["dockerfile", "base", "tool"].iter().fold(text, |text, image| {
        text.replace(&format!("{host}/{image}:1"), &name(image))
    });
    assert_eq!(pod.read("/prepared/Dockerfile"), expected);
    let policy: serde_json::Value = serde_json::from_str(&pod.read("/prepared/source-policy.json")).unwrap();
    let rules: Vec<_> = policy["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["selector"]["identifier"].as_str().unwrap())
        .collect();
    let images = ["dockerfile", "base", "tool"].map(|image| format!("docker-image://{}", name(image)));
    assert_eq!(rules[..3], ["*", "local://context", "local://dockerfile"]);
    assert_eq!(rules[3..], images);
    assert_eq!(policy["rules"][0]["action"], "DENY");
}

#[tokio::test]
async fn what_buildkit_would_fetch_unpinned_is_refused() {
    let pod = Pod::new();
    let refused = async |text: &str, argument: &str| {
        let mut step = inline(&[("Dockerfile", text)]);
        step.builder = Builder::Buildkit;
        step.build_args = vec![NamedValue {
            name: argument.into(),
            value: "1".into(),
        }];
        pod.run(&step).await.unwrap_err()
    };
    for text in [
        "FROM scratch\nADD https://example.com/a.tar /a",
        "FROM scratch\nADD [\"https://example.com/a b\", \"/a\"]",
        "FROM scratch\nADD --checksum=sha256:00 HTTP://example.com/a /a",
        "FROM scratch\nADD git@example.com:a/b.git /a",
        "FROM debian:$TARGETARCH",
        "FROM scratch\nRUN --mount=\"from=debian\" true",
    ] {
        let failure = refused(text, "X").await;
        assert_eq!(failure.reason, "InvalidDockerfile", "{text}: {}", failure.message);
        assert!(failure.message.contains("line "), "{}", failure.message);
    }
    let failure = refused("FROM scratch\n", "BUILDKIT_SYNTAX").await;
    assert_eq!(
        (failure.class, failure.reason.as_str()),
        (FailureClass::Source, "InvalidBuildArgument")
    );
}

#[tokio::test]
async fn a_custom_builder_needs_no_dockerfile() {
    let pod = Pod::new();
    let mut step = inline(&[("app/flake.nix", "{}")]);
    step.builder = Builder::Custom;
    step.context_dir = "app".to_owned();
    assert_eq!(pod.run(&step).await.unwrap(), Prepared::default());
    assert!(pod.read("/prepared/docker/config.json").contains("auths"));
    assert!(!pod.places.path("/prepared/Dockerfile").exists());
    step.context_dir = "none".to_owned();
    assert_eq!(
        outcome(pod.run(&step).await),
        class_and_reason(FailureClass::Source, "PathNotFound")
    );
}

#[tokio::test]
async fn a_source_is_fetched_by_the_proxy_unless_its_host_is_excepted() {
    let pod = Pod::new();
    let repository = Repository::new("app.git");
    let commit = repository.commit_file("Dockerfile", "FROM scratch\n");
    let root = repository.root();
    // A proxy is asked by whole URLs.
    let proxy = Server::start(None, move |asked| {
        let mut asked = asked.clone();
        asked.path = asked.path.replace("http://git.example.test", "");
        serve(&root, &asked, true)
    });
    let mut step = step(StepSource::Git {
        url: "http://git.example.test/app.git".to_owned(),
        revision: None,
        credentials: false,
    });
    step.proxy = Some(imagefactory_crds::build::Proxy {
        http: Some(format!("http://127.0.0.1:{}", proxy.port).as_str().into()),
        https: None,
        exceptions: Vec::new(),
    });
    assert_eq!(pod.run(&step).await.unwrap().commit, Some(commit));
    let asked = proxy.asked();
    assert!(
        asked
            .iter()
            .all(|asked| asked.path.starts_with("http://git.example.test/"))
            && asked.len() > 1
    );
    step.proxy.as_mut().unwrap().exceptions = vec![".example.test".into()];
    assert_eq!(outcome(pod.run(&step).await).1, "GitUnreachable");
    assert_eq!(proxy.asked().len(), asked.len(), "the proxy was not asked again");
}

#[tokio::test]
async fn a_build_secret_that_is_not_there_is_told_before_the_build_begins() {
    let pod = Pod::new();
    let mut step = inline(&[("Dockerfile", "FROM scratch\n")]);
    step.builder = Builder::Buildkit;
    step.secrets = vec!["token".to_owned(), "other".to_owned()];
    pod.put("/secrets/token", "hunter2");
    let failure = pod.run(&step).await.unwrap_err();
    assert_eq!(
        (failure.class, failure.reason.as_str()),
        (FailureClass::Source, "SecretNotFound")
    );
    assert!(failure.message.contains("other"), "{}", failure.message);
    pod.put("/secrets/other", "x");
    pod.run(&step).await.unwrap();
    assert!(!holds(&pod.places.path("/prepared"), "hunter2"));
}
