//! How an image was made, for the policies that judge it: from what was asked for and from what `prepare` reported.
//!
//! Both are the operator's own: the Build's spec as it was checked, and a status that tenants can't write.

use imagefactory_crds::build::{Method, SourceStatus};

use super::validated::Validated;
use crate::step::{BuildFacts, StepSource};

/// What is known. A base that was not recorded makes the bases unknown, never fewer.
#[must_use]
pub fn of(build: &Validated, source: Option<&SourceStatus>) -> BuildFacts {
    let (kind, git_url) = kind(&build.source);
    let recorded = source.cloned().unwrap_or_default();
    let bases_unknown = match (build.method, source) {
        (Method::Custom, _) => Some("the images that a builder of method custom uses are not known".to_owned()),
        (_, None) => Some("the images that the build used were not recorded".to_owned()),
        (_, Some(_)) if build.unvouched.registries => {
            Some("a proxy and an authority of the build's own can pose as any registry".to_owned())
        }
        (_, Some(source)) => source.more_bases.map(|more| {
            let listed = source.bases.len();
            format!("the build uses {more} images more than the {listed} that are recorded")
        }),
    };
    BuildFacts {
        tenant: build.identity.tenant.clone(),
        project: build.identity.project.clone(),
        name: build.identity.name.clone(),
        method: build.method.as_str().to_owned(),
        source: kind.to_owned(),
        git_url: git_url.map(str::to_owned),
        commit: recorded.commit,
        bases: recorded.bases,
        bases_unknown,
    }
}

/// The word for the kind of a source, and the URL of one that is Git.
#[must_use]
pub fn kind(source: &StepSource) -> (&'static str, Option<&str>) {
    match source {
        StepSource::Git { url, .. } => ("git", Some(url)),
        StepSource::Inline { .. } => ("inline", None),
        StepSource::ConfigMap => ("configMap", None),
        StepSource::Oci { .. } => ("oci", None),
        StepSource::Recipe(_) => ("recipe", None),
    }
}
