//! The source of a build, laid out in the workspace.

pub(super) mod beneath;
pub(super) mod files;
pub(super) mod oci;

use std::time::Duration;

use imagefactory_core::step::{StepSource, paths};

use super::error::PrepareError;
use super::git;
use crate::ca::Roots;
use crate::places::Places;

/// Lays the source out in the workspace, which is empty. Returns the commit of a Git source. Blocks.
pub(super) fn lay_out(source: &StepSource, places: &Places, roots: &Roots) -> Result<Option<String>, PrepareError> {
    let workspace = places.path(paths::WORKSPACE);
    match source {
        StepSource::Git {
            url,
            revision,
            credentials,
        } => {
            let directory = places.path(paths::GIT_CREDENTIALS);
            let request = git::Request {
                url,
                revision: revision.as_deref(),
                credentials: credentials.then_some(directory.as_path()),
                roots,
                limits: git::Limits::default(),
                first_wait: Duration::from_secs(1),
            };
            Ok(Some(git::fetch(&request, &workspace)?))
        }
        StepSource::Inline { files } => {
            files::write_inline(files, &workspace)?;
            Ok(None)
        }
        StepSource::ConfigMap => {
            files::copy_config_map(&places.path(paths::SOURCE_CONFIG), &workspace)?;
            Ok(None)
        }
        StepSource::Recipe(_) | StepSource::Oci { .. } => Ok(None),
    }
}
