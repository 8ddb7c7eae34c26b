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
use crate::settings::{PlatformRegistry, Settings};
use crate::step::{EvaluateStep, ResolveStep, ScanStep, paths};

const DOCKER_CONFIG: &str = "/docker";
const IMAGE: &str = "image";
/// Container that finds out what an image is.
pub(crate) const RESOLVE: &str = "resolve";

/// What the containers of a scan job are told, and with which credential.
pub(super) struct Told<'a> {
    /// What finds out which images there are, where that is not known yet.
    pub(super) resolve: Option<ResolveStep>,
    pub(super) scan: ScanStep,
    pub(super) evaluate: EvaluateStep,
    /// Registry of the platform whose credential is used.
    pub(super) registry: &'a PlatformRegistry,
    pub(super) tenant: &'a str,
}

/// Scans the staged digest and judges it; `source` is what the build was made from, as far as it was recorded.
#[must_use]
pub fn scan_job(build: &Validated, staged: &StagedImage, source: Option<&SourceStatus>, settings: &Settings) -> Job {
    let told = Told {
        resolve: None,
        scan: scan_step(staged, settings),
        evaluate: evaluate_step(build, staged, source, settings),
        registry: &settings.staging,
        tenant: &build.identity.tenant,
    };
    job(build, Stage::Scan, &settings.work_namespace, None, pod(&told, settings))
}

/// The pod that scans and judges, whatever it does so for.
pub(super) fn pod(told: &Told<'_>, settings: &Settings) -> PodSpec {
    let resolve = told.resolve.as_ref().map(|step| resolve(step, settings));
    let init = std::iter::once(install(settings)).chain(resolve);
    PodSpec {
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            fs_group: Some(65532),
            seccomp_profile: Some(runtime_default()),
            ..PodSecurityContext::default()
        }),
        init_containers: Some(init.chain([scan(told, settings)]).collect()),
        containers: vec![evaluate(told, settings)],
        active_deadline_seconds: Some(settings.builds.job_deadline_seconds),
        volumes: Some(volumes(told, settings)),
        ..base_pod_spec(settings)
    }
}

/// Asks the registry what the image is.
fn resolve(step: &ResolveStep, settings: &Settings) -> Container {
    let mounts = vec![
        mount(IMAGE, paths::IMAGE),
        read_only(mount("staging-credentials", paths::STAGING_CREDENTIALS)),
    ];
    with_mounts(step_container(RESOLVE, step, settings), mounts)
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
fn scan(told: &Told<'_>, settings: &Settings) -> Container {
    let token = SecretKeySelector {
        name: settings.scan.token_secret.clone(),
        key: "token".to_owned(),
        optional: None,
    };
    let mut mounts = vec![
        read_only(mount("tools", paths::TOOLS)),
        mount("reports", paths::REPORTS),
        mount("cache", paths::SCANNER_CACHE),
        read_only(mount("docker", DOCKER_CONFIG)),
    ];
    if settings.scan.java_database_claim.is_some() {
        mounts.push(read_only(mount("java-database", "/cache/java-db")));
    }
    if told.resolve.is_some() {
        mounts.push(read_only(mount(IMAGE, paths::IMAGE)));
    }
    let mut container = with_mounts(step_container("scan", &told.scan, settings), mounts);
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

fn scan_step(staged: &StagedImage, settings: &Settings) -> ScanStep {
    ScanStep {
        repository: staged.repository.clone(),
        digests: digests(staged),
        resolved: false,
        // Staging gives what it was given: `push` has looked at it.
        kept_apart: None,
        server_url: settings.scan.server_url.clone(),
        timeout_seconds: settings.builds.job_deadline_seconds,
    }
}

/// The images that are scanned: the staged one, or each of an index.
fn digests(staged: &StagedImage) -> Vec<String> {
    match staged.platforms.as_slice() {
        [] => vec![staged.digest.0.clone()],
        images => images.iter().map(|image| image.digest.0.clone()).collect(),
    }
}

fn evaluate_step(
    build: &Validated,
    staged: &StagedImage,
    source: Option<&SourceStatus>,
    settings: &Settings,
) -> EvaluateStep {
    EvaluateStep {
        repository: staged.repository.clone(),
        digest: staged.digest.0.clone(),
        platforms: staged.platforms.clone(),
        resolved: false,
        may_lack_referrers: false,
        credential_prefix: format!("{}/{}", settings.staging.prefix, build.identity.tenant),
        policies: build.policies.iter().map(|policy| (**policy).clone()).collect(),
        server_url: settings.scan.server_url.clone(),
        java_database: settings.scan.java_database_claim.is_some(),
        build: Some(facts::of(build, source)),
    }
}

fn evaluate(told: &Told<'_>, settings: &Settings) -> Container {
    let mut mounts = vec![
        read_only(mount("reports", paths::REPORTS)),
        read_only(mount("staging-credentials", paths::STAGING_CREDENTIALS)),
    ];
    if told.resolve.is_some() {
        mounts.push(read_only(mount(IMAGE, paths::IMAGE)));
    }
    with_mounts(step_container("evaluate", &told.evaluate, settings), mounts)
}

fn volumes(told: &Told<'_>, settings: &Settings) -> Vec<Volume> {
    let (registry, tenant) = (told.registry, told.tenant);
    let mut volumes = vec![
        empty_dir("tools", Some("256Mi")),
        empty_dir("reports", Some("8Gi")),
        empty_dir("cache", Some(&settings.builds.volume_size)),
        empty_dir("scratch", Some(&settings.builds.volume_size)),
        platform_ca(),
        platform_credential("docker", registry, tenant, "config.json"),
        platform_credential("staging-credentials", registry, tenant, DOCKER_CONFIG_KEY),
    ];
    volumes.extend(told.resolve.as_ref().map(|_| empty_dir(IMAGE, Some("1Mi"))));
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
