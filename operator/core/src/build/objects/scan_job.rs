//! The scan job, in the work namespace: `scan` and `sbom` (the scanner), then `evaluate` (ours).

use imagefactory_crds::build::StagedImage;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, SecretKeySelector,
    Volume,
};

use super::containers::{
    DOCKER_CONFIG_KEY, base_pod_spec, empty_dir, job, mount, platform_ca, platform_credential, read_only, requirements,
    restricted, runtime_default, step_container, variable, with_mounts,
};
use crate::build::names::Stage;
use crate::build::validated::Validated;
use crate::settings::Settings;
use crate::step::{EvaluateStep, paths};

const CACHE: &str = "/cache";
const DOCKER_CONFIG: &str = "/docker";

/// Scans the staged digest and judges it.
#[must_use]
pub fn scan_job(build: &Validated, staged: &StagedImage, settings: &Settings) -> Job {
    let pod = PodSpec {
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            fs_group: Some(65532),
            seccomp_profile: Some(runtime_default()),
            ..PodSecurityContext::default()
        }),
        init_containers: Some(vec![scan(staged, settings), sbom(settings)]),
        containers: vec![evaluate(build, staged, settings)],
        active_deadline_seconds: Some(settings.builds.job_deadline_seconds),
        volumes: Some(volumes(build, settings)),
        ..base_pod_spec(settings)
    };
    job(build, Stage::Scan, &settings.work_namespace, None, pod)
}

/// Trivy's client against the server, which alone has the vulnerability database.
fn scan(staged: &StagedImage, settings: &Settings) -> Container {
    let report = format!("--output={}/report.json", paths::REPORTS);
    let image = format!("{}@{}", staged.repository, staged.digest);
    let server = format!("--server={}", settings.scan.server_url);
    let arguments = [
        "image",
        &server,
        "--format=json",
        &report,
        "--scanners=vuln",
        "--list-all-pkgs",
        "--image-src=remote",
        "--no-progress",
        "--skip-version-check",
        "--disable-telemetry",
        "--skip-java-db-update",
        "--cache-dir=/cache",
        "--timeout=30m",
        &image,
    ];
    let token = SecretKeySelector {
        name: settings.scan.token_secret.clone(),
        key: "token".to_owned(),
        optional: None,
    };
    let mut container = scanner("scan", &arguments, settings);
    container.env.get_or_insert_default().extend([
        EnvVar {
            name: "TRIVY_TOKEN".to_owned(),
            value: None,
            value_from: Some(EnvVarSource {
                secret_key_ref: Some(token),
                ..EnvVarSource::default()
            }),
        },
        variable("DOCKER_CONFIG", DOCKER_CONFIG),
        // Beside the public authorities, which Go finds by itself.
        variable("SSL_CERT_DIR", &format!("/etc/ssl/certs:{}", paths::PLATFORM_CA)),
    ]);
    let mut mounts = vec![
        read_only(mount("docker", DOCKER_CONFIG)),
        read_only(mount("platform-ca", paths::PLATFORM_CA)),
    ];
    if settings.scan.java_database_claim.is_some() {
        mounts.push(read_only(mount("java-database", "/cache/java-db")));
    }
    with_mounts(container, mounts)
}

/// The same findings as CycloneDX; needs neither network nor credential.
fn sbom(settings: &Settings) -> Container {
    let report = format!("{}/report.json", paths::REPORTS);
    let output = format!("--output={}/sbom.json", paths::REPORTS);
    scanner(
        "sbom",
        &["convert", "--format=cyclonedx", &output, "--cache-dir=/cache", &report],
        settings,
    )
}

fn scanner(name: &str, arguments: &[&str], settings: &Settings) -> Container {
    Container {
        name: name.to_owned(),
        image: Some(settings.images.trivy.clone()),
        image_pull_policy: Some(settings.images.pull_policy.clone()),
        args: Some(arguments.iter().map(|argument| (*argument).to_owned()).collect()),
        env: Some(vec![variable("TMPDIR", paths::SCRATCH)]),
        resources: Some(requirements(&settings.scan.resources)),
        security_context: Some(restricted(65532)),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(vec![
            mount("reports", paths::REPORTS),
            mount("cache", CACHE),
            mount("scratch", paths::SCRATCH),
        ]),
        ..Container::default()
    }
}

fn evaluate(build: &Validated, staged: &StagedImage, settings: &Settings) -> Container {
    let step = EvaluateStep {
        repository: staged.repository.clone(),
        digest: staged.digest.0.clone(),
        credential_prefix: format!("{}/{}", settings.staging.prefix, build.identity.tenant),
        policies: build.policies.clone(),
        server_url: settings.scan.server_url.clone(),
        java_database: settings.scan.java_database_claim.is_some(),
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
        empty_dir("reports", Some("2Gi")),
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
