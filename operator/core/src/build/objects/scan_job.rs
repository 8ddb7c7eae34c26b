//! The scan job, in the work namespace: `install` (ours), `scan` (the scanner, run by our program), `evaluate` (ours).

use imagefactory_crds::build::{SourceStatus, StagedImage};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, SecretKeySelector,
    Volume,
};

use super::containers::{
    DOCKER_CONFIG_KEY, bare_step_container, base_pod_spec, empty_dir, job, mount, platform_ca, platform_credential,
    read_only, requirements, runtime_default, step_container, variable, with_mounts,
};
use crate::build::facts;
use crate::build::names::Stage;
use crate::build::validated::Validated;
use crate::settings::Settings;
use crate::step::{EvaluateStep, ScanStep, paths};

const CACHE: &str = "/cache";
const DOCKER_CONFIG: &str = "/docker";

/// Scans the staged digest and judges it; `source` is what the build was made from, as far as it was recorded.
#[must_use]
pub fn scan_job(build: &Validated, staged: &StagedImage, source: Option<&SourceStatus>, settings: &Settings) -> Job {
    let pod = PodSpec {
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            fs_group: Some(65532),
            seccomp_profile: Some(runtime_default()),
            ..PodSecurityContext::default()
        }),
        init_containers: Some(vec![install(settings), scan(staged, settings)]),
        containers: vec![evaluate(build, staged, source, settings)],
        active_deadline_seconds: Some(settings.builds.job_deadline_seconds),
        volumes: Some(volumes(build, settings)),
        ..base_pod_spec(settings)
    };
    job(build, Stage::Scan, &settings.work_namespace, None, pod)
}

/// Puts our program where the scanner's container can run it: one container then scans every image of an index, where
/// one for each would leave their reports no room in the pod's status.
fn install(settings: &Settings) -> Container {
    with_mounts(
        bare_step_container("install", settings),
        vec![mount("tools", paths::TOOLS)],
    )
}

/// Trivy's client against the server, which alone has the vulnerability database. Our program runs it for each image
/// by a list of arguments, and has it write the SBOM from the same findings.
fn scan(staged: &StagedImage, settings: &Settings) -> Container {
    let step = ScanStep {
        repository: staged.repository.clone(),
        digests: digests(staged),
        server_url: settings.scan.server_url.clone(),
        timeout_seconds: settings.builds.job_deadline_seconds,
    };
    let token = SecretKeySelector {
        name: settings.scan.token_secret.clone(),
        key: "token".to_owned(),
        optional: None,
    };
    let mut mounts = vec![
        read_only(mount("tools", paths::TOOLS)),
        mount("reports", paths::REPORTS),
        mount("cache", CACHE),
        read_only(mount("docker", DOCKER_CONFIG)),
    ];
    if settings.scan.java_database_claim.is_some() {
        mounts.push(read_only(mount("java-database", "/cache/java-db")));
    }
    let mut container = with_mounts(step_container("scan", &step, settings), mounts);
    container.image = Some(settings.images.trivy.clone());
    container.command = Some(vec![format!("{}/worker", paths::TOOLS)]);
    container.resources = Some(requirements(&settings.scan.resources));
    container
        .env
        .get_or_insert_default()
        .retain(|variable| variable.name != "SSL_CERT_FILE");
    container.env.get_or_insert_default().extend([
        EnvVar {
            name: "TRIVY_TOKEN".to_owned(),
            value: None,
            value_from: Some(EnvVarSource {
                secret_key_ref: Some(token),
                ..EnvVarSource::default()
            }),
        },
        variable("TMPDIR", paths::SCRATCH),
        variable("DOCKER_CONFIG", DOCKER_CONFIG),
        // Beside the public authorities, which Go finds by itself.
        variable("SSL_CERT_DIR", &format!("/etc/ssl/certs:{}", paths::PLATFORM_CA)),
    ]);
    container
}

/// The images that are scanned: the staged one, or each of an index.
fn digests(staged: &StagedImage) -> Vec<String> {
    match staged.platforms.as_slice() {
        [] => vec![staged.digest.0.clone()],
        images => images.iter().map(|image| image.digest.0.clone()).collect(),
    }
}

fn evaluate(build: &Validated, staged: &StagedImage, source: Option<&SourceStatus>, settings: &Settings) -> Container {
    let step = EvaluateStep {
        repository: staged.repository.clone(),
        digest: staged.digest.0.clone(),
        platforms: staged.platforms.clone(),
        credential_prefix: format!("{}/{}", settings.staging.prefix, build.identity.tenant),
        policies: build.policies.clone(),
        server_url: settings.scan.server_url.clone(),
        java_database: settings.scan.java_database_claim.is_some(),
        build: Some(facts::of(build, source)),
    };
    let mounts = vec![
        read_only(mount("reports", paths::REPORTS)),
        read_only(mount("staging-credentials", paths::STAGING_CREDENTIALS)),
    ];
    with_mounts(step_container("evaluate", &step, settings), mounts)
}

fn volumes(build: &Validated, settings: &Settings) -> Vec<Volume> {
    let tenant = &build.identity.tenant;
    let mut volumes = vec![
        empty_dir("tools", Some("256Mi")),
        empty_dir("reports", Some("8Gi")),
        empty_dir("cache", Some(&settings.builds.volume_size)),
        empty_dir("scratch", Some(&settings.builds.volume_size)),
        platform_ca(),
        platform_credential("docker", &settings.staging, tenant, "config.json"),
        platform_credential("staging-credentials", &settings.staging, tenant, DOCKER_CONFIG_KEY),
    ];
    volumes.extend(settings.scan.java_database_claim.iter().map(|claim| Volume {
        name: "java-database".to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.clone(),
            read_only: Some(true),
        }),
        ..Volume::default()
    }));
    volumes
}
