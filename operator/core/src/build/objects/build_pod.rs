//! The pod that builds: `prepare` and `load-cache` (ours), `build` (the builder, the only container that runs tenant
//! code), `push` (ours).

use std::collections::BTreeMap;

use imagefactory_crds::build::{CacheMode, ClassName, RegistryMirror};
use imagefactory_crds::names::ANNOTATION_RESOLVED_SPEC;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, KeyToPath, LocalObjectReference, Pod, PodSpec, Toleration, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::builders;
use super::containers::{
    BUILD_SERVICE_ACCOUNT, base_pod_spec, config_map, docker_config_json, empty_dir, mount, platform_ca, read_only,
    restricted, secret, staging_credential, step_container, variable, with_mounts,
};
use crate::build::names::{Stage, staging_tag};
use crate::build::validated::Validated;
use crate::settings::Settings;
use crate::step::{Builder, CachePlace, LoadCacheStep, PrepareStep, PushStep, paths};

/// Most bytes that an image may have when it is pushed.
const MAX_IMAGE_BYTES: u64 = 64 << 30;

/// The pod of this attempt, which begins now.
#[must_use]
pub fn build_pod(build: &Validated, owner: Option<OwnerReference>, now: Timestamp, settings: &Settings) -> Pod {
    Pod {
        metadata: ObjectMeta {
            name: Some(build.identity.object_name(Stage::Build)),
            namespace: Some(build.identity.namespace.clone()),
            labels: Some(build.identity.labels(Stage::Build)),
            annotations: record(build),
            owner_references: owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            host_users: settings.require_user_namespaces.then_some(false),
            service_account_name: Some(BUILD_SERVICE_ACCOUNT.to_owned()),
            active_deadline_seconds: Some(build.timeout.as_secs()),
            init_containers: Some(
                [Some(prepare(build, settings)), load_cache(build, settings)]
                    .into_iter()
                    .flatten()
                    .chain([builders::builder(build, settings)])
                    .collect(),
            ),
            containers: vec![push(build, now, settings)],
            volumes: Some(volumes(build, settings)),
            ..placed(build, base_pod_spec(settings))
        }),
        status: None,
    }
}

/// What the pod was made for, said by itself too: its maker may die before the status says it.
fn record(build: &Validated) -> Option<BTreeMap<String, String>> {
    let text = serde_json::to_string(&build.resolved).ok()?;
    Some(BTreeMap::from([(ANNOTATION_RESOLVED_SPEC.to_owned(), text)]))
}

/// Where the build may run, and with whose credentials the kubelet pulls a custom builder.
fn placed(build: &Validated, base: PodSpec) -> PodSpec {
    let placement = &build.placement;
    let node_selector: BTreeMap<_, _> = placement
        .node_selector
        .iter()
        .map(|label| (label.key.0.clone(), label.value.0.clone()))
        .collect();
    let tolerations: Vec<_> = placement
        .tolerations
        .iter()
        .map(|toleration| Toleration {
            key: Some(toleration.key.0.clone()),
            operator: Some(if toleration.value.is_some() { "Equal" } else { "Exists" }.to_owned()),
            value: toleration.value.as_ref().map(|value| value.0.clone()),
            effect: toleration.effect.map(|effect| effect.as_str().to_owned()),
            ..Toleration::default()
        })
        .collect();
    let class = |name: &Option<ClassName>| name.as_ref().map(|name| name.0.clone());
    let own_secrets = build.custom.iter().flat_map(|_| &build.pull_secrets);
    let image_pull_secrets: Vec<_> = (base.image_pull_secrets.into_iter().flatten())
        .chain(own_secrets.map(|name| LocalObjectReference { name: name.clone() }))
        .collect();
    PodSpec {
        node_selector: (!node_selector.is_empty()).then_some(node_selector),
        tolerations: (!tolerations.is_empty()).then_some(tolerations),
        priority_class_name: class(&placement.priority_class_name),
        runtime_class_name: class(&placement.runtime_class_name),
        scheduler_name: class(&placement.scheduler_name),
        image_pull_secrets: (!image_pull_secrets.is_empty()).then_some(image_pull_secrets),
        ..base
    }
}

/// Root of the pod's own user namespace, so that what it fetches belongs to the root that builds; no capability.
fn prepare(build: &Validated, settings: &Settings) -> Container {
    let (mirrors, platform_mirrors) = by_whose(&build.mirrors, settings);
    let step = PrepareStep {
        require_user_namespace: settings.require_user_namespaces,
        builder: builders::kind(build.method),
        pull_prefixes: build.pull_prefixes.clone(),
        closed: build.closed.clone(),
        proxy: build.proxy.clone(),
        source: build.source.clone(),
        context_dir: build.context_dir.clone(),
        dockerfile: build.dockerfile.clone(),
        build_args: build.build_args.clone(),
        target: build.target.clone(),
        mirrors,
        platform_mirrors,
        pull_secrets: build.pull_secrets.clone(),
        secrets: build.secrets.iter().map(|secret| secret.id.0.clone()).collect(),
    };
    let mut mounts = vec![mount("workspace", paths::WORKSPACE), mount("prepared", paths::PREPARED)];
    let inputs = [
        (build.git_secret.is_some(), "git-credentials", paths::GIT_CREDENTIALS),
        (build.source_config_map.is_some(), "source-config", paths::SOURCE_CONFIG),
        (build.ca_bundle.is_some(), "build-ca", paths::BUILD_CA),
    ];
    mounts.extend(
        inputs
            .into_iter()
            .filter(|(used, ..)| *used)
            .map(|(_, volume, path)| read_only(mount(volume, path))),
    );
    mounts.extend(
        pull_volumes(build)
            .map(|(volume, index, _)| read_only(mount(&volume, &format!("{}/{index}", paths::PULL_CREDENTIALS)))),
    );
    mounts.extend(builders::secrets_mount(build));
    let mut container = with_mounts(step_container("prepare", &step, settings), mounts);
    container.security_context = Some(restricted(0));
    container
        .env
        .get_or_insert_default()
        .retain(|variable| variable.name != "SSL_CERT_FILE");
    container.env.get_or_insert_default().push(variable(
        "SSL_CERT_FILE",
        &format!("{}/{}", paths::PREPARED, paths::CA_FILE),
    ));
    container
}

