//! `evaluate`: reads what the scanner wrote, judges it by policy, and attaches it to the staged image; of
//! an index, each image by its own evidence.
//!
//! Evidence that is missing, cut off or of another image is no failure of this step: it makes the verdict Unknown.
//! What can't be attached to the image is one, since nothing may be published without its evidence.

mod evidence;
mod server;
mod status;

use std::collections::BTreeMap;

use imagefactory_core::policy::{self, Evidence, PlatformVerdict};
use imagefactory_core::scan::{Report as ScanReport, Sbom, ServerVersion};
use imagefactory_core::step::{EvaluateStep, Evaluated, Resolved, StepFailure};
use imagefactory_crds::build::{FailureClass, ReferrerDigests, Verdict};
use jiff::Timestamp;

use crate::ca::Roots;
use crate::failure::{failure, registry_failure};
use crate::manifest::Descriptor;
use crate::places::Places;
use crate::registry::{
    Artifact, Blob, Credentials, Digest, Payload, Registry, RegistryError, Repository, Subject, chain,
};
use evidence::{Gathered, Read};
use status::{Scanned, fit};

/// Artifact type of the SBOM.
pub const SBOM_TYPE: &str = "application/vnd.cyclonedx+json";
/// Artifact type of the scanner's report.
pub const REPORT_TYPE: &str = "application/vnd.imagefactory.trivy.report.v1+json";
const CREATED: &str = "org.opencontainers.image.created";

/// One image that is judged: the staged one, or one of an index.
#[derive(Debug)]
struct Image {
    /// Empty where the staged digest names one image.
    platform: String,
    digest: Digest,
}

/// Judges the staged image, or every image of a staged index.
///
/// # Errors
/// The step is not what it must be, or the evidence can't be attached to an image.
pub async fn run(step: &EvaluateStep, places: &Places, roots: &Roots) -> Result<Evaluated, StepFailure> {
    let step = &named(step, places)?;
    let images = images(step)?;
    let server = server::version(&step.server_url, roots).await;
    let mut verdicts = Vec::new();
    let mut scanned = Vec::new();
    for (number, image) in images.iter().enumerate() {
        let mut gathered = evidence::gather(places, number, &image.digest).await;
        gathered.faults.extend(server.as_ref().err().cloned());
        verdicts.push(PlatformVerdict {
            platform: image.platform.clone(),
            verdict: judge(step, image, &gathered, server.as_ref().ok(), Timestamp::now()),
        });
        let Some(pair) = gathered.of_this_image(&image.digest) else {
            continue;
        };
        let referrers = attach(step, places, roots, &image.digest, pair).await;
        let referrers = match referrers {
            Err(error) if step.may_lack_referrers && forbids(&error) => {
                tracing::warn!(error = chain(&error), "SBOM and report are not attached");
                None
            }
            referrers => Some(referrers.map_err(|error| registry_failure(FailureClass::Scan, &error))?),
        };
        scanned.push(Scanned::new(image, pair, referrers));
    }
    let verdict = policy::combine(&verdicts);
    tracing::info!(
        result = verdict.result.as_str(),
        publishable = verdict.publishable,
        images = images.len(),
        "image is judged"
    );
    // Of an index of which one image is unknown nothing is said: what is said is said of all.
    let whole = scanned.len() == images.len();
    Ok(fit(Evaluated {
        digest: step.digest.clone(),
        scan: whole
            .then(|| status::of(&scanned, server.as_ref().ok(), step.platforms.is_empty()))
            .flatten(),
        verdict,
    }))
}

/// The step with what `resolve` found, where it did.
fn named(step: &EvaluateStep, places: &Places) -> Result<EvaluateStep, StepFailure> {
    if !step.resolved {
        return Ok(step.clone());
    }
    let Resolved { digest, platforms } = crate::resolve::found(places)?;
    Ok(EvaluateStep {
        digest,
        platforms,
        ..step.clone()
    })
}

/// Whether the registry says that the credential may not write there. That it can't be asked is something else.
fn forbids(error: &RegistryError) -> bool {
    matches!(
        error,
        RegistryError::Unauthorized { .. } | RegistryError::NoCredential { .. } | RegistryError::Rejected { .. }
    )
}

fn images(step: &EvaluateStep) -> Result<Vec<Image>, StepFailure> {
    let digest = |text: &str| {
        Digest::parse(text).ok_or_else(|| {
            failure(
                FailureClass::Infrastructure,
                "InvalidStep",
                "the staged image has no digest",
                "Report this as a defect of Image Factory.",
            )
        })
    };
    let whole = digest(&step.digest)?;
    if step.platforms.is_empty() {
        return Ok(vec![Image {
            platform: String::new(),
            digest: whole,
        }]);
    }
    let image = |of: &imagefactory_crds::build::PlatformImage| {
        Ok(Image {
            platform: of.platform.clone(),
            digest: digest(&of.digest)?,
        })
    };
    step.platforms.iter().map(image).collect()
}

fn judge(
    step: &EvaluateStep,
    image: &Image,
    gathered: &Gathered,
    server: Option<&ServerVersion>,
    now: Timestamp,
) -> Verdict {
    let evidence = Evidence {
        digest: image.digest.as_str(),
        report: gathered.report.as_ref().map(|read| &read.content),
        sbom: gathered.sbom.as_ref().map(|read| &read.content),
        database: server.and_then(|server| server.database),
        java_database: step.java_database,
        faults: &gathered.faults,
        platform: &image.platform,
        scanner: server.map_or("", |server| server.version.as_str()),
        build: step.build.as_ref(),
        now,
    };
    let verdict = policy::judge(&evidence, &step.policies);
    for policy in &verdict.policies {
        tracing::info!(digest = %image.digest, platform = image.platform, policy = %policy.name, result = policy.result.as_str(), causes = ?policy.causes, "policy");
    }
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
    tracing::info!(%sbom, %report, "SBOM and report are attached");
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
