//! Pieces that pods of a build share: volumes, mounts, security contexts, literal text.

use std::collections::BTreeMap;

use imagefactory_crds::common::{ResourceList, Resources};
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar, KeyToPath, LocalObjectReference,
    PodSpec, PodTemplateSpec, ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::Serialize;

use crate::build::names::Stage;
use crate::build::validated::Validated;
use crate::settings::{PlatformRegistry, Settings};
use crate::step::{STEP_VARIABLE, paths};

/// The user of our own images outside user namespaces.
const NON_ROOT: i64 = 65532;
/// ConfigMap with the platform's certificate authorities, in every namespace where our pods run.
pub(super) const CA_CONFIG_MAP: &str = "imagefactory-ca";
/// Secret with the tenant's staging credential, in the tenant's namespace.
const STAGING_SECRET: &str = "imagefactory-staging";
/// Service account of pods in a tenant's namespace; it has no token.
pub(super) const BUILD_SERVICE_ACCOUNT: &str = "imagefactory-build";
/// Key of a Secret of type `kubernetes.io/dockerconfigjson`.
pub(super) const DOCKER_CONFIG_KEY: &str = ".dockerconfigjson";

/// Text that Kubernetes passes on as it is: `$(NAME)` in arguments and variables would be expanded otherwise.
pub(super) fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// A container of our image that is told its step.
pub(super) fn step_container<S: Serialize>(name: &str, step: &S, settings: &Settings) -> Container {
    let step = serde_json::to_string(step).unwrap_or_default();
    let mut container = bare_step_container(name, settings);
    container
        .env
        .get_or_insert_default()
        .insert(0, variable(STEP_VARIABLE, &literal(&step)));
    container
}

/// A container of our image whose name says all that it does.
pub(super) fn bare_step_container(name: &str, settings: &Settings) -> Container {
    Container {
        name: name.to_owned(),
        image: Some(settings.images.worker.clone()),
        image_pull_policy: Some(settings.images.pull_policy.clone()),
        args: Some(vec![name.to_owned()]),
        env: Some(vec![variable(
            "SSL_CERT_FILE",
            &format!("{}/{}", paths::SCRATCH, paths::CA_FILE),
        )]),
        resources: Some(requirements(&settings.builds.step_resources)),
        security_context: Some(restricted(NON_ROOT)),
        // Only the report is read: a log must never be taken for one.
        termination_message_policy: Some("File".to_owned()),
        volume_mounts: Some(vec![
            mount("scratch", paths::SCRATCH),
            read_only(mount("platform-ca", paths::PLATFORM_CA)),
        ]),
        ..Container::default()
    }
}

/// Adds mounts to a container.
pub(super) fn with_mounts(mut container: Container, mounts: Vec<VolumeMount>) -> Container {
    container.volume_mounts.get_or_insert_default().extend(mounts);
    container
}

/// No privilege, no capability, read-only root.
pub(super) fn restricted(user: i64) -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: None,
        }),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(user != 0),
        run_as_user: Some(user),
        run_as_group: Some(user),
        seccomp_profile: Some(runtime_default()),
        ..SecurityContext::default()
    }
}

pub(super) fn runtime_default() -> SeccompProfile {
    SeccompProfile {
        type_: "RuntimeDefault".to_owned(),
        localhost_profile: None,
    }
}

pub(super) fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    }
}

pub(super) fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    }
}

pub(super) fn read_only(mount: VolumeMount) -> VolumeMount {
    VolumeMount {
        read_only: Some(true),
        ..mount
    }
}

pub(super) fn empty_dir(name: &str, size: Option<&str>) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: None,
            size_limit: size.map(|size| Quantity(size.to_owned())),
        }),
        ..Volume::default()
    }
}

/// A Secret of the tenant's as files. Optional: a step of ours that misses it says so at once, where the kubelet
/// would wait for a Secret that was never made.
pub(super) fn secret(volume: &str, name: &str, items: Option<Vec<KeyToPath>>) -> Volume {
    secret_volume(volume, name, items, true)
}

