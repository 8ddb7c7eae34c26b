//! Verdicts, rule by rule.

mod properties;
mod terms;

use imagefactory_crds::build::{Judgement, SeverityCounts, Verdict};

use super::*;
use crate::scan::{self, DatabaseInfo, Report, Sbom};
use crate::step::AppliedPolicy;

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn report() -> Report {
    scan::report::parse(include_bytes!("../scan/fixtures/report.json").as_slice()).unwrap()
}

fn sbom() -> Sbom {
    scan::sbom::parse(include_bytes!("../scan/fixtures/sbom.json").as_slice()).unwrap()
}

fn database() -> DatabaseInfo {
    DatabaseInfo {
        version: 2,
        updated_at: "2026-10-01T06:00:00Z".parse().unwrap(),
    }
}

fn policy(spec: &str) -> AppliedPolicy {
    let spec = serde_yaml::from_str(spec).unwrap();
    AppliedPolicy {
        name: "default".to_owned(),
        hash: hash(&spec),
        spec,
    }
}

/// All that a verdict can ask for.
fn complete<'a>(report: &'a Report, sbom: &'a Sbom) -> Evidence<'a> {
    Evidence {
        digest: DIGEST,
        report: Some(report),
        sbom: Some(sbom),
        database: Some(database()),
        java_database: true,
        faults: &[],
        ..Evidence::default()
    }
}

fn judged(spec: &str) -> Verdict {
    judge(&complete(&report(), &sbom()), &[policy(spec)])
}

/// Result and causes under one policy.
fn says(spec: &str) -> (Judgement, Vec<String>) {
    let verdict = judged(spec);
    (verdict.result, verdict.policies[0].causes.clone())
}

fn fails(spec: &str, cause: &str) {
    assert_eq!(says(spec), (Judgement::Fail, vec![cause.to_owned()]), "{spec}");
}

fn passes(spec: &str) {
    assert_eq!(says(spec), (Judgement::Pass, Vec::new()), "{spec}");
}

#[test]
fn a_policy_without_rules_passes_what_has_complete_evidence() {
    passes("{}");
    assert!(judged("{}").publishable);
}

#[test]
fn a_limit_of_zero_allows_none_and_no_limit_allows_all() {
    fails(
        "maxVulnerabilities: {critical: 0}",
        "2 critical vulnerabilities, 0 allowed: CVE-2021-44228 (org.apache.logging.log4j:log4j-core 2.14.1), CVE-2019-18224 (libidn2-0 2.0.5-1)",
    );
    fails(
        "maxVulnerabilities: {low: 0}",
        "1 low vulnerability, 0 allowed: CVE-2019-18276 (bash 5.0-4)",
    );
    fails(
        "maxVulnerabilities: {unknown: 0}",
        "1 vulnerability without a severity, 0 allowed: TEMP-0841856-B18BAF (bash 5.0-4)",
    );
    passes("maxVulnerabilities: {}");
}

#[test]
fn a_limit_is_what_is_still_allowed() {
    passes("maxVulnerabilities: {critical: 2, high: 1, medium: 1, low: 1, unknown: 1}");
    let (result, causes) = says("maxVulnerabilities: {critical: 1}");
    assert_eq!(result, Judgement::Fail);
    assert!(
        causes[0].starts_with("2 critical vulnerabilities, 1 allowed: "),
        "{causes:?}"
    );
}

#[test]
fn a_score_is_compared_in_tenths() {
    passes("maxCvss: '10'");
    passes("maxCvss: '10.0'");
    let (result, causes) = says("maxCvss: '9.9'");
    assert_eq!(result, Judgement::Fail);
    assert_eq!(
        causes,
        [
            "2 findings have a CVSS score above 9.9: CVE-2021-44228 (org.apache.logging.log4j:log4j-core 2.14.1) 10.0, TEMP-0841856-B18BAF (bash 5.0-4) 10.0 assumed"
        ]
    );
}

#[test]
fn a_finding_without_a_score_counts_with_the_top_of_its_severity() {
    for (severity, score, below) in [
        ("CRITICAL", "10", "9.9"),
        ("HIGH", "8.9", "8.8"),
        ("MEDIUM", "6.9", "6.8"),
        ("LOW", "3.9", "3.8"),
        ("UNKNOWN", "10", "9.9"),
    ] {
        let mut report = report();
        report.findings.truncate(1);
        report.findings[0].cvss = None;
        report.findings[0].severity = scan::Severity::parse(severity);
        let result = |limit: &str| judge(&complete(&report, &sbom()), &[policy(&format!("maxCvss: '{limit}'"))]).result;
        assert_eq!(result(score), Judgement::Pass, "{severity} at {score}");
        assert_eq!(result(below), Judgement::Fail, "{severity} at {below}");
    }
}

