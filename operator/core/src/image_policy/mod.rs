//! ImagePolicy: whether it can be applied, and the hash by which verdicts name it.

use imagefactory_crds::image_policy::Mode;
use imagefactory_crds::{ImagePolicy, ImagePolicySpec, ImagePolicyStatus};
use jiff::Timestamp;

use crate::policy::{hash, max_evidence_age, rules};
use crate::scan::Score;
use crate::tenant::readiness::{Readiness, Standing};

/// Reason: the policy can be applied.
pub const VALID: &str = "Valid";
/// Reason: the policy can't be applied; images that it is asked about are Unknown.
pub const INVALID: &str = "Invalid";

/// The status of a policy; none for one that is being deleted. Only a valid policy has a hash: no verdict names another.
#[must_use]
pub fn status(policy: &ImagePolicy, now: Timestamp) -> Option<ImagePolicyStatus> {
    if policy.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let readiness = readiness(&policy.spec);
    let before = policy
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    Some(ImagePolicyStatus {
        observed_generation: policy.metadata.generation.unwrap_or_default(),
        conditions: readiness.conditions(before, &policy.metadata, now),
        hash: (readiness.standing == Standing::Ready).then(|| hash(&policy.spec)),
    })
}

/// Whether the policy can be applied. The schema refuses what can't; this holds where it was not asked.
#[must_use]
pub fn readiness(spec: &ImagePolicySpec) -> Readiness {
    if let Some(score) = spec.max_cvss.as_ref().filter(|score| score.parse::<Score>().is_err()) {
        let message = format!(
            "spec.maxCvss {:?} is not a CVSS score from 0 to 10, as in \"6.9\". Until it is corrected, every image \
             that this policy is asked about is Unknown and not published.",
            score.as_str()
        );
        return Readiness::new(Standing::Stalled, INVALID, message);
    }
    if let Some(why) = wrong_age(spec).or_else(|| wrong_rule(spec)) {
        let message = format!(
            "{why}. Until it is corrected, every image that this policy is asked about is Unknown and not published."
        );
        return Readiness::new(Standing::Stalled, INVALID, message);
    }
    let meaning = match spec.mode {
        Mode::Enforce => "An image that fails this policy is not published.",
        Mode::DryRun => "Mode DryRun: an image that fails this policy is published and says so.",
    };
    let limits = if sets_no_limit(spec) {
        " It sets no limit: every image with complete evidence passes."
    } else {
        ""
    };
    Readiness::new(Standing::Ready, VALID, format!("{meaning}{limits}"))
}

fn wrong_age(spec: &ImagePolicySpec) -> Option<String> {
    let text = spec.max_evidence_age.as_ref()?;
    max_evidence_age(spec).err()?;
    Some(format!(
        "spec.maxEvidenceAge {:?} is not a duration from 1h to 8760h",
        text.as_str()
    ))
}

/// The first rule that can't be asked, and why: it does not parse, or names what there is not.
fn wrong_rule(spec: &ImagePolicySpec) -> Option<String> {
    spec.rules.iter().find_map(|rule| {
        let error = rules::compile(&rule.expression).err()?;
        Some(format!("spec.rules, rule {:?}: {error}", rule.name.as_str()))
    })
}

fn sets_no_limit(spec: &ImagePolicySpec) -> bool {
    let unlimited = spec
        .max_vulnerabilities
        .is_none_or(|limits| limits == Default::default());
    let limits_sources = spec
        .allowed_sources
        .as_ref()
        .is_some_and(|allowed| *allowed != Default::default());
    unlimited
        && !limits_sources
        && spec.max_cvss.is_none()
        && spec.denied_licences.is_empty()
        && spec.denied_packages.is_empty()
        && spec.rules.is_empty()
        && spec.max_evidence_age.is_none()
}

