//! Limits of a policy for findings: how many of each severity, and how high their CVSS score may be.

use std::cmp::Reverse;

use imagefactory_crds::ImagePolicySpec;
use imagefactory_crds::image_policy::SeverityLimits;

use super::causes;
use crate::scan::{Finding, Report, Score, Severity};

/// Findings that the policy counts, worst first, so that the order of the report says nothing.
pub(super) fn counted<'a>(policy: &ImagePolicySpec, report: &'a Report) -> Vec<&'a Finding> {
    let mut findings: Vec<&Finding> = report
        .findings
        .iter()
        .filter(|finding| !policy.ignore_unfixed || finding.has_fix())
        .collect();
    findings.sort_by_key(|finding| {
        (
            Reverse(finding.severity),
            Reverse(finding.effective_score()),
            &finding.id,
            &finding.package,
            &finding.version,
        )
    });
    findings
}

/// Which limits per severity are broken, worst severity first. 0 allows none; a severity without a limit has none.
pub(super) fn exceeded(limits: &SeverityLimits, findings: &[&Finding]) -> Vec<String> {
    let broken = |severity: Severity| {
        let allowed = limit(limits, severity)?;
        let found: Vec<&&Finding> = findings.iter().filter(|finding| finding.severity == severity).collect();
        let too_many = u32::try_from(found.len()).map_or(true, |count| count > allowed);
        too_many.then(|| {
            let head = format!("{}, {allowed} allowed", amount(found.len(), severity));
            causes::listed(&head, found.into_iter().map(|finding| causes::name(finding)).collect())
        })
    };
    Severity::WORST_FIRST.into_iter().filter_map(broken).collect()
}

/// Whether a finding's score is above the limit. A finding without a score counts with the top of its severity's band.
pub(super) fn above_score(allowed: Score, findings: &[&Finding]) -> Option<String> {
    let mut above: Vec<&&Finding> = findings
        .iter()
        .filter(|finding| finding.effective_score() > allowed)
        .collect();
    above.sort_by_key(|finding| Reverse(finding.effective_score()));
    let head = match above.len() {
        0 => return None,
        1 => format!("1 finding has a CVSS score above {allowed}"),
        count => format!("{count} findings have a CVSS score above {allowed}"),
    };
    Some(causes::listed(
        &head,
        above.into_iter().map(|finding| with_score(finding)).collect(),
    ))
}

fn with_score(finding: &Finding) -> String {
    let score = finding.effective_score();
    let note = if finding.cvss.is_some() { "" } else { " assumed" };
    format!("{} {score}{note}", causes::name(finding))
}

fn limit(limits: &SeverityLimits, severity: Severity) -> Option<u32> {
    match severity {
        Severity::Critical => limits.critical,
        Severity::High => limits.high,
        Severity::Medium => limits.medium,
        Severity::Low => limits.low,
        Severity::Unknown => limits.unknown,
    }
}

fn amount(count: usize, severity: Severity) -> String {
    let noun = if count == 1 { "vulnerability" } else { "vulnerabilities" };
    match severity {
        Severity::Critical => format!("{count} critical {noun}"),
        Severity::High => format!("{count} high {noun}"),
        Severity::Medium => format!("{count} medium {noun}"),
        Severity::Low => format!("{count} low {noun}"),
        Severity::Unknown => format!("{count} {noun} without a severity"),
    }
}
