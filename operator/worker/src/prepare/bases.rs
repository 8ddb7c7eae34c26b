//! Base images: each name resolved once, so that all that follows means the same bytes.

use std::collections::BTreeMap;

use imagefactory_core::reference::lies_under;
use imagefactory_core::step::{Builder, MAX_REPORT, PrepareStep, StepSource};
use imagefactory_crds::build::BaseImage;

use super::dockerfile::{DockerfileError, Named, Use};
use super::error::PrepareError;
use crate::registry::{Digest, Reference, Registry, Repository};

/// Most images of one build.
const MAX_BASES: usize = 128;
/// Most characters of an image's name in a report, as the status has room for.
const MAX_REFERENCE: usize = 256;
/// Most prefixes that a message names.
const MAX_LISTED: usize = 6;
/// Most images that a report names, as the status has room for.
const MAX_REPORTED: usize = 8;
/// Most bytes of them: a report is a termination message, and says more than this.
const MAX_REPORTED_BYTES: usize = MAX_REPORT - 256;

/// An image that the build uses.
#[derive(Clone, Debug)]
pub(super) struct Pinned {
    /// As the build names it.
    pub(super) written: String,
    reference: Reference,
    digest: Option<Digest>,
    /// Where it was found, if a mirror that only the build names says what it is.
    at: Option<Repository>,
}

impl Pinned {
    /// Takes an image that stands at `place`, as in `line 3 of the Dockerfile`, if it may be pulled. Asks nobody.
    pub(super) fn allow(written: &str, place: &str, step: &PrepareStep) -> Result<Self, PrepareError> {
        let name = |source| PrepareError::Name {
            place: place.to_owned(),
            source,
        };
        let reference = Reference::parse(written).map_err(name)?;
        let repository = reference.repository.to_string();
        if !step.pull_prefixes.iter().any(|prefix| lies_under(&repository, prefix)) {
            return Err(PrepareError::NotAllowed {
                place: place.to_owned(),
                repository,
                allowed: listed(&step.pull_prefixes),
            });
        }
        // A mirror puts the image's path behind its own name: by that way too nothing that is closed is reached.
        let mirrored = reference.repository.at_mirrors(&step.mirrors).map_err(name)?;
        let asked = mirrored.iter().chain([&reference.repository]);
        if let Some(repository) = asked.map(ToString::to_string).find(|name| step.closed.hold(name)) {
            return Err(PrepareError::Closed {
                place: place.to_owned(),
                repository,
            });
        }
        Ok(Self {
            written: written.to_owned(),
            digest: None,
            at: None,
            reference,
        })
    }

    /// Asks what it means now.
    pub(super) async fn resolve(&mut self, registry: &Registry) -> Result<(), PrepareError> {
        let found = registry.resolve(&self.reference).await;
        let found = found.map_err(|source| PrepareError::Base {
            reference: self.written.clone(),
            source: Box::new(source),
        })?;
        tracing::info!(image = %self.reference, digest = %found.digest, mirror = ?found.at, "image resolved");
        (self.digest, self.at) = (Some(found.digest), found.at);
        Ok(())
    }

    pub(super) fn repository(&self) -> &Repository {
        &self.reference.repository
    }

    pub(super) fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// As it was written, with its digest.
    pub(super) fn as_written(&self) -> Option<String> {
        if self.reference.digest.is_some() {
            return Some(self.written.clone());
        }
        Some(format!("{}@{}", self.written, self.digest.as_ref()?))
    }

    /// Its whole name with its digest: the name that BuildKit asks its policy by.
    pub(super) fn name(&self) -> Option<String> {
        let reference = Reference {
            digest: Some(self.digest.clone()?),
            ..self.reference.clone()
        };
        Some(reference.to_string())
    }

    /// As policies judge it: under the name that it was asked for by, or under the mirror's own, where the registry that is
    /// named never said that it has it. A digest in the name changes nothing: it says which image it is, and not whose.
    fn base(&self) -> Option<BaseImage> {
        let told = match &self.at {
            None => self.written.clone(),
            Some(mirror) => {
                let repository = mirror.clone();
                Reference {
                    repository,
                    ..self.reference.clone()
                }
                .to_string()
            }
        };
        Some(BaseImage {
            reference: told.chars().take(MAX_REFERENCE).collect(),
            digest: self.digest.as_ref()?.as_str().into(),
        })
    }
}

/// Every image that the build uses, in the order of the Dockerfile, each of them once and allowed.
pub(super) fn allowed(uses: &[Use], step: &PrepareStep) -> Result<Vec<Pinned>, PrepareError> {
    let recipe = matches!(step.source, StepSource::Recipe(_));
    let mut images: Vec<Pinned> = Vec::new();
    for found in uses {
        let Named::Image(image) = &found.names else { continue };
        if images.iter().any(|known| known.written == *image) {
            continue;
        }
        let place = match recipe {
            true => "the recipe's baseImage".to_owned(),
            false => format!("line {} of the Dockerfile", found.line),
        };
        images.push(Pinned::allow(image, &place, step)?);
    }
    if images.len() > MAX_BASES {
        let problem = format!(
            "the Dockerfile names {} images; {MAX_BASES} are the most that one build may use",
            images.len()
        );
        return Err(DockerfileError::TooManyImages { problem }.into());
    }
    Ok(images)
}

/// What is written for each image.
pub(super) fn names(images: &[Pinned], builder: Builder) -> BTreeMap<String, String> {
    let name = |image: &Pinned| {
        let name = match builder {
            Builder::Buildkit => image.name(),
            Builder::Kaniko | Builder::Custom => image.as_written(),
        };
        Some((image.written.clone(), name?))
    };
    images.iter().filter_map(name).collect()
}

fn listed(prefixes: &[String]) -> String {
    let shown: Vec<_> = prefixes.iter().take(MAX_LISTED).map(String::as_str).collect();
    match prefixes.len() {
        0 => "nothing".to_owned(),
        count if count > MAX_LISTED => format!("{}, and {} more", shown.join(", "), count - MAX_LISTED),
        _ => shown.join(", "),
    }
}

/// As many of them as a report has room for, and how many there are beside them.
pub(super) fn reported(images: &[Pinned]) -> (Vec<BaseImage>, Option<u32>) {
    let bases = fitting(images.iter().filter_map(Pinned::base).collect());
    // One that was not resolved is one that is not reported.
    let more = images.len().saturating_sub(bases.len());
    (bases, u32::try_from(more).ok().filter(|more| *more > 0))
}

fn fitting(mut bases: Vec<BaseImage>) -> Vec<BaseImage> {
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
            let bases = fitting(all.clone());
            assert!(bases.len() <= MAX_REPORTED);
            assert!(all.starts_with(&bases));
            let report = Report::Done(Prepared {
                commit: Some("a".repeat(64)),
                bases,
                more_bases: Some(u32::MAX),
            });
            assert!(
                matches!(Report::decode(&report.encode()), Some(Report::<Prepared>::Done(_))),
                "{count} of {length}"
            );
        }
        assert_eq!(fitting((0..9).map(|n| base(format!("debian:{n}"))).collect()).len(), 8);
    }
}