/// The build's own mirrors, and the platform's, which come last. Where it can't be told, none is the platform's.
fn by_whose(mirrors: &[RegistryMirror], settings: &Settings) -> (Vec<RegistryMirror>, Vec<RegistryMirror>) {
    match mirrors.strip_suffix(settings.mirrors.as_slice()) {
        Some(own) => (own.to_vec(), settings.mirrors.clone()),
        None => (mirrors.to_vec(), Vec::new()),
    }
}

/// Lays the project's cache out for the builder. Kaniko reads where it writes, so it finds what there was in that place.
fn load_cache(build: &Validated, settings: &Settings) -> Option<Container> {
    if build.cache != CacheMode::Use {
        return None;
    }
    let step = LoadCacheStep {
        cache: cache_place(build, settings)?,
        credential_prefix: format!("{}/{}", settings.staging.prefix, build.identity.tenant),
    };
    let volume = match builders::kind(build.method) {
        Builder::Kaniko => "cache-out",
        Builder::Buildkit | Builder::Custom => "cache-in",
    };
    let mounts = vec![
        mount(volume, paths::CACHE_IN),
        read_only(mount("staging-credentials", paths::STAGING_CREDENTIALS)),
    ];
    let mut container = with_mounts(step_container("load-cache", &step, settings), mounts);
    container.security_context = Some(restricted(0));
    Some(container)
}

fn cache_place(build: &Validated, settings: &Settings) -> Option<CachePlace> {
    (build.cache != CacheMode::Disabled).then(|| CachePlace {
        repository: format!(
            "{}/{}/cache/{}",
            settings.staging.prefix, build.identity.tenant, build.identity.project
        ),
        tag: builders::cache_tag(build.method).to_owned(),
        max_bytes: settings.builds.cache_max_bytes,
    })
}

/// Takes the layout as hostile, and alone holds the staging credential.
fn push(build: &Validated, now: Timestamp, settings: &Settings) -> Container {
    let step = PushStep {
        repository: build.staging_repository.clone(),
        credential_prefix: format!("{}/{}", settings.staging.prefix, build.identity.tenant),
        tag: staging_tag(build.identity.attempt),
        max_bytes: MAX_IMAGE_BYTES,
        platforms: build.platforms.clone(),
        cache: cache_place(build, settings),
        deadline: (build.cache != CacheMode::Disabled).then(|| now.as_second().saturating_add(build.timeout.as_secs())),
    };
    let mut mounts = vec![
        read_only(mount("layout", paths::LAYOUT)),
        read_only(mount("staging-credentials", paths::STAGING_CREDENTIALS)),
    ];
    if build.cache != CacheMode::Disabled {
        mounts.push(read_only(mount("cache-out", paths::CACHE_OUT)));
    }
    let mut container = with_mounts(step_container("push", &step, settings), mounts);
    // The builder's files belong to root of the pod's user namespace and nobody else may read them. No capability.
    container.security_context = Some(restricted(0));
    container
}

fn volumes(build: &Validated, settings: &Settings) -> Vec<Volume> {
    let size = Some(settings.builds.volume_size.as_str());
    let mut volumes = vec![
        empty_dir("workspace", size),
        empty_dir("prepared", Some("64Mi")),
        empty_dir("layout", size),
        empty_dir("scratch", Some("64Mi")),
        platform_ca(),
        staging_credential("staging-credentials"),
    ];
    volumes.extend(
        build
            .git_secret
            .iter()
            .map(|name| secret("git-credentials", name, None)),
    );
    volumes.extend(
        build
            .source_config_map
            .iter()
            .map(|name| config_map("source-config", name, None)),
    );
    volumes.extend(build.ca_bundle.iter().map(|(name, key)| {
        let item = KeyToPath {
            key: key.clone(),
            path: "ca.crt".to_owned(),
            mode: None,
        };
        config_map("build-ca", name, Some(vec![item]))
    }));
    volumes.extend(builders::volumes(build, settings));
    volumes.extend(pull_volumes(build).map(|(volume, _, name)| docker_config_json(&volume, name)));
    volumes
}

fn pull_volumes(build: &Validated) -> impl Iterator<Item = (String, usize, &String)> {
    build
        .pull_secrets
        .iter()
        .enumerate()
        .map(|(index, name)| (format!("pull-credentials-{index}"), index, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::fixtures::World;

    fn mirror(registry: &str) -> RegistryMirror {
        RegistryMirror {
            registry: registry.into(),
            mirror: "mirror.example.com".into(),
        }
    }

    #[test]
    fn a_mirror_is_the_platforms_only_where_it_can_be_told() {
        let mut world = World::new();
        world.settings.mirrors = vec![mirror("docker.io")];
        for (mirrors, own) in [
            (vec![mirror("docker.io")], 0),
            (vec![mirror("ghcr.io"), mirror("docker.io")], 1),
            (vec![mirror("docker.io"), mirror("docker.io")], 1),
            (vec![mirror("ghcr.io")], 1),
        ] {
            let (mine, platforms) = by_whose(&mirrors, &world.settings);
            assert_eq!((mine.len(), platforms.len()), (own, mirrors.len() - own), "{mirrors:?}");
        }
    }
}
