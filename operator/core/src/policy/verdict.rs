//! The verdict: what every policy says, and whether the image may be published.

use std::cmp::Reverse;

use imagefactory_crds::ImagePolicySpec;
use imagefactory_crds::build::{Judgement, PolicyVerdict, Verdict};
use imagefactory_crds::image_policy::{Mode, SbomRequirement};

use super::rules::{self, Facts, Inventory};
use super::{Evidence, age, causes, denied, limits, sources};
use crate::scan::Score;
use crate::step::AppliedPolicy;

/// Most causes of one policy, as the schema of Build says.
pub const MAX_CAUSES: usize = 4;
/// Most policies in a verdict, as the schema of Build says.
const MAX_POLICIES: usize = 4;

/// Judges an image by its evidence. The result is the worst of all policies, where Unknown is worse than Fail: a Fail
/// may be published in mode DryRun, Unknown never. Without a policy the result is Unknown.
#[must_use]
pub fn judge(evidence: &Evidence<'_>, policies: &[AppliedPolicy]) -> Verdict {
    let gaps = evidence.gaps();
    // Rules are asked only where there is whole evidence to ask.
    let asks = gaps.is_empty() && policies.iter().any(|policy| !policy.spec.rules.is_empty());
    let inventory = asks.then(|| Inventory::of(*evidence));
    let facts = inventory.as_ref().map(Inventory::facts);
    let mut judged: Vec<PolicyVerdict> = policies
        .iter()
        .map(|policy| judge_by(policy, evidence, &gaps, facts.as_ref()))
        .collect();
    let result = judged
        .iter()
        .map(|policy| policy.result)
        .max_by_key(|result| badness(*result))
        .unwrap_or(Judgement::Unknown);
    let publishable = !judged.is_empty() && judged.iter().all(may_publish);
    if judged.len() > MAX_POLICIES {
        judged.sort_by_key(|policy| Reverse(badness(policy.result)));
        judged.truncate(MAX_POLICIES);
    }
    Verdict {
        result,
        publishable,
        policies: judged,
    }
}

/// Takes causes away, the least important of the longest list first, until the verdict is at most `max_bytes` of JSON.
/// What remains without any cause is returned even if it is longer: results and hashes are never left out.
#[must_use]
pub fn shrink(mut verdict: Verdict, max_bytes: usize) -> Verdict {
    while serde_json::to_vec(&verdict).map_or(usize::MAX, |json| json.len()) > max_bytes {
        let longest = verdict.policies.iter_mut().max_by_key(|policy| policy.causes.len());
        if longest.and_then(|policy| policy.causes.pop()).is_none() {
            break;
        }
    }
    verdict
}

fn judge_by(
    policy: &AppliedPolicy,
    evidence: &Evidence<'_>,
    gaps: &[String],
    facts: Option<&Facts<'_>>,
) -> PolicyVerdict {
    let allowed_score = policy.spec.max_cvss.as_ref().map(|score| score.parse::<Score>());
    let mut unknown: Vec<String> = gaps.iter().map(|gap| causes::sentence(gap)).collect();
    if policy.spec.sbom == SbomRequirement::Required && evidence.sbom.is_some_and(|sbom| sbom.packages() == 0) {
        unknown
            .push("the policy requires an SBOM that lists packages, and no package was found in the image".to_owned());
    }
    if matches!(allowed_score, Some(Err(_))) {
        unknown.push("maxCvss of the policy is not a CVSS score".to_owned());
    }
    unknown.extend(age::too_old(&policy.spec, evidence));
    let sources = sources::judge(&policy.spec, evidence.build);
    unknown.extend(sources.unknown.iter().map(|why| causes::sentence(why)));
    let asked = facts.map_or_else(Asked::default, |facts| ask(&policy.spec, facts));
    unknown.extend(asked.unknown);
    let mut broken = sources.broken;
    broken.extend(asked.broken);
    broken.extend(broken_rules(&policy.spec, evidence, allowed_score.and_then(Result::ok)));
    let result = match (unknown.is_empty(), broken.is_empty()) {
        (false, _) => Judgement::Unknown,
        (true, false) => Judgement::Fail,
        (true, true) => Judgement::Pass,
    };
    let mut causes = unknown;
    causes.extend(broken);
    causes.truncate(MAX_CAUSES);
    PolicyVerdict {
        name: policy.name.as_str().into(),
        hash: policy.hash.clone(),
        mode: policy.spec.mode,
        result,
        causes,
    }
}

/// What the rules of a policy say.
#[derive(Default)]
struct Asked {
    unknown: Vec<String>,
    broken: Vec<String>,
}

/// Asks every rule. One that is no rule, or has no answer, is never a pass.
fn ask(policy: &ImagePolicySpec, facts: &Facts<'_>) -> Asked {
    let mut asked = Asked::default();
    for rule in &policy.rules {
        let name = causes::word(&rule.name);
        match rules::compile(&rule.expression).map(|compiled| compiled.holds(facts)) {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => asked
                .broken
                .push(causes::line(&format!("rule {name}: {}", rule.message))),
            Ok(Err(error)) => {
                let why = format!("rule {name} has no answer for this image: {error}");
                asked.unknown.push(causes::sentence(&why));
            }
            Err(error) => {
                let why = format!("rule {name} is not valid: {error}");
                asked.unknown.push(causes::sentence(&why));
            }
        }
    }
    asked
}

/// Every limit that the evidence breaks, worst first: severities, score, packages, licences.
fn broken_rules(policy: &ImagePolicySpec, evidence: &Evidence<'_>, allowed_score: Option<Score>) -> Vec<String> {
    let mut broken = Vec::new();
    if let Some(report) = evidence.report {
        let findings = limits::counted(policy, report);
        broken.extend(
            policy
                .max_vulnerabilities
                .iter()
                .flat_map(|allowed| limits::exceeded(allowed, &findings)),
        );
        broken.extend(allowed_score.and_then(|allowed| limits::above_score(allowed, &findings)));
    }
    broken.extend(denied::found(policy, evidence.report, evidence.sbom));
    broken
}

pub(super) fn may_publish(policy: &PolicyVerdict) -> bool {
    match policy.result {
        Judgement::Pass => true,
        Judgement::Fail => policy.mode == Mode::DryRun,
        Judgement::Unknown => false,
    }
}

pub(super) fn badness(result: Judgement) -> u8 {
    match result {
        Judgement::Pass => 0,
        Judgement::Fail => 1,
        Judgement::Unknown => 2,
    }
}
