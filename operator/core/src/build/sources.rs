//! What policies say of a source before anything is built: what can't be published is not built either.
//!
//! The verdict says it again, with all that is known then. A policy in mode `DryRun` lets a Fail pass here as there.

use std::sync::Arc;

use imagefactory_crds::build::{FailureClass, Method};
use imagefactory_crds::image_policy::Mode;

use super::facts::kind;
use super::validated::Refusal;
use crate::policy::git_refused;
use crate::step::{AppliedPolicy, StepSource};

/// Refuses what no verdict could let pass.
pub(super) fn check(source: &StepSource, method: Method, policies: &[Arc<AppliedPolicy>]) -> Result<(), Refusal> {
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

#[cfg(test)]
mod tests {
    use imagefactory_crds::build::BaseImage;
    use serde_json::json;

    use super::*;
    use crate::build::facts;
    use crate::build::fixtures::{World, at, digest};
    use crate::build::plan::Action;
    use imagefactory_crds::build::{Phase, SourceStatus};

    fn with(policy: &str, source: serde_json::Value) -> World {
        let mut world = World::new();
        world
            .policies
            .change("default", |spec| *spec = serde_yaml::from_str(policy).unwrap());
        world.build.spec.source = serde_json::from_value(source).unwrap();
        world
    }

    fn git(url: &str) -> serde_json::Value {
        json!({"git": {"url": url}})
    }

    #[test]
    fn a_repository_outside_the_policy_is_refused_before_there_is_a_pod() {
        let policy = "allowedSources: {git: [git.example.com/acme]}";
        let mut world = with(policy, git("https://git.example.com/other/app"));
        let plan = world.step();
        assert!(plan.actions.is_empty() && plan.then.is_empty());
        assert_eq!(
            (world.status().phase, world.succeeded_reason()),
            (Some(Phase::Failed), "PolicyFailed")
        );
        assert!(
            with(policy, git("https://git.example.com/acme/app"))
                .validated()
                .is_ok()
        );
        let on_trial = format!("{policy}\nmode: DryRun");
        assert!(
            with(&on_trial, git("https://git.example.com/other/app"))
                .validated()
                .is_ok()
        );
    }

    #[test]
    fn method_custom_under_a_policy_for_bases_is_unknown_before_there_is_a_pod() {
        for mode in ["Enforce", "DryRun"] {
            let mut world = World::new();
            let policy = format!("{{mode: {mode}, allowedSources: {{bases: [a.io]}}}}");
            world
                .policies
                .change("default", |spec| *spec = serde_yaml::from_str(&policy).unwrap());
            world.build.spec.method = Some(Method::Custom);
            world.build.spec.custom = serde_json::from_value(
                json!({"image": format!("docker.io/library/builder@{}", digest('e')), "args": ["x"]}),
            )
            .unwrap();
            let refusal = world.validated().unwrap_err();
            assert_eq!(
                (refusal.reason, refusal.class),
                ("EvidenceUnknown", Some(FailureClass::Policy)),
                "{refusal:?}"
            );
        }
    }

    #[test]
    fn what_was_not_recorded_is_not_known() {
        let build = World::new().validated().unwrap();
        assert!(facts::of(&build, None).known_bases().is_err());
        let base = BaseImage {
            reference: "debian".to_owned(),
            digest: digest('b'),
        };
        let mut source = SourceStatus {
            bases: vec![base; 8],
            ..SourceStatus::default()
        };
        assert_eq!(facts::of(&build, Some(&source)).known_bases().unwrap().len(), 8);
        source.more_bases = Some(1);
        let why = facts::of(&build, Some(&source)).known_bases().unwrap_err();
        assert_eq!(why, "the build uses 1 images more than the 8 that are recorded");
    }

    #[test]
    fn a_scan_that_grew_too_old_before_it_was_published_on_is_unknown() {
        let mut world = World::publishing();
        world
            .policies
            .change("default", |policy| policy.max_evidence_age = Some("1h".into()));
        world.observed.publish = None;
        world.now = at(3600);
        assert!(matches!(world.plan().actions.as_slice(), [Action::CreateJob(_)]));
        world.now = at(3601);
        let plan = world.step();
        assert!(plan.actions.is_empty() && plan.then.is_empty());
        assert_eq!(world.succeeded_reason(), "EvidenceUnknown");
        let failure = world.status().failure.as_ref().unwrap();
        assert_eq!(failure.reason, "EvidenceTooOld");
        assert!(!world.status().verdict.as_ref().unwrap().publishable);
    }
}
