//! What policies say of a source before anything is built: what can't be published is not built either.
//!
//! The verdict says it again, with all that is known then. A policy in mode `DryRun` lets a Fail pass here as there.

use imagefactory_crds::build::{FailureClass, Method};
use imagefactory_crds::image_policy::Mode;

use super::facts::kind;
use super::validated::Refusal;
use crate::policy::git_refused;
use crate::step::{AppliedPolicy, StepSource};

/// Refuses what no verdict could let pass.
pub(super) fn check(source: &StepSource, method: Method, policies: &[AppliedPolicy]) -> Result<(), Refusal> {
    let (kind, git_url) = kind(source);
    for policy in policies {
        let limits_bases = (policy.spec.allowed_sources.as_ref()).is_some_and(|allowed| !allowed.bases.is_empty());
        if limits_bases && method == Method::Custom {
            return Err(refusal(
                "EvidenceUnknown",
                format!(
                    "ImagePolicy {} allows certain bases only, and the images that a builder of method custom uses are not known.",
                    policy.name
                ),
                "Build by another method, or ask a platform administrator for another policy.",
            ));
        }
        if policy.spec.mode == Mode::Enforce
            && let Some(why) = git_refused(&policy.spec, kind, git_url)
        {
            return Err(refusal(
                "PolicyFailed",
                format!("ImagePolicy {}: {why}.", policy.name),
                "Build from an allowed repository, or ask a platform administrator to add this one to the policy.",
            ));
        }
    }
    Ok(())
}

fn refusal(reason: &'static str, message: String, next: &str) -> Refusal {
    Refusal::failure(FailureClass::Policy, reason, message, next)
}
