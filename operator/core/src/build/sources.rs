//! What policies say of a source before anything is built: what can't be published is not built either.
//!
//! The verdict says it again, with all that is known then. A policy in mode `DryRun` lets a Fail pass here as there.

use std::sync::Arc;

use imagefactory_crds::BuildSpec;
use imagefactory_crds::build::{FailureClass, Method};
use imagefactory_crds::image_policy::Mode;

use super::facts::kind;
use super::validated::Refusal;
use crate::policy::git_refused;
use crate::settings::Settings;
use crate::step::{AppliedPolicy, StepSource};

/// Whom others can pose as towards a build: its own proxy carries what it fetches, and its own authority vouches for
/// whoever answers there. What is found so is not known to be what its name says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unvouched {
    /// Registries.
    pub registries: bool,
    /// The Git server, whose URL may do without TLS.
    pub git: bool,
}

impl Unvouched {
    pub(super) fn of(spec: &BuildSpec, source: &StepSource, settings: &Settings) -> Self {
        let platforms = settings.builds.proxy.as_ref();
        let own_proxy = (spec.proxy.as_deref()).is_some_and(|proxy| Some(proxy) != platforms);
        let own_authority = spec.ca_bundle.is_some();
        let is_plain = kind(source).1.is_some_and(|url| !url.starts_with("https://"));
        Self {
            registries: own_proxy && own_authority,
            git: own_proxy && (own_authority || is_plain),
        }
    }
}

/// Refuses what no verdict could let pass.
pub(super) fn check(
    source: &StepSource,
    method: Method,
    unvouched: Unvouched,
    policies: &[Arc<AppliedPolicy>],
) -> Result<(), Refusal> {
    let (kind, git_url) = kind(source);
    for policy in policies {
        let allowed = policy.spec.allowed_sources.as_ref();
        let limits_bases = allowed.is_some_and(|allowed| !allowed.bases.is_empty());
        let limits_git = allowed.is_some_and(|allowed| !allowed.git.is_empty()) && git_url.is_some();
        if (limits_bases && unvouched.registries) || (limits_git && unvouched.git) {
            return Err(refusal(
                "EvidenceUnknown",
                format!(
                    "ImagePolicy {} allows certain sources only, and by a proxy of the build's own, with an authority of its own or without TLS, anybody can pose as them.",
                    policy.name
                ),
                "Leave out spec.proxy or spec.caBundle, or ask a platform administrator to set them for all.",
            ));
        }
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
    use crate::build::fixtures::{World, at, digest, done, evaluated, failed, job};
    use crate::build::observed::JobEnd;
    use crate::build::plan::Action;
    use imagefactory_crds::build::{Judgement, Phase, SourceStatus};

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
    fn whom_the_builds_own_proxy_and_authority_pose_as_is_not_known() {
        let (proxy, authority) = (
            json!({"https": "http://proxy.example.com:3128"}),
            json!({"name": "own", "key": "ca.pem"}),
        );
        let world = |policy: &str, url: &str, proxied: bool, vouched: bool| {
            let mut world = with(policy, git(url));
            world.says(|spec| {
                spec.proxy = proxied.then(|| serde_json::from_value(proxy.clone()).unwrap());
                spec.ca_bundle = vouched.then(|| serde_json::from_value(authority.clone()).unwrap());
            });
            world
        };
        let (bases, repositories) = (
            "allowedSources: {bases: [a.io]}",
            "allowedSources: {git: [git.example.com]}",
        );
        for (policy, url, proxied, vouched, known) in [
            (bases, "https://git.example.com/app", true, true, false),
            (bases, "http://git.example.com/app", true, false, true),
            (bases, "https://git.example.com/app", false, true, true),
            (repositories, "https://git.example.com/app", true, true, false),
            (repositories, "https://git.example.com/app", true, false, true),
            (repositories, "http://git.example.com/app", true, false, false),
            (repositories, "http://git.example.com/app", false, true, true),
        ] {
            let found = world(policy, url, proxied, vouched).validated();
            let reason = found.as_ref().map_or_else(|refusal| refusal.reason, |_| "");
            assert_eq!(reason, if known { "" } else { "EvidenceUnknown" }, "{policy} {url}");
        }
        let mut platforms = world(bases, "https://git.example.com/app", true, true);
        platforms.settings.builds.proxy = serde_json::from_value(proxy.clone()).unwrap();
        assert!(
            platforms.validated().is_ok(),
            "the platform's own proxy is the platform's"
        );
        let free = world("mode: Enforce", "https://git.example.com/app", true, true);
        let build = free.validated().unwrap();
        let recorded = SourceStatus::default();
        assert!(
            facts::of(&build, Some(&recorded)).known_bases().is_err(),
            "nor to a rule"
        );
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

    fn is_too_old(world: &mut World) {
        let plan = world.step();
        assert!(plan.actions.is_empty() && plan.then.is_empty(), "{plan:?}");
        let failure = world.status().failure.as_ref().unwrap();
        assert_eq!(failure.reason, "EvidenceTooOld");
    }

    #[test]
    fn a_verdict_that_nobody_looked_at_for_hours_publishes_nothing() {
        let mut world = World::scanning();
        world
            .policies
            .change("default", |policy| policy.max_evidence_age = Some("1h".into()));
        let report = evaluated(&world, Judgement::Pass, true);
        world.observed.scan = Some(job("scan", Some(JobEnd::Complete), Some(done("evaluate", &report))));
        world.now = at(3600);
        assert!(matches!(world.plan().then.as_slice(), [Action::CreateJob(_)]));
        world.now = at(3601);
        is_too_old(&mut world);
        assert!(world.status().scan.is_some(), "what was found stays");
    }

    #[test]
    fn a_publish_that_waited_for_hours_is_not_tried_again_on_old_evidence() {
        let mut world = World::publishing();
        world
            .policies
            .change("default", |policy| policy.max_evidence_age = Some("1h".into()));
        let away = failed("publish", FailureClass::Publish, "RegistryUnreachable");
        world.observed.publish = Some(job("publish", Some(JobEnd::Complete), Some(away)));
        world.step();
        assert!(world.status().next_attempt_at.is_some());
        world.observed.publish = None;
        world.now = at(3600);
        assert!(matches!(world.plan().then.as_slice(), [Action::CreateJob(_)]));
        world.now = at(3601);
        is_too_old(&mut world);
        let message = &world.status().failure.as_ref().unwrap().message;
        assert!(
            message.ends_with("the registry says whether its tag was set."),
            "{message}"
        );
    }
}
