//! The container that builds, one way for each method. It is the only one that runs tenant code: it can pull, read the
//! build's own secrets and the project's cache, and write a layout, and nothing else.

mod buildkit;
mod custom;
mod kaniko;

use imagefactory_crds::build::{CacheMode, Method, Proxy};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvVar, KeyToPath, ProjectedVolumeSource, SecretProjection, Volume, VolumeMount,
    VolumeProjection,
};

use super::containers::{empty_dir, mount, read_only, requirements, variable};
use crate::build::failure::BUILDER;
use crate::build::validated::Validated;
use crate::settings::Settings;
use crate::step::{Builder, paths};

const BUILD_SECRETS: &str = "build-secrets";

/// The container that builds.
pub(super) fn builder(build: &Validated, settings: &Settings) -> Container {
    match build.method {
        Method::Kaniko => kaniko::container(build, settings),
        Method::Custom => custom::container(build, settings),
        Method::Buildx | Method::Docker => buildkit::container(build, settings),
    }
}

/// What is prepared for the method.
pub(super) fn kind(method: Method) -> Builder {
    match method {
        Method::Kaniko => Builder::Kaniko,
        Method::Buildx | Method::Docker => Builder::Buildkit,
        Method::Custom => Builder::Custom,
    }
}

/// Name of the tag that a method's cache has: what one builder writes another can't read.
pub(super) fn cache_tag(method: Method) -> &'static str {
    match method {
        Method::Kaniko => "kaniko",
        Method::Buildx | Method::Docker | Method::Custom => "buildkit",
    }
}

/// Volumes that only the builder and what hands them over need.
pub(super) fn volumes(build: &Validated, settings: &Settings) -> Vec<Volume> {
    let size = Some(settings.builds.volume_size.as_str());
    let mut volumes: Vec<Volume> = build_secrets(build).into_iter().collect();
    if kind(build.method) == Builder::Buildkit {
        volumes.push(empty_dir(buildkit::STATE, size));
    }
    if build.cache != CacheMode::Disabled {
        volumes.push(empty_dir("cache-in", size));
        volumes.push(empty_dir("cache-out", size));
    }
    volumes
}

/// The build's secrets as one directory with a file for each. Optional: `prepare` looks and says what is missing, where
/// the kubelet would wait for it.
fn build_secrets(build: &Validated) -> Option<Volume> {
    let sources: Vec<_> = build
        .secrets
        .iter()
        .map(|of| VolumeProjection {
            secret: Some(SecretProjection {
                name: of.secret_ref.name.0.clone(),
                items: Some(vec![KeyToPath {
                    key: of.secret_ref.key.0.clone(),
                    path: of.id.0.clone(),
                    mode: None,
                }]),
                optional: Some(true),
            }),
            ..VolumeProjection::default()
        })
        .collect();
    (!sources.is_empty()).then(|| Volume {
        name: BUILD_SECRETS.to_owned(),
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(0o444),
            sources: Some(sources),
        }),
        ..Volume::default()
    })
}

/// The build's secrets as files, for `prepare` to look at and for the builder.
pub(super) fn secrets_mount(build: &Validated) -> Option<VolumeMount> {
    (!build.secrets.is_empty()).then(|| read_only(mount(BUILD_SECRETS, paths::BUILD_SECRETS)))
}

/// What every builder has: its resources, the source and what was prepared, the layout to write, secrets, cache.
fn container(build: &Validated, settings: &Settings) -> Container {
    Container {
        name: BUILDER.to_owned(),
        image_pull_policy: Some(settings.images.pull_policy.clone()),
        env: Some(environment(build)),
        resources: Some(requirements(&build.resources)),
        // The end of its log is all that is kept of it in status; nobody takes it for a report.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(mounts(build)),
        ..Container::default()
    }
}

fn mounts(build: &Validated) -> Vec<VolumeMount> {
    let mut mounts = vec![
        read_only(mount("workspace", paths::WORKSPACE)),
        read_only(mount("prepared", paths::PREPARED)),
        mount("layout", paths::LAYOUT),
    ];
    mounts.extend(secrets_mount(build));
    if build.cache != CacheMode::Disabled {
        mounts.push(mount("cache-out", paths::CACHE_OUT));
        mounts.push(read_only(mount("cache-in", paths::CACHE_IN)));
    }
    mounts
}

fn environment(build: &Validated) -> Vec<EnvVar> {
    let mut environment = vec![
        variable("DOCKER_CONFIG", &format!("{}/docker", paths::PREPARED)),
        variable("SSL_CERT_FILE", &format!("{}/{}", paths::PREPARED, paths::CA_FILE)),
    ];
    environment.extend(build.proxy.iter().flat_map(proxy_variables));
    environment
}

/// A proxy as the variables that programs read.
pub(in crate::build::objects) fn proxy_variables(proxy: &Proxy) -> Vec<EnvVar> {
    let named = proxy_values(proxy);
    named.iter().map(|(name, value)| variable(name, value)).collect()
}

/// A proxy as names and values, in both spellings.
fn proxy_values(proxy: &Proxy) -> Vec<(String, String)> {
    let exceptions = proxy
        .exceptions
        .iter()
        .map(|exception| exception.as_str())
        .collect::<Vec<_>>()
        .join(",");
    let named = [
        ("HTTP_PROXY", proxy.http.as_ref().map(ToString::to_string)),
        ("HTTPS_PROXY", proxy.https.as_ref().map(ToString::to_string)),
        ("NO_PROXY", (!exceptions.is_empty()).then_some(exceptions)),
    ];
    let set = named.into_iter().filter_map(|(name, value)| Some((name, value?)));
    set.flat_map(|(name, value)| [(name.to_owned(), value.clone()), (name.to_ascii_lowercase(), value)])
        .collect()
}

/// What steps of a Dockerfile need of root, within the pod's user namespace. Not NET_RAW: a build must not forge
/// packets of its neighbours. Not MKNOD: a user namespace makes no devices.
fn capabilities() -> Capabilities {
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