#[cfg(test)]
mod tests {
    use imagefactory_crds::conditions::{find, is_true};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn policy(spec: &str) -> ImagePolicy {
        ImagePolicy::new("strict", serde_yaml::from_str(spec).unwrap())
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1).unwrap()
    }

    #[test]
    fn a_valid_policy_is_ready_and_has_the_hash_that_verdicts_name() {
        let policy = policy("{maxVulnerabilities: {critical: 0}, maxCvss: '6.9'}");
        let status = status(&policy, now()).unwrap();
        assert!(is_true(&status.conditions, "Ready"));
        assert_eq!(status.hash, Some(hash(&policy.spec)));
    }

    #[test]
    fn a_score_that_is_none_makes_the_policy_invalid_and_takes_its_hash() {
        for score in ["11", "-1", "6,9", "ten", ""] {
            let status = status(&policy(&format!("{{maxCvss: '{score}'}}")), now()).unwrap();
            assert!(is_true(&status.conditions, "Stalled"), "{score}");
            assert_eq!(find(&status.conditions, "Ready").unwrap().reason, INVALID);
            assert_eq!(status.hash, None);
        }
    }

    #[test]
    fn a_rule_that_can_not_be_asked_makes_the_policy_invalid_and_is_named_with_its_fault() {
        let invalid = |expression: &str| {
            let rules = serde_json::json!({"rules": [
                {"name": "good", "expression": "true", "message": "m"},
                {"name": "bad", "expression": expression, "message": "m"},
            ]});
            let status = status(&ImagePolicy::new("p", serde_json::from_value(rules).unwrap()), now()).unwrap();
            assert_eq!(status.hash, None, "{expression}");
            let ready = find(&status.conditions, "Ready").unwrap();
            assert_eq!(
                (ready.status.as_str(), ready.reason.as_str()),
                ("False", INVALID),
                "{expression}"
            );
            ready.message.clone()
        };
        let rest = ". Until it is corrected, every image that this policy is asked about is Unknown and not published.";
        assert_eq!(
            invalid("counts.criticl == 0"),
            format!(
                "spec.rules, rule \"bad\": counts has no field criticl; it has: critical, high, medium, low, unknown, fixable, total{rest}"
            )
        );
        assert!(invalid("true &&\n  )").starts_with("spec.rules, rule \"bad\": line 2, column 3: "));
        assert!(invalid("counts.high").contains("the expression: int where bool is needed"));
        assert!(invalid("findings.exists(f, f.age() > 1)").contains("unknown function age"));
    }

    #[test]
    fn an_age_that_is_none_makes_the_policy_invalid() {
        for age in ["59m", "9999h", "3d", ""] {
            let status = status(&policy(&format!("{{maxEvidenceAge: '{age}'}}")), now()).unwrap();
            assert_eq!(
                (status.hash, find(&status.conditions, "Ready").unwrap().reason.as_str()),
                (None, INVALID),
                "{age}"
            );
        }
    }

    #[test]
    fn the_message_says_what_the_mode_means_and_where_a_policy_does_nothing() {
        let message = |spec| readiness(&policy(spec).spec).message;
        assert!(message("{mode: DryRun, maxCvss: '0'}").starts_with("Mode DryRun"));
        assert!(!message("{maxCvss: '0'}").contains("no limit"));
        assert!(!message("{maxVulnerabilities: {low: 0}}").contains("no limit"));
        assert!(!message("{deniedPackages: [telnet]}").contains("no limit"));
        assert!(!message("{rules: [{name: a, expression: 'true', message: m}]}").contains("no limit"));
        assert!(!message("{maxEvidenceAge: 1h}").contains("no limit"));
        assert!(!message("{allowedSources: {git: [a.io]}}").contains("no limit"));
        assert!(message("{allowedSources: {}}").contains("no limit"));
        assert!(message("{}").contains("no limit"));
        assert!(message("{maxVulnerabilities: {}}").contains("no limit"));
    }

    #[test]
    fn a_second_look_gives_the_same_status_and_a_deleted_policy_has_none() {
        let mut policy = policy("{maxCvss: '6.9'}");
        let first = status(&policy, now());
        policy.status.clone_from(&first);
        assert_eq!(status(&policy, Timestamp::from_second(99).unwrap()), first);
        policy.metadata.deletion_timestamp = Some(Time(now()));
        assert_eq!(status(&policy, now()), None);
    }
}
