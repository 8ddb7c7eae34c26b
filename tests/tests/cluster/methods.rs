//! One suite of cases against every method that builds Dockerfiles, and what only some of them can do.

use imagefactory_crds::build::FailureClass;
use imagefactory_tests::TestTenant;
use imagefactory_tests::building::{failure_of, message_of, output_of, status_of};
use imagefactory_tests::dockerfile::{BASE, git, inline, quick};
use imagefactory_tests::git::GitRepository;
use imagefactory_tests::image::{Listing, content_of, crane, files_of};
use serde_json::{Value, json};

use super::custom_builders::by_shell;

const DOCKERFILES: [&str; 3] = ["kaniko", "docker", "buildx"];
const METHODS: [&str; 4] = ["kaniko", "docker", "buildx", "custom"];
const AMD64: &str = "linux/amd64";

const THREE_STAGES: &str = "ARG BASE=debian:bookworm-slim\n\
    FROM ${BASE} AS made\n\
    RUN mkdir -p /made/deep && printf made > /made/deep/file && chmod 0640 /made/deep/file && chown 1000:2000 /made/deep/file\n\
    RUN ln -s deep/file /made/link && ln -s /nowhere /made/dangling\n\
    FROM ${BASE} AS copied\n\
    COPY . /context\n\
    COPY --chown=3:4 run.sh /bin/run.sh\n\
    FROM scratch\n\
    COPY --from=made /made /made\n\
    COPY --from=copied /context /context\n\
    COPY --from=copied /bin/run.sh /run.sh\n\
    ENV GREETING=hello\n\
    ENTRYPOINT [\"/run.sh\"]\n";

/// The same files by a program of the tenant's, which has no ignore file.
const BY_HAND: &str = "mkdir -p made/deep context/app; printf made > made/deep/file; chmod 0640 made/deep/file; \
    chown 1000:2000 made/deep/file; ln -s deep/file made/link; ln -s /nowhere made/dangling; \
    cp /workspace/.dockerignore /workspace/Dockerfile /workspace/run.sh context; cp /workspace/app/kept.txt context/app; \
    cp /workspace/run.sh run.sh; chown 3:4 run.sh";

/// What must be in the image, whatever built it; directories apart, whose modes builders take from different places.
fn expected() -> Listing {
    let entries = [
        ("made/deep/file", "-rw-r----- 1000/2000 4"),
        ("made/link -> deep/file", "lrwxrwxrwx 0/0 0"),
        ("made/dangling -> /nowhere", "lrwxrwxrwx 0/0 0"),
        ("context/.dockerignore", "-rw-r--r-- 0/0 25"),
        ("context/Dockerfile", ""),
        ("context/app/kept.txt", "-rw-r--r-- 0/0 4"),
        ("context/run.sh", "-rw-r--r-- 0/0 10"),
        ("run.sh", "-rw-r--r-- 3/4 10"),
    ];
    entries
        .into_iter()
        .map(|(path, what)| (path.to_owned(), what.to_owned()))
        .collect()
}

