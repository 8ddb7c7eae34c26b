//! The job that removes staged images which have expired, in the work namespace with one tenant's staging credential.

use std::collections::BTreeMap;

use imagefactory_crds::names::{LABEL_MANAGED_BY, LABEL_STAGE, LABEL_TENANT, MANAGED_BY};
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{PodSecurityContext, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sha2::{Digest, Sha256};

use imagefactory_crds::digest::hex;

use super::containers::{
    DOCKER_CONFIG_KEY, base_pod_spec, empty_dir, mount, platform_ca, platform_credential, read_only, runtime_default,
    step_container, with_mounts,
};
use crate::settings::Settings;
use crate::staging::Batch;
use crate::step::{UnstageStep, paths};

/// Value of the stage label; these jobs belong to no build.
pub const UNSTAGE: &str = "unstage";

/// The job of a batch. Its name follows from what it removes.
#[must_use]
pub fn unstage_job(batch: &Batch, settings: &Settings) -> Job {
    let step = UnstageStep {
        credential_prefix: format!("{}/{}", settings.staging.prefix, batch.tenant),
        images: batch.images.clone(),
        budget_seconds: Some(budget(settings.builds.job_deadline_seconds)),
    };
    let labels: BTreeMap<String, String> = [
        ("app.kubernetes.io/name", "image-factory"),
        ("app.kubernetes.io/component", UNSTAGE),
        (LABEL_MANAGED_BY, MANAGED_BY),
        (LABEL_TENANT, &batch.tenant),
        (LABEL_STAGE, UNSTAGE),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    let mounts = vec![read_only(mount("staging-credentials", paths::STAGING_CREDENTIALS))];
    let pod = PodSpec {
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            seccomp_profile: Some(runtime_default()),
            ..PodSecurityContext::default()
        }),
        containers: vec![with_mounts(step_container(UNSTAGE, &step, settings), mounts)],
        volumes: Some(vec![
            empty_dir("scratch", Some("64Mi")),
            platform_ca(),
            platform_credential(
                "staging-credentials",
                &settings.staging,
                &batch.tenant,
                DOCKER_CONFIG_KEY,
            ),
        ]),
        active_deadline_seconds: Some(settings.builds.job_deadline_seconds),
        ..base_pod_spec(settings)
    };
    Job {
        metadata: ObjectMeta {
            name: Some(name(batch)),
            namespace: Some(settings.work_namespace.clone()),
            labels: Some(labels.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(0),
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

/// What of a job's time its images may take: a minute is left to begin and to tell, of a short time half.
fn budget(deadline: i64) -> u64 {
    u64::try_from((deadline - 60).max(deadline / 2)).unwrap_or_default()
}

fn name(batch: &Batch) -> String {
    let mut hasher = Sha256::new();
    for image in &batch.images {
        hasher.update(image.path.as_bytes());
        hasher.update([0]);
    }
    let hash = hex(&hasher.finalize());
    format!("{UNSTAGE}-{hash:.16}")
}

/// What a job removes, as it was told; empty for a job that is none of these.
#[must_use]
pub fn removed_by(job: &Job) -> Vec<crate::step::StagedEntry> {
    let container = job
        .spec
        .as_ref()
        .and_then(|spec| spec.template.spec.as_ref()?.containers.first());
    let step = container
        .and_then(|container| {
            container
                .env
                .as_ref()?
                .iter()
                .find(|variable| variable.name == crate::step::STEP_VARIABLE)
        })
        .and_then(|variable| serde_json::from_str::<UnstageStep>(variable.value.as_ref()?).ok());
    step.map(|step| step.images).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::fixtures::{digest, settings};
    use crate::step::{StagedEntry, StagedName};

    fn batch(number: u32) -> Batch {
        Batch {
            tenant: "acme".to_owned(),
            images: vec![StagedEntry {
                path: format!("2026-01-01T00-00/{number}"),
                repository: "registry.example.com/staging/acme/builds/web/uid".to_owned(),
                image: StagedName::Digest(digest('a').0),
            }],
        }
    }

    #[test]
    fn the_unstage_job() {
        insta::assert_yaml_snapshot!(unstage_job(&batch(1), &settings()));
    }

    #[test]
    fn a_job_has_time_to_tell_what_became_of_its_images() {
        assert_eq!([1800, 600, 60, 1].map(budget), [1740, 540, 30, 0]);
        let job = unstage_job(&batch(1), &settings());
        let pod = job.spec.unwrap().template.spec.unwrap();
        let step = pod.containers[0].env.as_ref().unwrap()[0].value.as_ref().unwrap();
        let budget = serde_json::from_str::<UnstageStep>(step).unwrap().budget_seconds;
        assert!(budget.unwrap() < u64::try_from(pod.active_deadline_seconds.unwrap()).unwrap());
    }

    #[test]
    fn a_job_says_itself_what_it_removes_and_its_name_follows_from_that() {
        let job = unstage_job(&batch(1), &settings());
        assert_eq!(removed_by(&job), batch(1).images);
        assert_eq!(unstage_job(&batch(1), &settings()).metadata.name, job.metadata.name);
        assert_ne!(unstage_job(&batch(2), &settings()).metadata.name, job.metadata.name);
        assert_eq!(removed_by(&Job::default()), []);
    }
}
