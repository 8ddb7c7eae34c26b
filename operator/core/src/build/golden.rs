//! The objects made for a build, as text: a change of behaviour is a change of these files.

use imagefactory_crds::build::{BaseImage, PlatformImage, SourceStatus, StagedImage};
use serde_json::json;

use super::fixtures::{World, digest};
use super::objects::{build_pod, publish_job, scan_job};
use super::validated::Validated;
use crate::step::Evidence;

/// A build that uses everything, with text that shells, YAML and Kubernetes' expansion would take apart.
fn elaborate() -> World {
    let mut world = World::new();
    world.build.spec = serde_json::from_value(json!({
        "projectRef": {"name": "web"},
        "source": {
            "git": {"url": "https://git.example.com/team/app", "revision": "main", "secretRef": {"name": "git"}},
            "contextDir": "services/api",
            "dockerfile": "docker/Dockerfile",
        },
        "buildArgs": [{"name": "GREETING", "value": "-- $(HOME) `id` ; \"'"}],
        "target": "final",
        "labels": [{"name": "org.example.team", "value": "a$$b"}],
        "pullSecrets": [{"name": "bases"}, {"name": "more-bases"}],
        "registryMirrors": [{"registry": "ghcr.io", "mirror": "mirror.example.com/ghcr"}],
        "caBundle": {"name": "authorities", "key": "bundle.pem"},
        "output": {"image": "registry.example.com/output/acme/api:1.2", "pushSecretRef": {"name": "push"}},
        "resources": {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
        "timeout": "1h30m",
    }))
    .unwrap();
    world
}

fn staged() -> StagedImage {
    StagedImage {
        repository: "registry.example.com/staging/acme/builds/web/uid".to_owned(),
        digest: digest('a'),
        size: 1,
        platforms: Vec::new(),
    }
}

fn validated(world: &World) -> Validated {
    world.validated().unwrap()
}

#[test]
fn the_pod_of_a_plain_build() {
    let world = World::new();
    insta::assert_yaml_snapshot!(build_pod(&validated(&world), None, world.now, &world.settings));
}

#[test]
fn the_pod_of_a_build_that_uses_everything() {
    let world = elaborate();
    insta::assert_yaml_snapshot!(build_pod(&validated(&world), None, world.now, &world.settings));
}

/// Where it runs, with what, and through which proxy.
fn placed(mut spec: serde_json::Value) -> World {
    let more = json!({
        "projectRef": {"name": "web"},
        "source": {"oci": {"image": "docker.io/library/source:1"}},
        "pullSecrets": [{"name": "bases"}],
        "proxy": {"http": "http://proxy.example.com:3128", "exceptions": [".example.com", "10.0.0.0/8"]},
        "placement": {
            "nodeSelector": [{"key": "pool", "value": "builds"}],
            "tolerations": [{"key": "builds", "value": "only"}, {"key": "spot", "effect": "NoSchedule"}],
            "priorityClassName": "low", "runtimeClassName": "gvisor", "schedulerName": "packing",
        },
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut world = World::new();
    world.build.spec = serde_json::from_value(spec).unwrap();
    world.settings.builds.placement = serde_json::from_value(json!({
        "nodeSelector": [{"key": "pool", "value": "builds"}], "tolerations": [{"key": "builds"}, {"key": "spot"}],
        "priorityClassNames": ["low"], "runtimeClassNames": ["gvisor"], "schedulerNames": ["packing"],
    }))
    .unwrap();
    world
}

#[test]
fn the_pod_of_a_build_with_a_cache_that_is_placed() {
    let world = placed(json!({"cache": {"mode": "Use"}}));
    insta::assert_yaml_snapshot!(build_pod(&validated(&world), None, world.now, &world.settings));
}

#[test]
fn a_build_argument_counts_before_the_proxy_of_its_name() {
    let world = placed(json!({"buildArgs": [{"name": "HTTP_PROXY", "value": "http://mine"}]}));
    let pod = build_pod(&validated(&world), None, world.now, &world.settings)
        .spec
        .unwrap();
    let builder = (pod.init_containers.iter().flatten()).find(|container| container.name == "build");
    let told: Vec<_> = (builder.unwrap().args.iter().flatten())
        .filter_map(|argument| argument.strip_prefix("--build-arg="))
        .collect();
    let exceptions = ".example.com,10.0.0.0/8";
    assert_eq!(
        told,
        [
            "http_proxy=http://proxy.example.com:3128".to_owned(),
            format!("NO_PROXY={exceptions}"),
            format!("no_proxy={exceptions}"),
            "HTTP_PROXY=http://mine".to_owned(),
        ]
    );
}

#[test]
fn the_pod_of_a_build_by_a_program_of_the_tenants() {
    let world = placed(json!({
        "method": "custom",
        "custom": {
            "image": format!("docker.io/library/builder{}", "@sha256:".to_owned() + &"a".repeat(64)),
            "command": ["/bin/build", "$(HOME)"], "args": ["-- `id`; \"'"],
            "env": [{"name": "MODE", "value": "$(PATH)"}, {"name": "DOCKER_CONFIG", "value": "/elsewhere"}],
        },
        "secrets": [{"id": "npm", "secretRef": {"name": "npm-token", "key": "token"}}],
    }));
    insta::assert_yaml_snapshot!(build_pod(&validated(&world), None, world.now, &world.settings));
}

#[test]
fn the_pod_of_a_build_for_two_platforms() {
    let world = placed(json!({
        "method": "buildx", "platforms": ["linux/amd64", "linux/arm64"], "cache": {"mode": "Use"},
        "secrets": [
            {"id": "npm", "secretRef": {"name": "npm-token", "key": "token"}},
            {"id": "pip", "secretRef": {"name": "pip-token", "key": "token"}},
        ],
        "buildArgs": [{"name": "GREETING", "value": "$(HOME)"}],
    }));
    insta::assert_yaml_snapshot!(build_pod(&validated(&world), None, world.now, &world.settings));
}

#[test]
fn the_scan_job_of_an_index() {
    let world = World::new();
    let staged = StagedImage {
        platforms: vec![
            PlatformImage {
                platform: "linux/amd64".to_owned(),
                digest: digest('b'),
            },
            PlatformImage {
                platform: "linux/arm64".to_owned(),
                digest: digest('c'),
            },
        ],
        ..staged()
    };
    insta::assert_yaml_snapshot!(scan_job(&validated(&world), &staged, Some(&source()), &world.settings));
}

#[test]
fn the_scan_job() {
    let mut world = World::new();
    world.settings.scan.java_database_claim = Some("java-database".to_owned());
    insta::assert_yaml_snapshot!(scan_job(&validated(&world), &staged(), None, &world.settings));
}

#[test]
fn the_publish_job_with_the_platforms_credential() {
    let world = World::new();
    insta::assert_yaml_snapshot!(publish_job(&validated(&world), None, &staged(), &[], &world.settings));
}

#[test]
fn the_publish_job_with_the_tenants_own_credential_runs_in_its_namespace() {
    let world = elaborate();
    insta::assert_yaml_snapshot!(publish_job(
        &validated(&world),
        None,
        &staged(),
        &evidence(),
        &world.settings
    ));
}

#[test]
fn the_waiver_of_user_namespaces_leaves_the_pod_without_one() {
    let mut world = World::new();
    world.settings.require_user_namespaces = false;
    let pod = build_pod(&validated(&world), None, world.now, &world.settings);
    assert_eq!(pod.spec.unwrap().host_users, None);
}

fn source() -> SourceStatus {
    SourceStatus {
        commit: Some("c".repeat(40)),
        bases: vec![BaseImage {
            reference: "registry.example.com/base:1".to_owned(),
            digest: digest('b'),
        }],
        more_bases: None,
    }
}

fn evidence() -> Vec<Evidence> {
    vec![Evidence {
        subject: digest('a').0,
        digest: digest('b').0,
        platform: None,
    }]
}