/// Starts a Build of that source by every method, `by_hand` being what the tenant's own program does.
async fn starts_by_every_method(tenant: &TestTenant, source: &Value, by_hand: &str) {
    for method in DOCKERFILES {
        tenant.start(method, json!({"source": source, "method": method})).await;
    }
    tenant.start("custom", by_shell(tenant, source, by_hand)).await;
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn every_method_makes_the_same_files_of_one_repository() {
    let tenant = TestTenant::create("same").await;
    let environment = &tenant.cluster.environment;
    let repository = GitRepository::create(environment, "");
    let commit = repository.commit(&[
        ("Dockerfile", THREE_STAGES),
        (".dockerignore", "app/left-out.txt\n**/*.md\n"),
        ("app/kept.txt", "kept"),
        ("app/left-out.txt", "left out"),
        ("README.md", "left out"),
        ("run.sh", "#!/bin/sh\n"),
    ]);
    repository.push();
    let source = git(&repository.url(environment.get("GIT_URL")), None);
    starts_by_every_method(&tenant, &source, BY_HAND).await;
    for method in METHODS {
        let build = tenant.has_succeeded(method).await;
        let listing = files_of(environment, &output_of(&build).image, AMD64);
        let files: Listing = listing
            .into_iter()
            .filter(|(_, what)| !what.starts_with('d'))
            .map(|(path, what)| {
                let what = if path == "context/Dockerfile" {
                    String::new()
                } else {
                    what
                };
                (path, what)
            })
            .collect();
        assert_eq!(files, expected(), "{method}");
        let source = status_of(&build).source.as_ref().unwrap();
        assert_eq!(source.commit.as_ref(), Some(&commit), "{method}");
        assert_eq!(source.bases.len(), usize::from(method != "custom"), "{method}");
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn arguments_target_and_labels_mean_the_same_to_every_method() {
    let tenant = TestTenant::create("means").await;
    let dockerfile = format!(
        "FROM {BASE} AS wanted\nARG GREETING\nRUN printf '%s' \"$GREETING\" > /greeting\nFROM wanted AS unwanted\nRUN exit 1\n"
    );
    let greeting = "a $(id) `id` ; | & 'x' \"y\" \\n";
    for method in DOCKERFILES {
        let spec = json!({
            "method": method, "source": inline(&dockerfile), "target": "wanted",
            "buildArgs": [{"name": "GREETING", "value": greeting}],
            "labels": [{"name": "org.example.team", "value": "a=b, c"}],
        });
        tenant.start(method, spec).await;
    }
    for method in DOCKERFILES {
        let build = tenant.has_succeeded(method).await;
        let output = output_of(&build);
        let environment = &tenant.cluster.environment;
        assert_eq!(
            content_of(environment, &output.image, AMD64, "greeting"),
            greeting,
            "{method}"
        );
        let (repository, _) = output.image.rsplit_once(':').unwrap();
        let config: Value = serde_json::from_str(&crane(
            environment,
            &[
                "config",
                "--platform",
                AMD64,
                &format!("{repository}@{}", output.digest),
            ],
        ))
        .unwrap();
        assert_eq!(config["config"]["Labels"]["org.example.team"], "a=b, c", "{method}");
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_step_that_fails_fails_the_build_by_every_method() {
    let tenant = TestTenant::create("failing").await;
    let step = "echo it goes wrong $((40 + 2)) && exit 3";
    starts_by_every_method(&tenant, &inline(&format!("FROM {BASE}\nRUN {step}\n")), step).await;
    for method in METHODS {
        let build = tenant.settled(method).await;
        let failure = failure_of(&build);
        assert_eq!(failure.class, FailureClass::Build, "{method}: {failure:?}");
        assert!(
            failure.log.as_deref().unwrap_or_default().contains("it goes wrong 42"),
            "{method}: {failure:?}"
        );
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn nothing_outside_the_tenants_registries_is_pulled_by_any_method() {
    let tenant = TestTenant::create("bound").await;
    let outside = [
        ("from", "FROM quay.example.com/evil/base:1\n".to_owned()),
        (
            "copy",
            format!("FROM {BASE}\nCOPY --from=quay.example.com/evil/base:1 / /\n"),
        ),
        (
            "mount",
            format!("FROM {BASE}\nRUN --mount=type=bind,from=quay.example.com/evil/base:1,target=/x true\n"),
        ),
        (
            "argument",
            "ARG BASE=quay.example.com/evil/base:1\nFROM ${BASE}\n".to_owned(),
        ),
    ];
    for method in DOCKERFILES {
        for (name, dockerfile) in &outside {
            tenant
                .start(
                    &format!("{method}-{name}"),
                    json!({"source": inline(dockerfile), "method": method}),
                )
                .await;
        }
    }
    for method in DOCKERFILES {
        for (name, _) in &outside {
            let build = tenant.settled(&format!("{method}-{name}")).await;
            let failure = failure_of(&build);
            // Kaniko has no mounts: they are refused whatever they name.
            let reason = match (method, *name) {
                ("kaniko", "mount") => "InvalidDockerfile",
                _ => "RegistryNotAllowed",
            };
            assert_eq!(
                (failure.class, failure.reason.as_str()),
                (FailureClass::Source, reason),
                "{method} {name}: {failure:?}"
            );
        }
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_secret_reaches_the_step_and_no_layer() {
    let tenant = TestTenant::create("secret").await;
    let secret = "hunter2-hunter2-hunter2";
    tenant.secret("npm", "Opaque", json!({"token": secret})).await;
    let dockerfile = format!(
        "FROM {BASE}\nRUN --mount=type=secret,id=npm test \"$(cat /run/secrets/npm | wc -c)\" = 23 && echo found > /found\n"
    );
    let secrets = json!([{"id": "npm", "secretRef": {"name": "npm", "key": "token"}}]);
    for method in ["docker", "buildx"] {
        let spec = json!({"method": method, "source": inline(&dockerfile), "secrets": secrets});
        let build = tenant.succeeds(method, spec).await;
        let environment = &tenant.cluster.environment;
        let listing = files_of(environment, &output_of(&build).image, AMD64);
        assert!(listing.contains_key("found"));
        let config = crane(environment, &["config", &output_of(&build).image]);
        let log = tenant.log(&format!("{method}-build-1"), "build").await;
        assert!(!config.contains(secret) && !log.contains(secret));
        assert!(
            !listing
                .get("run/secrets/npm")
                .is_some_and(|entry| entry.ends_with(" 23"))
        );
    }
    let missing = json!({
        "method": "docker", "source": quick(),
        "secrets": [{"id": "npm", "secretRef": {"name": "not-there", "key": "token"}}],
    });
    tenant.start("missing", missing).await;
    let build = tenant.settled("missing").await;
    assert_eq!(failure_of(&build).reason, "SecretNotFound", "{}", message_of(&build));
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_second_run_takes_its_steps_from_the_projects_cache_and_another_project_does_not() {
    let tenant = TestTenant::create("cache").await;
    tenant.project("other", json!({})).await;
    // What a step writes tells whether it ran again.
    let dockerfile = format!("FROM {BASE}\nRUN head -c 16 /dev/urandom | od -An -tx1 > /stamp\n");
    for method in DOCKERFILES {
        let run = async |name: &str, project: Option<&str>, mode: &str| {
            let mut spec = json!({"method": method, "source": inline(&dockerfile), "cache": {"mode": mode}});
            if let Some(project) = project {
                spec["projectRef"] = json!({"name": project});
            }
            let build = tenant.succeeds(&format!("{method}-{name}"), spec).await;
            content_of(&tenant.cluster.environment, &output_of(&build).image, AMD64, "stamp")
        };
        let first = run("first", None, "Use").await;
        assert_eq!(
            run("second", None, "Use").await,
            first,
            "{method}: the second run hits the cache"
        );
        assert_ne!(
            run("other", Some("other"), "Use").await,
            first,
            "{method}: another project's cache is its own"
        );
        let refreshed = run("refreshed", None, "Refresh").await;
        assert_ne!(refreshed, first, "{method}: a refresh runs every step");
    }
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn what_a_method_can_t_honour_and_a_placement_that_nobody_allowed_are_refused() {
    let tenant = TestTenant::create("honour").await;
    let refused = [
        (
            json!({"method": "kaniko", "platforms": ["linux/arm64"]}),
            "spec.platforms can't be honoured by method kaniko",
        ),
        (
            json!({"method": "docker", "platforms": ["linux/arm64", "linux/amd64"]}),
            "spec.platforms (several) can't be honoured by method docker",
        ),
        (
            json!({"method": "packer"}),
            "packer and nix are not there yet: use a Dockerfile or a recipe with one of the first three, or custom",
        ),
        (
            json!({"method": "nix"}),
            "packer and nix are not there yet: use a Dockerfile or a recipe with one of the first three, or custom",
        ),
        (
            json!({"method": "custom"}),
            "method custom and spec.custom come together",
        ),
        (
            json!({"placement": {"nodeSelector": [{"key": "pool", "value": "secret"}]}}),
            "invalid_object",
        ),
    ];
    for (mut spec, message) in refused {
        spec["projectRef"] = json!({"name": "app"});
        spec["source"] = quick();
        let object = json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build", "metadata": {"name": "refused"}, "spec": spec,
        });
        let said = imagefactory_tests::access::create(&tenant.client(), Some(&tenant.namespace), &object)
            .await
            .unwrap_err();
        assert!(said.contains(message), "{said}");
    }
}
