//! ImagePolicy: whether it can be applied, and the hash by which verdicts name it.

use imagefactory_crds::image_policy::Mode;
use imagefactory_crds::{ImagePolicy, ImagePolicySpec, ImagePolicyStatus};
use jiff::Timestamp;

use crate::policy::hash;
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

fn sets_no_limit(spec: &ImagePolicySpec) -> bool {
    let unlimited = spec
        .max_vulnerabilities
        .is_none_or(|limits| limits == Default::default());
    unlimited && spec.max_cvss.is_none() && spec.denied_licences.is_empty() && spec.denied_packages.is_empty()
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
    fn the_message_says_what_the_mode_means_and_where_a_policy_does_nothing() {
        let message = |spec| readiness(&policy(spec).spec).message;
        assert!(message("{mode: DryRun, maxCvss: '0'}").starts_with("Mode DryRun"));
        assert!(!message("{maxCvss: '0'}").contains("no limit"));
        assert!(!message("{maxVulnerabilities: {low: 0}}").contains("no limit"));
        assert!(!message("{deniedPackages: [telnet]}").contains("no limit"));
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