#[test]
fn a_score_limit_of_zero_allows_no_finding_at_all() {
    let (result, causes) = says("maxCvss: '0'");
    assert_eq!(result, Judgement::Fail);
    assert!(
        causes[0].starts_with("6 findings have a CVSS score above 0.0: "),
        "{causes:?}"
    );
}

#[test]
fn findings_without_a_fix_can_be_left_out_of_limits_and_score() {
    passes("maxVulnerabilities: {low: 0, unknown: 0}\nignoreUnfixed: true");
    let (result, _) = says("maxVulnerabilities: {critical: 0}\nignoreUnfixed: true");
    assert_eq!(result, Judgement::Fail);
    let (_, causes) = says("maxCvss: '0'\nignoreUnfixed: true");
    assert!(
        causes[0].starts_with("4 findings have a CVSS score above 0.0: "),
        "{causes:?}"
    );
}

#[test]
fn a_finding_has_a_fix_if_a_version_is_named_or_the_distributor_says_so() {
    for (version, status, has_fix) in [
        (None, scan::FixStatus::Affected, false),
        (None, scan::FixStatus::WillNotFix, false),
        (None, scan::FixStatus::Fixed, true),
        (Some("1.2"), scan::FixStatus::Affected, true),
        (Some("1.2"), scan::FixStatus::Unknown, true),
    ] {
        let mut report = report();
        report.findings.truncate(1);
        report.findings[0].fixed_version = version.map(str::to_owned);
        report.findings[0].status = status;
        let verdict = judge(
            &complete(&report, &sbom()),
            &[policy("maxCvss: '0'\nignoreUnfixed: true")],
        );
        let expected = if has_fix { Judgement::Fail } else { Judgement::Pass };
        assert_eq!(verdict.result, expected, "{version:?} {status:?}");
        assert_eq!(scan::counts(&report).fixable, u32::from(has_fix));
    }
}

#[test]
fn a_denied_package_is_found_by_name_or_package_url_without_regard_to_case() {
    for denied in [
        "bash",
        "BASH",
        "pkg:deb/debian/bash",
        "PKG:deb/Debian/Bash",
        "pkg:deb/debian/bash@1.0",
    ] {
        fails(&format!("deniedPackages: ['{denied}']"), "1 denied package: bash 5.0-4");
    }
    for denied in [
        "log4j-core",
        "org.apache.logging.log4j:log4j-core",
        "org.apache.logging.log4j/log4j-core",
        "pkg:maven/org.apache.logging.log4j/log4j-core",
    ] {
        assert_eq!(
            says(&format!("deniedPackages: ['{denied}']")).0,
            Judgement::Fail,
            "{denied}"
        );
    }
    for allowed in [
        "bas",
        "bash-static",
        "pkg:deb/debian/bas",
        "pkg:npm/bash",
        "debian",
        "5.0-4",
    ] {
        let (result, _) = says(&format!("deniedPackages: ['{allowed}']"));
        let is_the_system_itself = allowed == "debian";
        assert_eq!(result == Judgement::Fail, is_the_system_itself, "{allowed}");
    }
}

#[test]
fn a_package_that_only_the_sbom_lists_is_denied_too() {
    fails("deniedPackages: [readline]", "1 denied package: readline 8.0");
}

#[test]
fn a_denied_licence_is_found_in_the_report_and_in_the_sbom() {
    fails(
        "deniedLicences: [lgpl-3.0-OR-later]",
        "1 package with a denied licence: libidn2-0 2.0.5-1: LGPL-3.0-or-later",
    );
    fails(
        "deniedLicences: [MIT]",
        "1 package with a denied licence: readline 8.0: GPL-3.0-only OR MIT",
    );
    fails(
        "deniedLicences: [A licence of its own]",
        "1 package with a denied licence: bash 5.0-4: a licence of its own",
    );
    passes("deniedLicences: [GPL-2.0-only, LGPL-3.0-only]");
}

