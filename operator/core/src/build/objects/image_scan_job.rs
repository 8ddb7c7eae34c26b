//! The job of an ImageScan, in the work namespace: that of a build's scan, and before it `resolve` (ours), which finds out
//! what the image is. It holds the platform's credential of the place where the image lies, bound to the tenant's prefix.

use imagefactory_crds::image_scan::Place;
use k8s_openapi::api::batch::v1::Job;

use super::containers::job_of;
use super::scan_job::{Told, pod};
use crate::image_scan::Validated;
use crate::settings::Settings;
use crate::step::{EvaluateStep, ResolveStep, ScanStep};

/// Resolves the image, or looks that it has the digest that is known, scans it and judges it.
#[must_use]
pub fn image_scan_job(scan: &Validated, settings: &Settings) -> Job {
    let placed = &scan.placed;
    let repository = &placed.image.repository;
    let told = Told {
        resolve: Some(ResolveStep {
            repository: repository.clone(),
            digest: scan.digest.clone(),
            tag: placed.image.tag.clone().filter(|_| scan.digest.is_none()),
            credential_prefix: placed.prefix.clone(),
        }),
        scan: ScanStep {
            repository: repository.clone(),
            digests: Vec::new(),
            resolved: true,
            kept_apart: (placed.place == Place::Listed).then(|| scan.identity.tenant.clone()),
            server_url: settings.scan.server_url.clone(),
            timeout_seconds: settings.builds.job_deadline_seconds,
        },
        evaluate: EvaluateStep {
            repository: repository.clone(),
            digest: String::new(),
            platforms: Vec::new(),
            resolved: true,
            may_lack_referrers: placed.place == Place::Listed,
            credential_prefix: placed.prefix.clone(),
            policies: scan.policies.iter().map(|policy| (**policy).clone()).collect(),
            server_url: settings.scan.server_url.clone(),
            java_database: settings.scan.java_database_claim.is_some(),
            // Whoever made the image, nothing of it is known here.
            build: None,
        },
        registry: match placed.place {
            Place::Staging => &settings.staging,
            Place::Output | Place::Listed => &settings.output,
        },
        tenant: &scan.identity.tenant,
    };
    let identity = &scan.identity;
    let pod = pod(&told, settings);
    job_of(
        identity.job_name(),
        identity.labels(),
        &settings.work_namespace,
        None,
        pod,
    )
}
