//! The publish job: in the work namespace with the platform's credential, in the tenant's with the tenant's own.

use imagefactory_crds::build::StagedImage;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PodSecurityContext, PodSpec, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::containers::{
    BUILD_SERVICE_ACCOUNT, DOCKER_CONFIG_KEY, base_pod_spec, docker_config_json, empty_dir, job, mount, platform_ca,
    platform_credential, read_only, runtime_default, staging_credential, step_container, with_mounts,
};
use crate::build::names::Stage;
use crate::build::validated::Validated;
use crate::settings::Settings;
use crate::step::{Evidence, PublishStep, paths};

const STAGING: &str = "staging-credentials";
const OUTPUT: &str = "output-credentials";

/// Copies the staged digest with its referrers, sets the tag, reads it back.
#[must_use]
pub fn publish_job(
    build: &Validated,
    owner: Option<OwnerReference>,
    staged: &StagedImage,
    referrers: &[Evidence],
    settings: &Settings,
) -> Job {
    let step = PublishStep {
        repository: staged.repository.clone(),
        digest: staged.digest.0.clone(),
        staging_prefix: format!("{}/{}", settings.staging.prefix, build.identity.tenant),
        image: build.output_image.clone(),
        output_prefixes: build.output_prefixes.clone(),
        referrers: referrers.to_vec(),
    };
    let mounts = vec![
        read_only(mount(STAGING, paths::STAGING_CREDENTIALS)),
        read_only(mount(OUTPUT, paths::OUTPUT_CREDENTIALS)),
    ];
    let place = Place::of(build, owner, settings);
    let pod = PodSpec {
        host_users: place.host_users,
        service_account_name: place.service_account,
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            seccomp_profile: Some(runtime_default()),
            ..PodSecurityContext::default()
        }),
        containers: vec![with_mounts(step_container("publish", &step, settings), mounts)],
        volumes: Some(vec![
            empty_dir("scratch", Some("64Mi")),
            platform_ca(),
            place.staging,
            place.output,
        ]),
        active_deadline_seconds: Some(settings.builds.job_deadline_seconds),
        ..base_pod_spec(settings)
    };
    job(build, Stage::Publish, &place.namespace, place.owner, pod)
}

/// Where the job runs: with whose credential decides.
struct Place {
    namespace: String,
    owner: Option<OwnerReference>,
    service_account: Option<String>,
    host_users: Option<bool>,
    staging: Volume,
    output: Volume,
}

impl Place {
    fn of(build: &Validated, owner: Option<OwnerReference>, settings: &Settings) -> Self {
        let tenant = &build.identity.tenant;
        match &build.push_secret {
            Some(secret) => Self {
                namespace: build.identity.namespace.clone(),
                owner,
                service_account: Some(BUILD_SERVICE_ACCOUNT.to_owned()),
                host_users: settings.require_user_namespaces.then_some(false),
                staging: staging_credential(STAGING),
                output: docker_config_json(OUTPUT, secret),
            },
            None => Self {
                namespace: settings.work_namespace.clone(),
                owner: None,
                service_account: None,
                host_users: None,
                staging: platform_credential(STAGING, &settings.staging, tenant, DOCKER_CONFIG_KEY),
                output: platform_credential(OUTPUT, &settings.output, tenant, DOCKER_CONFIG_KEY),
            },
        }
    }
}