#[test]
fn causes_come_worst_first() {
    let (_, causes) = says(
        "maxVulnerabilities: {critical: 0, high: 0, medium: 0, low: 0, unknown: 0}\nmaxCvss: '5'\n\
         deniedPackages: [bash, readline]\ndeniedLicences: [MIT, GPL-3.0-or-later]",
    );
    insta::assert_snapshot!(causes.join("\n"), @r"
    2 critical vulnerabilities, 0 allowed: CVE-2021-44228 (org.apache.logging.log4j:log4j-core 2.14.1), CVE-2019-18224 (libidn2-0 2.0.5-1)
    1 high vulnerability, 0 allowed: CVE-2021-45105 (org.apache.logging.log4j:log4j-core 2.14.1)
    1 medium vulnerability, 0 allowed: GHSA-xxxx-yyyy-zzzz (org.apache.logging.log4j:log4j-core 2.14.1)
    1 low vulnerability, 0 allowed: CVE-2019-18276 (bash 5.0-4)
    ");
}

#[test]
fn without_a_policy_nothing_is_known_and_nothing_published() {
    let verdict = judge(&complete(&report(), &sbom()), &[]);
    assert_eq!(
        verdict,
        Verdict {
            result: Judgement::Unknown,
            publishable: false,
            policies: Vec::new()
        }
    );
}

/// Nothing but `cause` stands in the way, and no mode publishes.
fn is_unknown(evidence: &Evidence<'_>, cause: &str) {
    for mode in ["Enforce", "DryRun"] {
        let verdict = judge(evidence, &[policy(&format!("mode: {mode}"))]);
        assert_eq!(
            (verdict.result, verdict.publishable),
            (Judgement::Unknown, false),
            "{cause}"
        );
        assert_eq!(verdict.policies[0].causes, [cause]);
    }
}

#[test]
fn evidence_that_is_missing_is_unknown_with_its_cause() {
    let (report, sbom) = (report(), sbom());
    let whole = complete(&report, &sbom);
    is_unknown(&Evidence { report: None, ..whole }, "there is no report of the scanner");
    is_unknown(&Evidence { sbom: None, ..whole }, "there is no SBOM");
    is_unknown(
        &Evidence {
            database: None,
            ..whole
        },
        "the scanner named no vulnerability database, so its report may have looked nothing up",
    );
    is_unknown(
        &Evidence {
            java_database: false,
            ..whole
        },
        "the image holds Java archives and the scanner had no Java database",
    );
}

#[test]
fn a_fault_while_evidence_was_gathered_is_unknown_in_its_own_words() {
    let (report, sbom) = (report(), sbom());
    let faults = ["the scanner's report can't be used: it is empty or cut off\n".to_owned()];
    is_unknown(
        &Evidence {
            faults: &faults,
            ..complete(&report, &sbom)
        },
        "the scanner's report can't be used: it is empty or cut off?",
    );
}

#[test]
fn a_report_that_can_not_be_the_whole_truth_is_unknown() {
    let (report, sbom) = (report(), sbom());
    let filtered = Report {
        suppressed: 1,
        ..report.clone()
    };
    is_unknown(
        &complete(&filtered, &sbom),
        "findings were taken out of the report by something that is not the factory's",
    );
    let emptied = Report {
        findings: Vec::new(),
        packages: Vec::new(),
        ..report.clone()
    };
    is_unknown(
        &complete(&emptied, &sbom),
        "an operating system was recognised and none of its packages was found",
    );
    let covers_nothing = Report {
        os: None,
        targets: 0,
        findings: Vec::new(),
        packages: Vec::new(),
        ..report
    };
    is_unknown(
        &complete(&covers_nothing, &sbom),
        "the SBOM lists packages and the report covers none",
    );
}

#[test]
fn evidence_of_another_image_is_unknown() {
    let (report, sbom) = (report(), sbom());
    let verdict = judge(
        &Evidence {
            digest: "sha256:bb",
            ..complete(&report, &sbom)
        },
        &[policy("{}")],
    );
    assert_eq!(verdict.result, Judgement::Unknown);
    assert_eq!(
        verdict.policies[0].causes,
        [
            "the report does not speak of this image's digest",
            "the SBOM does not speak of this image's digest"
        ]
    );
}

#[test]
fn an_image_without_java_archives_needs_no_java_database() {
    let mut report = report();
    report.has_jars = false;
    let mut sbom = sbom();
    sbom.components.retain(|component| !component.is_java);
    let evidence = Evidence {
        java_database: false,
        ..complete(&report, &sbom)
    };
    assert_eq!(judge(&evidence, &[policy("{}")]).result, Judgement::Pass);
}

#[test]
fn a_required_sbom_must_list_packages() {
    let (report, mut sbom) = (report(), sbom());
    sbom.components.clear();
    let verdict = |spec: &str| judge(&complete(&report, &sbom), &[policy(spec)]);
    assert_eq!(verdict("sbom: Optional").result, Judgement::Pass);
    let required = verdict("sbom: Required\nmode: DryRun");
    assert_eq!((required.result, required.publishable), (Judgement::Unknown, false));
    assert_eq!(
        required.policies[0].causes,
        ["the policy requires an SBOM that lists packages, and no package was found in the image"]
    );
    passes("sbom: Required");
}

#[test]
fn a_score_limit_that_is_not_a_score_is_unknown() {
    assert_eq!(says("maxCvss: high").0, Judgement::Unknown);
}

#[test]
fn the_worst_policy_decides() {
    let (report, sbom) = (report(), sbom());
    let (pass, fail, unknown) = (
        policy("{}"),
        policy("maxVulnerabilities: {critical: 0}"),
        policy("maxCvss: x"),
    );
    let result = |policies: &[&AppliedPolicy]| {
        judge(
            &complete(&report, &sbom),
            &policies.iter().copied().cloned().collect::<Vec<_>>(),
        )
        .result
    };
    assert_eq!(result(&[&pass, &pass]), Judgement::Pass);
    assert_eq!(result(&[&pass, &fail]), Judgement::Fail);
    assert_eq!(result(&[&unknown, &fail, &pass]), Judgement::Unknown);
}

#[test]
fn a_fail_is_published_only_where_every_failing_policy_is_a_dry_run() {
    let (report, sbom) = (report(), sbom());
    let fail = |mode: &str| policy(&format!("mode: {mode}\nmaxVulnerabilities: {{critical: 0}}"));
    let pass = policy("mode: Enforce");
    let publishable = |policies: &[AppliedPolicy]| judge(&complete(&report, &sbom), policies).publishable;
    assert!(publishable(&[fail("DryRun"), pass.clone()]));
    assert!(publishable(&[fail("DryRun"), fail("DryRun")]));
    assert!(!publishable(&[fail("DryRun"), fail("Enforce")]));
    assert!(!publishable(&[fail("DryRun"), policy("mode: DryRun\nmaxCvss: x")]));
}

#[test]
fn a_verdict_names_each_policy_with_its_hash_and_mode() {
    let verdict = judged("mode: DryRun\nmaxVulnerabilities: {critical: 0}");
    let policy = &verdict.policies[0];
    assert_eq!((policy.name.as_str(), policy.hash.len()), ("default", 71));
    assert_eq!(policy.mode, imagefactory_crds::image_policy::Mode::DryRun);
}

#[test]
fn of_many_policies_the_worst_are_kept() {
    let (report, sbom) = (report(), sbom());
    let mut policies = vec![policy("{}"); 5];
    policies.push(policy("maxVulnerabilities: {critical: 0}"));
    let verdict = judge(&complete(&report, &sbom), &policies);
    assert_eq!(
        (verdict.policies.len(), verdict.policies[0].result),
        (4, Judgement::Fail)
    );
}

#[test]
fn a_verdict_is_shrunk_by_its_last_causes() {
    let spec = "maxVulnerabilities: {critical: 0, high: 0, medium: 0, low: 0, unknown: 0}";
    let verdict = judged(spec);
    let length = |verdict: &Verdict| serde_json::to_vec(verdict).unwrap().len();
    assert_eq!(shrink(verdict.clone(), 4000), verdict);
    let limit = length(&verdict) - 1;
    let shrunk = shrink(verdict.clone(), limit);
    assert!(length(&shrunk) <= limit);
    assert_eq!(shrunk.policies[0].causes, verdict.policies[0].causes[..3]);
    let bare = shrink(verdict.clone(), 0);
    assert!(bare.policies[0].causes.is_empty());
    assert_eq!(
        (bare.result, &bare.policies[0].hash),
        (verdict.result, &verdict.policies[0].hash)
    );
}

#[test]
fn a_shrunk_verdict_keeps_some_causes_of_every_policy() {
    let (report, sbom) = (report(), sbom());
    let broken = policy("maxVulnerabilities: {critical: 0, high: 0, medium: 0, low: 0, unknown: 0}");
    let verdict = judge(&complete(&report, &sbom), &[broken.clone(), broken.clone(), broken]);
    let shrunk = shrink(verdict, 2000);
    assert!(
        shrunk.policies.iter().all(|policy| !policy.causes.is_empty()),
        "{shrunk:?}"
    );
}

#[test]
fn counts_do_not_depend_on_policies() {
    let expected = SeverityCounts {
        critical: 2,
        high: 1,
        medium: 1,
        low: 1,
        unknown: 1,
        fixable: 4,
    };
    assert_eq!(scan::counts(&report()), expected);
}