fn secret_volume(volume: &str, name: &str, items: Option<Vec<KeyToPath>>, optional: bool) -> Volume {
    Volume {
        name: volume.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(name.to_owned()),
            optional: Some(optional),
            default_mode: Some(0o444),
            items,
        }),
        ..Volume::default()
    }
}

/// A `kubernetes.io/dockerconfigjson` Secret of the tenant's as one file of that name.
pub(super) fn docker_config_json(volume: &str, name: &str) -> Volume {
    secret(volume, name, Some(vec![docker_config_item()]))
}

/// The tenant's staging credential. The pod waits for it: in a new tenant it may still be on its way.
pub(super) fn staging_credential(volume: &str) -> Volume {
    secret_volume(volume, STAGING_SECRET, Some(vec![docker_config_item()]), false)
}

fn docker_config_item() -> KeyToPath {
    KeyToPath {
        key: DOCKER_CONFIG_KEY.to_owned(),
        path: DOCKER_CONFIG_KEY.to_owned(),
        mode: None,
    }
}

/// A tenant's credential for a registry of the platform, as `file`; no other tenant's comes along.
pub(super) fn platform_credential(volume: &str, registry: &PlatformRegistry, tenant: &str, file: &str) -> Volume {
    let item = KeyToPath {
        key: registry.key_for(tenant),
        path: file.to_owned(),
        mode: None,
    };
    secret_volume(volume, &registry.secret, Some(vec![item]), false)
}

/// A ConfigMap as files; `items` picks keys.
pub(super) fn config_map(volume: &str, name: &str, items: Option<Vec<KeyToPath>>) -> Volume {
    Volume {
        name: volume.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: name.to_owned(),
            optional: Some(true),
            items,
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

pub(super) fn platform_ca() -> Volume {
    config_map("platform-ca", CA_CONFIG_MAP, None)
}

pub(super) fn requirements(resources: &Resources) -> ResourceRequirements {
    let amounts = |list: Option<&ResourceList>| {
        let list = list?;
        let amounts: BTreeMap<String, Quantity> = [
            ("cpu", &list.cpu),
            ("memory", &list.memory),
            ("ephemeral-storage", &list.ephemeral_storage),
        ]
        .into_iter()
        .filter_map(|(name, amount)| Some((name.to_owned(), amount.as_ref()?.into())))
        .collect();
        (!amounts.is_empty()).then_some(amounts)
    };
    ResourceRequirements {
        requests: amounts(resources.requests.as_ref()),
        limits: amounts(resources.limits.as_ref()),
        claims: None,
    }
}

/// What every pod of ours has: no token, no service links, no restarts, the platform's pull secrets.
pub(super) fn base_pod_spec(settings: &Settings) -> PodSpec {
    let pull_secrets: Vec<_> = settings
        .images
        .pull_secrets
        .iter()
        .map(|name| LocalObjectReference { name: name.clone() })
        .collect();
    PodSpec {
        restart_policy: Some("Never".to_owned()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(10),
        image_pull_secrets: (!pull_secrets.is_empty()).then_some(pull_secrets),
        ..PodSpec::default()
    }
}

/// A job that runs its pod once. The deadline stands in the pod: a job that meets its own deadline deletes the pod,
/// and the log with it. It has no time to live: what was not read yet must not vanish; the janitor removes it later.
pub(super) fn job(
    build: &Validated,
    stage: Stage,
    namespace: &str,
    owner: Option<OwnerReference>,
    pod: PodSpec,
) -> Job {
    let identity = &build.identity;
    job_of(
        identity.object_name(stage),
        identity.labels(stage),
        namespace,
        owner,
        pod,
    )
}

/// The same by name and labels, for whatever it is made.
pub(super) fn job_of(
    name: String,
    labels: BTreeMap<String, String>,
    namespace: &str,
    owner: Option<OwnerReference>,
    pod: PodSpec,
) -> Job {
    Job {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(namespace.to_owned()),
            labels: Some(labels.clone()),
            owner_references: owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(0),
            // A second pod only after the first has ended: one live pod an attempt.
            pod_replacement_policy: Some("Failed".to_owned()),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod),
            },
            ..JobSpec::default()
        }),
        status: None,
    }
}
