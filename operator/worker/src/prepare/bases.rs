//! Base images: each name resolved once, so that all that follows means the same bytes.

use std::collections::BTreeMap;

use imagefactory_core::step::MAX_REPORT;
use imagefactory_crds::build::BaseImage;

use super::dockerfile::{DockerfileError, Named, Use};
use super::error::PrepareError;
use crate::registry::{Reference, Registry};

/// Most images of one build.
const MAX_BASES: usize = 128;
/// Most images that a report names, as the status has room for.
const MAX_REPORTED: usize = 8;
/// Most bytes of them: a report is a termination message, and says more than this.
const MAX_REPORTED_BYTES: usize = MAX_REPORT - 256;

/// Asks for the digest of every image that the build uses, in the order of the Dockerfile.
pub(super) async fn resolve(uses: &[Use], registry: &Registry) -> Result<Vec<BaseImage>, PrepareError> {
    let mut references = BTreeMap::new();
    let mut bases: Vec<BaseImage> = Vec::new();
    for found in uses {
        let Named::Image(image) = &found.names else { continue };
        if references.contains_key(image) {
            continue;
        }
        let reference = Reference::parse(image).map_err(|source| PrepareError::Name {
            line: found.line,
            source,
        })?;
        references.insert(image.clone(), reference);
        bases.push(BaseImage {
            reference: image.clone(),
            digest: "".into(),
        });
    }
    if bases.len() > MAX_BASES {
        let problem = format!(
            "the Dockerfile names {} images; {MAX_BASES} are the most that one build may use",
            bases.len()
        );
        return Err(DockerfileError::TooManyImages { problem }.into());
    }
    for base in &mut bases {
        let Some(reference) = references.get(&base.reference) else {
            continue;
        };
        let digest = registry.resolve(reference).await;
        let digest = digest.map_err(|source| PrepareError::Base {
            reference: base.reference.clone(),
            source: Box::new(source),
        })?;
        tracing::info!(image = %reference, %digest, "base image resolved");
        base.digest = digest.as_str().into();
    }
    Ok(bases)
}

/// As many of them as a report has room for.
pub(super) fn reported(mut bases: Vec<BaseImage>) -> Vec<BaseImage> {
    let length = |bases: &Vec<BaseImage>| serde_json::to_string(bases).map_or(usize::MAX, |text| text.len());
    let found = bases.len();
    bases.truncate(MAX_REPORTED);
    while !bases.is_empty() && length(&bases) > MAX_REPORTED_BYTES {
        bases.pop();
    }
    if bases.len() < found {
        tracing::warn!(
            found,
            reported = bases.len(),
            "more base images than a report has room for"
        );
    }
    bases
}

#[cfg(test)]
mod tests {
    use imagefactory_core::step::{Prepared, Report};

    use super::*;

    fn base(reference: String) -> BaseImage {
        BaseImage {
            reference,
            digest: format!("sha256:{}", "a".repeat(64)).as_str().into(),
        }
    }

    #[test]
    fn a_report_always_fits_its_termination_message() {
        for (count, length) in [(0, 0), (3, 20), (40, 20), (40, 500), (1, 5000)] {
            let all: Vec<_> = (0..count)
                .map(|number| base(format!("{number}{}", "x".repeat(length))))
                .collect();
            let bases = reported(all.clone());
            assert!(bases.len() <= MAX_REPORTED);
            assert!(all.starts_with(&bases));
            let report = Report::Done(Prepared {
                commit: Some("a".repeat(64)),
                bases,
            });
            assert!(
                matches!(Report::decode(&report.encode()), Some(Report::<Prepared>::Done(_))),
                "{count} of {length}"
            );
        }
        assert_eq!(reported((0..9).map(|n| base(format!("debian:{n}"))).collect()).len(), 8);
    }
}
