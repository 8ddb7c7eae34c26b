//! `evaluate`: reads what the scanner wrote, judges it by policy, and attaches it to the staged image.
//!
//! Evidence that is missing, cut off or of another image is no failure of this step: it makes the verdict Unknown.
//! What can't be attached to the image is one, since nothing may be published without its evidence.

mod evidence;
mod server;

use std::collections::BTreeMap;

use imagefactory_core::policy::{self, Evidence};
use imagefactory_core::scan::report::counts;
use imagefactory_core::scan::{Report as ScanReport, Sbom, ServerVersion};
use imagefactory_core::step::{EvaluateStep, Evaluated, MAX_REPORT, Report, StepFailure};
use imagefactory_crds::build::{FailureClass, ReferrerDigests, ScanStatus, Verdict};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::ca::Roots;
use crate::failure::{failure, registry_failure};
use crate::manifest::Descriptor;
use crate::places::Places;
use crate::registry::{Artifact, Blob, Credentials, Digest, Payload, Registry, RegistryError, Repository, Subject};
use evidence::{Gathered, Read};

/// Artifact type of the SBOM.
pub const SBOM_TYPE: &str = "application/vnd.cyclonedx+json";
/// Artifact type of the scanner's report.
pub const REPORT_TYPE: &str = "application/vnd.imagefactory.trivy.report.v1+json";
const CREATED: &str = "org.opencontainers.image.created";

/// Judges the staged image.
///
/// # Errors
/// The step is not what it must be, or the evidence can't be attached to the image.
pub async fn run(step: &EvaluateStep, places: &Places, roots: &Roots) -> Result<Evaluated, StepFailure> {
    let digest = Digest::parse(&step.digest).ok_or_else(|| {
        failure(
            FailureClass::Infrastructure,
            "InvalidStep",
            "the staged image has no digest",
            "Report this as a defect of Image Factory.",
        )
    })?;
    let mut gathered = evidence::gather(places, &digest).await;
    let server = match server::version(&step.server_url, roots).await {
        Ok(server) => Some(server),
        Err(fault) => {
            gathered.faults.push(fault);
            None
        }
    };
    let verdict = judge(step, &gathered, server.as_ref());
    let scan = match gathered.of_this_image(&digest) {
        Some((report, sbom)) => {
            let referrers = attach(step, places, roots, &digest, (report, sbom)).await;
            let referrers = referrers.map_err(|error| registry_failure(FailureClass::Scan, &error))?;
            Some(status(report, sbom, server.as_ref(), referrers))
        }
        None => None,
    };
    Ok(fit(Evaluated {
        digest: step.digest.clone(),
        scan,
        verdict,
    }))
}

fn judge(step: &EvaluateStep, gathered: &Gathered, server: Option<&ServerVersion>) -> Verdict {
    let evidence = Evidence {
        digest: &step.digest,
        report: gathered.report.as_ref().map(|read| &read.content),
        sbom: gathered.sbom.as_ref().map(|read| &read.content),
        database: server.and_then(|server| server.database),
        java_database: step.java_database,
        faults: &gathered.faults,
    };
    let verdict = policy::judge(&evidence, &step.policies);
    for policy in &verdict.policies {
        tracing::info!(policy = %policy.name, result = policy.result.as_str(), causes = ?policy.causes, "policy");
    }
    tracing::info!(
        result = verdict.result.as_str(),
        publishable = verdict.publishable,
        "image is judged"
    );
    verdict
}

type Pair<'a> = (&'a Read<ScanReport>, &'a Read<Sbom>);

async fn attach(
    step: &EvaluateStep,
    places: &Places,
    roots: &Roots,
    digest: &Digest,
    (report, sbom): Pair<'_>,
) -> Result<ReferrerDigests, RegistryError> {
    let repository = Repository::parse(&step.repository)?;
    let credentials =
        Credentials::load(&[places.staging_credentials()])?.bound_to(vec![step.credential_prefix.clone()]);
    let registry = Registry::new(credentials, roots)?;
    let image = registry.pull_manifest(&repository, digest).await?;
    let size = image.bytes.len() as u64;
    let descriptor = Descriptor {
        media_type: image.media_type,
        digest: image.digest,
        size,
    };
    let subject = Subject {
        repository: &repository,
        descriptor: &descriptor,
    };
    // The scan's own time, so that the same evidence has the same digest when it is attached again.
    let created = report.content.created_at;
    let sbom = registry
        .attach(subject, &artifact(SBOM_TYPE, "sbom.cdx.json", sbom, created))
        .await?;
    let report = registry
        .attach(subject, &artifact(REPORT_TYPE, "trivy-report.json", report, created))
        .await?;
    tracing::info!(%sbom, %report, "SBOM and report are attached to the staged image");
    Ok(ReferrerDigests {
        sbom: sbom.as_str().into(),
        report: report.as_str().into(),
    })
}

fn artifact<'a, T>(
    media_type: &'static str,
    title: &'static str,
    read: &'a Read<T>,
    created: Option<Timestamp>,
) -> Artifact<'a> {
    let blob = Blob {
        digest: &read.digest,
        size: read.size,
    };
    let payload = Payload {
        media_type,
        title,
        blob,
        source: &read.source,
    };
    let annotations: BTreeMap<_, _> = created
        .map(|time| (CREATED.to_owned(), time.to_string()))
        .into_iter()
        .collect();
    Artifact {
        artifact_type: media_type,
        payload,
        annotations,
    }
}

fn status(
    report: &Read<ScanReport>,
    sbom: &Read<Sbom>,
    server: Option<&ServerVersion>,
    referrers: ReferrerDigests,
) -> ScanStatus {
    let version = server.map_or("", |server| server.version.as_str());
    ScanStatus {
        scanner: format!("trivy {version}")
            .trim_end()
            .chars()
            .filter(|c| !c.is_control())
            .take(128)
            .collect(),
        database_time: server
            .and_then(|server| server.database)
            .map(|database| Time(database.updated_at)),
        scan_time: Time(report.content.created_at.unwrap_or_else(Timestamp::now)),
        vulnerabilities: counts(&report.content),
        packages: u32::try_from(sbom.content.packages()).unwrap_or(u32::MAX),
        referrers,
    }
}

/// Takes causes away until the report fits a termination message.
fn fit(evaluated: Evaluated) -> Evaluated {
    let whole = serde_json::to_string(&Report::Done(evaluated.clone())).map_or(usize::MAX, |text| text.len());
    let own = serde_json::to_string(&evaluated.verdict).map_or(0, |text| text.len());
    let room = MAX_REPORT.saturating_sub(whole.saturating_sub(own));
    Evaluated {
        verdict: policy::shrink(evaluated.verdict, room),
        ..evaluated
    }
}

impl Gathered {
    /// Report and SBOM if both can be read and speak of this image: only those are attached to it.
    fn of_this_image(&self, digest: &Digest) -> Option<Pair<'_>> {
        let (report, sbom) = (self.report.as_ref()?, self.sbom.as_ref()?);
        let names = |digests: &[String]| digests.iter().any(|named| named == digest.as_str());
        let fits = names(&report.content.image_digests)
            && (sbom.content.image_digests.is_empty() || names(&sbom.content.image_digests));
        fits.then_some((report, sbom))
    }
}

#[cfg(test)]
mod tests;
