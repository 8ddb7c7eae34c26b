//! The pod that builds: `prepare` (ours), `build` (the builder, the only container that runs tenant code), `push` (ours).

use k8s_openapi::api::core::v1::{Capabilities, Container, KeyToPath, Pod, PodSpec, SecurityContext, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::containers::{
    BUILD_SERVICE_ACCOUNT, base_pod_spec, config_map, docker_config_json, empty_dir, literal, mount, platform_ca,
    read_only, requirements, restricted, runtime_default, secret, staging_credential, step_container, variable,
    with_mounts,
};
use crate::build::failure::BUILDER;
use crate::build::names::Stage;
use crate::build::validated::Validated;
use crate::settings::Settings;
use crate::step::{PrepareStep, PushStep, paths};

/// Most bytes that an image may have when it is pushed.
const MAX_IMAGE_BYTES: u64 = 64 << 30;

/// The pod of this attempt.
#[must_use]
pub fn build_pod(build: &Validated, owner: Option<OwnerReference>, settings: &Settings) -> Pod {
    Pod {
        metadata: ObjectMeta {
            name: Some(build.identity.object_name(Stage::Build)),
            namespace: Some(build.identity.namespace.clone()),
            labels: Some(build.identity.labels(Stage::Build)),
            owner_references: owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            host_users: settings.require_user_namespaces.then_some(false),
            service_account_name: Some(BUILD_SERVICE_ACCOUNT.to_owned()),
            active_deadline_seconds: Some(build.timeout.as_secs()),
            init_containers: Some(vec![prepare(build, settings), builder(build, settings)]),
            containers: vec![push(build, settings)],
            volumes: Some(volumes(build, settings)),
            ..base_pod_spec(settings)
        }),
        status: None,
    }
}

/// Root of the pod's own user namespace, so that what it fetches belongs to the root that builds; no capability.
fn prepare(build: &Validated, settings: &Settings) -> Container {
    let step = PrepareStep {
        require_user_namespace: settings.require_user_namespaces,
        source: build.source.clone(),
        context_dir: build.context_dir.clone(),
        dockerfile: build.dockerfile.clone(),
        build_args: build.build_args.clone(),
        target: build.target.clone(),
        mirrors: build.mirrors.clone(),
        pull_secrets: build.pull_secrets.len(),
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

/// Kaniko. Its arguments are a list, never a shell's line; it can pull and write a layout, and nothing else.
fn builder(build: &Validated, settings: &Settings) -> Container {
    Container {
        name: BUILDER.to_owned(),
        image: Some(settings.images.kaniko.clone()),
        image_pull_policy: Some(settings.images.pull_policy.clone()),
        args: Some(kaniko_arguments(build)),
        env: Some(vec![
            variable("DOCKER_CONFIG", &format!("{}/docker", paths::PREPARED)),
            variable("SSL_CERT_FILE", &format!("{}/{}", paths::PREPARED, paths::CA_FILE)),
        ]),
        resources: Some(requirements(&build.resources)),
        security_context: Some(SecurityContext {
            run_as_user: Some(0),
            run_as_group: Some(0),
            seccomp_profile: Some(runtime_default()),
            capabilities: Some(builder_capabilities()),
            ..SecurityContext::default()
        }),
        // The end of its log is all that is kept of it in status; nobody takes it for a report.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(vec![
            read_only(mount("workspace", paths::WORKSPACE)),
            read_only(mount("prepared", paths::PREPARED)),
            mount("layout", paths::LAYOUT),
        ]),
        ..Container::default()
    }
}

/// What steps of a Dockerfile need of root, within the pod's user namespace. Not NET_RAW: a build must not forge
/// packets of its neighbours. Not MKNOD: a user namespace makes no devices.
fn builder_capabilities() -> Capabilities {
    let needed = [
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETFCAP",
        "SETGID",
        "SETUID",
        "SYS_CHROOT",
    ];
    Capabilities {
        drop: Some(vec!["ALL".to_owned()]),
        add: Some(needed.into_iter().map(str::to_owned).collect()),
    }
}

fn kaniko_arguments(build: &Validated) -> Vec<String> {
    let context = match build.context_dir.as_str() {
        "" => paths::WORKSPACE.to_owned(),
        directory => format!("{}/{directory}", paths::WORKSPACE),
    };
    let mut arguments = vec![
        format!("--context=dir://{context}"),
        format!("--dockerfile={}/{}", paths::PREPARED, paths::DOCKERFILE),
        "--no-push".to_owned(),
        format!("--oci-layout-path={}", paths::LAYOUT),
        "--force".to_owned(),
        "--log-format=text".to_owned(),
    ];
    arguments.extend(build.target.iter().map(|target| format!("--target={target}")));
    arguments.extend(
        build
            .build_args
            .iter()
            .map(|argument| format!("--build-arg={}={}", argument.name, argument.value)),
    );
    arguments.extend(
        build
            .labels
            .iter()
            .map(|label| format!("--label={}={}", label.name, label.value)),
    );
    arguments.extend(build.mirrors.iter().map(|mirror| {
        let registry = if mirror.registry.as_str() == "docker.io" {
            "index.docker.io"
        } else {
            mirror.registry.as_str()
        };
        format!("--registry-map={registry}={}", mirror.mirror)
    }));
    arguments.iter().map(|argument| literal(argument)).collect()
}

/// Takes the layout as hostile, and alone holds the staging credential.
fn push(build: &Validated, settings: &Settings) -> Container {
    let step = PushStep {
        repository: build.staging_repository.clone(),
        credential_prefix: format!("{}/{}", settings.staging.prefix, build.identity.tenant),
        tag: format!("attempt-{}", build.identity.attempt),
        max_bytes: MAX_IMAGE_BYTES,
    };
    let mounts = vec![
        read_only(mount("layout", paths::LAYOUT)),
        read_only(mount("staging-credentials", paths::STAGING_CREDENTIALS)),
    ];
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
