//! The verdicts on the images of an index as one: it is published whole or not at all.

use std::cmp::Reverse;

use imagefactory_crds::build::{Judgement, PolicyVerdict, Verdict};

use super::causes::cut;
use super::verdict::{MAX_CAUSES, badness, may_publish};

/// The verdict on one image of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformVerdict {
    /// Platform of the image.
    pub platform: String,
    /// What the policies say about it.
    pub verdict: Verdict,
}

/// The verdict on all images together: as bad as the worst, publishable only if every image is. Causes say of which
/// image they speak. Without an image the result is Unknown.
#[must_use]
pub fn combine(images: &[PlatformVerdict]) -> Verdict {
    if let [only] = images {
        return only.verdict.clone();
    }
    let mut policies: Vec<PolicyVerdict> = Vec::new();
    for policy in images.iter().flat_map(|image| &image.verdict.policies) {
        if !policies.iter().any(|known| same(known, policy)) {
            policies.push(combined(policy, images));
        }
    }
    let results = images.iter().map(|image| image.verdict.result);
    let result = results
        .chain(policies.iter().map(|policy| policy.result))
        .max_by_key(|result| badness(*result))
        .unwrap_or(Judgement::Unknown);
    let publishable = !policies.is_empty()
        && images.iter().all(|image| image.verdict.publishable)
        && policies.iter().all(may_publish);
    Verdict {
        result,
        publishable,
        policies,
    }
}

fn same(one: &PolicyVerdict, other: &PolicyVerdict) -> bool {
    (&one.name, &one.hash, one.mode) == (&other.name, &other.hash, other.mode)
}

/// What one policy says about all images. An image that it did not judge is Unknown to it.
fn combined(policy: &PolicyVerdict, images: &[PlatformVerdict]) -> PolicyVerdict {
    let unjudged = PolicyVerdict {
        result: Judgement::Unknown,
        causes: vec!["the policy was not applied".to_owned()],
        ..policy.clone()
    };
    let mut said: Vec<(&str, &PolicyVerdict)> = images
        .iter()
        .map(|image| {
            let own = image.verdict.policies.iter().find(|own| same(own, policy));
            (image.platform.as_str(), own.unwrap_or(&unjudged))
        })
        .collect();
    said.sort_by_key(|(_, own)| Reverse(badness(own.result)));
    PolicyVerdict {
        result: said.first().map_or(Judgement::Unknown, |(_, worst)| worst.result),
        causes: causes(&said),
        ..policy.clone()
    }
}

/// The first cause of each image, the worst image first, then the second of each; what several share is said once.
fn causes(said: &[(&str, &PolicyVerdict)]) -> Vec<String> {
    let mut merged: Vec<(Vec<&str>, &str)> = Vec::new();
    for rank in 0..MAX_CAUSES {
        for (platform, own) in said {
            let Some(cause) = own.causes.get(rank) else { continue };
            match merged.iter_mut().find(|(_, known)| known == cause) {
                Some((platforms, _)) => platforms.push(platform),
                None => merged.push((vec![platform], cause)),
            }
        }
    }
    let told = merged.into_iter().take(MAX_CAUSES);
    told.map(|(platforms, cause)| cut(&format!("{}: {cause}", platforms.join(", "))))
        .collect()
}

#[cfg(test)]
mod tests {
    use imagefactory_crds::image_policy::Mode;
    use proptest::prelude::*;

    use super::*;

    fn policy(name: &str, mode: Mode, result: Judgement, causes: &[&str]) -> PolicyVerdict {
        PolicyVerdict {
            name: name.to_owned(),
            hash: "sha256:a".to_owned(),
            mode,
            result,
            causes: causes.iter().map(|cause| (*cause).to_owned()).collect(),
        }
    }

    fn image(platform: &str, policies: Vec<PolicyVerdict>) -> PlatformVerdict {
        let result = policies
            .iter()
            .map(|policy| policy.result)
            .max_by_key(|result| badness(*result));
        let verdict = Verdict {
            result: result.unwrap_or(Judgement::Unknown),
            publishable: !policies.is_empty() && policies.iter().all(may_publish),
            policies,
        };
        PlatformVerdict {
            platform: platform.to_owned(),
            verdict,
        }
    }

    #[test]
    fn causes_say_of_which_image_they_speak_and_the_worst_comes_first() {
        let good = policy("p", Mode::Enforce, Judgement::Fail, &["too many", "shared"]);
        let bad = policy("p", Mode::Enforce, Judgement::Unknown, &["no report", "shared"]);
        let verdict = combine(&[image("linux/amd64", vec![good]), image("linux/arm64", vec![bad])]);
        assert_eq!((verdict.result, verdict.publishable), (Judgement::Unknown, false));
        assert_eq!(
            verdict.policies[0].causes,
            [
                "linux/arm64: no report",
                "linux/amd64: too many",
                "linux/arm64, linux/amd64: shared"
            ]
        );
    }

    #[test]
    fn an_image_that_a_policy_did_not_judge_is_unknown_to_it() {
        let pass = policy("p", Mode::Enforce, Judgement::Pass, &[]);
        let verdict = combine(&[
            image("linux/amd64", vec![pass.clone()]),
            image("linux/arm64", Vec::new()),
        ]);
        assert_eq!((verdict.result, verdict.publishable), (Judgement::Unknown, false));
        assert_eq!(verdict.policies[0].causes, ["linux/arm64: the policy was not applied"]);
        let none = combine(&[]);
        assert_eq!((none.result, none.publishable), (Judgement::Unknown, false));
        let alone = image("linux/amd64", vec![pass]);
        assert_eq!(combine(std::slice::from_ref(&alone)), alone.verdict);
    }

    fn any_policies() -> impl Strategy<Value = Vec<PolicyVerdict>> {
        let result = prop_oneof![Just(Judgement::Pass), Just(Judgement::Fail), Just(Judgement::Unknown)];
        let mode = prop_oneof![Just(Mode::Enforce), Just(Mode::DryRun)];
        let one = ("[ab]", mode, result, prop::collection::vec("[xy]{1,250}", 0..6));
        prop::collection::vec(one, 0..3).prop_map(|all| {
            let made = all.into_iter().map(|(name, mode, result, causes)| {
                let causes: Vec<_> = causes.iter().map(String::as_str).collect();
                policy(&name, mode, result, &causes)
            });
            made.collect()
        })
    }

    proptest! {
        #[test]
        fn the_whole_is_never_better_than_its_worst_image(all in prop::collection::vec(any_policies(), 0..5)) {
            let images: Vec<_> = all
                .into_iter()
                .enumerate()
                .map(|(number, policies)| image(&format!("linux/v{number}"), policies))
                .collect();
            let whole = combine(&images);
            for image in &images {
                prop_assert!(badness(whole.result) >= badness(image.verdict.result));
                prop_assert!(!whole.publishable || image.verdict.publishable);
            }
            prop_assert!(!images.is_empty() || !whole.publishable);
            prop_assert!(!whole.publishable || whole.policies.iter().all(may_publish));
            prop_assert!(whole.result != Judgement::Unknown || !whole.publishable);
            for policy in &whole.policies {
                prop_assert!(policy.causes.len() <= MAX_CAUSES.max(6));
            }
        }
    }
}
