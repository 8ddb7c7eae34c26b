//! What holds for every verdict, whatever the evidence and the policies.

use imagefactory_crds::ImagePolicySpec;
use imagefactory_crds::build::Judgement;
use imagefactory_crds::image_policy::{
    CvssScore, DeniedPackage, LicenceName, Mode, PolicyRule, SbomRequirement, SeverityLimits,
};
use jiff::Timestamp;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::scan::{Class, Component, Finding, FixStatus, Package, Score, Severity};

const PACKAGES: [&str; 4] = ["bash", "log4j-core", "telnet", "a\nb"];
const LICENCES: [&str; 4] = ["MIT", "GPL-3.0-only", "AGPL-3.0-only OR MIT", "text"];

fn finding() -> impl Strategy<Value = Finding> {
    (
        "CVE-20[0-9]{2}-[0-9]{4}",
        select(&PACKAGES[..]),
        option::of(Just("1.2".to_owned())),
        select(&Severity::WORST_FIRST[..]),
        option::of((1u8..=100).prop_map(Score::from_tenths)),
        select(
            &[
                FixStatus::Unknown,
                FixStatus::Fixed,
                FixStatus::WillNotFix,
                FixStatus::NotAffected,
            ][..],
        ),
    )
        .prop_map(|(id, package, fixed_version, severity, cvss, status)| Finding {
            id,
            package: package.to_owned(),
            purl: None,
            version: "1.1".to_owned(),
            fixed_version,
            severity,
            cvss,
            status,
            class: Class::OsPackages,
            kind: "debian".into(),
        })
}

fn package() -> impl Strategy<Value = Package> {
    (select(&PACKAGES[..]), select(&LICENCES[..]), "[0-9]").prop_map(|(name, licence, version)| Package {
        name: name.to_owned(),
        purl: None,
        version,
        licences: vec![licence.to_owned()],
    })
}

fn reports() -> impl Strategy<Value = Report> {
    (
        prop::collection::vec(finding(), 0..12),
        prop::collection::vec(package(), 0..6),
        any::<bool>(),
    )
        .prop_map(|(findings, packages, has_jars)| Report {
            image_digests: vec![DIGEST.to_owned()],
            targets: 1,
            findings,
            packages,
            has_jars,
            ..Report::default()
        })
}

fn sboms() -> impl Strategy<Value = Sbom> {
    prop::collection::vec(package(), 0..4).prop_map(|packages| Sbom {
        components: packages
            .into_iter()
            .map(|package| Component {
                name: package.name,
                version: package.version,
                licences: package.licences,
                is_package: true,
                ..Component::default()
            })
            .collect(),
        ..Sbom::default()
    })
}

fn limit() -> impl Strategy<Value = Option<u32>> {
    option::of(0u32..6)
}

fn score() -> impl Strategy<Value = Option<CvssScore>> {
    option::of((0u8..=100).prop_map(|tenths| CvssScore(Score::from_tenths(tenths).to_string())))
}

fn policies() -> impl Strategy<Value = AppliedPolicy> {
    let limits = (limit(), limit(), limit(), limit(), limit()).prop_map(|(critical, high, medium, low, unknown)| {
        SeverityLimits {
            critical,
            high,
            medium,
            low,
            unknown,
        }
    });
    (
        any::<bool>(),
        option::of(limits),
        score(),
        any::<bool>(),
        prop::collection::vec(select(&LICENCES[..2]), 0..2),
        prop::collection::vec(select(&PACKAGES[..3]), 0..2),
        any::<bool>(),
    )
        .prop_map(
            |(dry_run, max_vulnerabilities, max_cvss, ignore_unfixed, licences, packages, required)| {
                let spec = ImagePolicySpec {
                    mode: if dry_run { Mode::DryRun } else { Mode::Enforce },
                    max_vulnerabilities,
                    max_cvss,
                    ignore_unfixed,
                    denied_licences: licences.into_iter().map(LicenceName::from).collect(),
                    denied_packages: packages.into_iter().map(DeniedPackage::from).collect(),
                    sbom: if required {
                        SbomRequirement::Required
                    } else {
                        SbomRequirement::Optional
                    },
                    ..ImagePolicySpec::default()
                };
                AppliedPolicy {
                    name: "p".to_owned(),
                    hash: hash(&spec),
                    spec,
                }
            },
        )
}

fn several() -> impl Strategy<Value = Vec<AppliedPolicy>> {
    prop::collection::vec(policies(), 0..4)
}

/// 0 Pass, 1 Fail, 2 Unknown.
fn badness(verdict: &Verdict) -> u8 {
    match verdict.result {
        Judgement::Pass => 0,
        Judgement::Fail => 1,
        Judgement::Unknown => 2,
    }
}

/// The evidence with one part taken away.
fn lessened<'a>(evidence: Evidence<'a>, part: u8, faults: &'a [String]) -> Evidence<'a> {
    match part {
        0 => Evidence {
            report: None,
            ..evidence
        },
        1 => Evidence { sbom: None, ..evidence },
        2 => Evidence {
            database: None,
            ..evidence
        },
        3 => Evidence { digest: "", ..evidence },
        4 => Evidence {
            java_database: false,
            ..evidence
        },
        _ => Evidence { faults, ..evidence },
    }
}

/// The same policy with one limit lowered, one rule added or leniency taken away.
fn stricter(mut policy: AppliedPolicy, part: u8) -> AppliedPolicy {
    let limits = policy.spec.max_vulnerabilities.get_or_insert_default();
    let lower = |limit: &mut Option<u32>| *limit = Some(limit.map_or(3, |limit| limit.saturating_sub(1)));
    match part {
        0 => lower(&mut limits.critical),
        1 => lower(&mut limits.high),
        2 => lower(&mut limits.medium),
        3 => lower(&mut limits.low),
        4 => lower(&mut limits.unknown),
        5 => {
            let score = policy.spec.max_cvss.map_or(50, |score| {
                score.replace('.', "").parse::<u8>().unwrap().saturating_sub(1)
            });
            policy.spec.max_cvss = Some(CvssScore(Score::from_tenths(score).to_string()));
        }
        6 => policy.spec.ignore_unfixed = false,
        7 => policy.spec.denied_licences.push("AGPL-3.0-only".into()),
        8 => policy.spec.denied_packages.push("telnet".into()),
        9 => policy.spec.sbom = SbomRequirement::Required,
        _ => policy.spec.mode = Mode::Enforce,
    }
    policy
}

proptest! {
    #[test]
    fn another_finding_never_makes_a_verdict_better(report in reports(), sbom in sboms(), more in finding(), policies in several()) {
        let before = judge(&complete(&report, &sbom), &policies);
        let mut worse = report.clone();
        worse.findings.push(more);
        let after = judge(&complete(&worse, &sbom), &policies);
        prop_assert!(badness(&after) >= badness(&before));
        prop_assert!(before.publishable || !after.publishable);
    }

    #[test]
    fn evidence_that_is_missing_never_gives_a_pass(report in reports(), sbom in sboms(), policies in several(), part in 0u8..6) {
        let faults = ["the scanner crashed".to_owned()];
        let whole = complete(&report, &sbom);
        let verdict = judge(&lessened(whole, part, &faults), &policies);
        if part == 4 {
            prop_assert!(badness(&verdict) >= badness(&judge(&whole, &policies)));
            prop_assert!(!report.has_jars || verdict.result == Judgement::Unknown);
        } else {
            prop_assert_eq!(verdict.result, Judgement::Unknown);
            prop_assert!(!verdict.publishable);
        }
    }

    #[test]
    fn unknown_is_never_publishable(report in reports(), sbom in sboms(), policies in several(), part in 0u8..8) {
        let faults = ["the scanner crashed".to_owned()];
        let verdict = judge(&lessened(complete(&report, &sbom), part.min(5), &faults[..usize::from(part < 6)]), &policies);
        let any_unknown = verdict.policies.iter().any(|policy| policy.result == Judgement::Unknown);
        prop_assert_eq!(any_unknown || policies.is_empty(), verdict.result == Judgement::Unknown);
        prop_assert!(verdict.result != Judgement::Unknown || !verdict.publishable);
    }

    #[test]
    fn what_is_published_passes_or_fails_a_dry_run_only(report in reports(), sbom in sboms(), policies in several()) {
        let verdict = judge(&complete(&report, &sbom), &policies);
        let allowed = verdict.policies.iter().all(|policy| {
            policy.result == Judgement::Pass || (policy.result == Judgement::Fail && policy.mode == Mode::DryRun)
        });
        prop_assert_eq!(verdict.publishable, allowed && !policies.is_empty());
    }

    #[test]
    fn counts_add_up_to_the_number_of_findings(report in reports()) {
        let counts = scan::counts(&report);
        let total = counts.critical + counts.high + counts.medium + counts.low + counts.unknown;
        prop_assert_eq!(usize::try_from(total).unwrap(), report.findings.len());
        prop_assert!(counts.fixable <= total);
    }

    #[test]
    fn the_order_of_the_evidence_says_nothing(report in reports(), sbom in sboms(), policies in several(), turn in 0usize..12) {
        let (mut other, mut other_sbom) = (report.clone(), sbom.clone());
        other.findings.reverse();
        let middle = turn.min(other.findings.len());
        other.findings.rotate_left(middle);
        other.packages.reverse();
        other_sbom.components.reverse();
        prop_assert_eq!(judge(&complete(&report, &sbom), &policies), judge(&complete(&other, &other_sbom), &policies));
        prop_assert_eq!(scan::counts(&report), scan::counts(&other));
    }

    #[test]
    fn a_stricter_policy_never_passes_what_a_looser_one_refused(report in reports(), sbom in sboms(), policy in policies(), part in 0u8..11) {
        let loose = judge(&complete(&report, &sbom), std::slice::from_ref(&policy));
        let strict = judge(&complete(&report, &sbom), &[stricter(policy, part)]);
        prop_assert!(badness(&strict) >= badness(&loose));
        prop_assert!(loose.publishable || !strict.publishable);
    }

    #[test]
    fn another_rule_never_makes_a_verdict_better_and_one_without_an_answer_makes_it_unknown(report in reports(), sbom in sboms(), mut policy in policies(), which in 0usize..7) {
        let before = judge(&complete(&report, &sbom), std::slice::from_ref(&policy));
        let expressions = [
            "true", "false", "counts.total < 3",
            "1 / (counts.total - counts.total) == 1 || true", "findings[99].id == ''", "!findings.foo", "build.method == 'kaniko' || true",
        ];
        policy.spec.rules.push(PolicyRule { name: "a".into(), expression: expressions[which].into(), message: "m".into() });
        let after = judge(&complete(&report, &sbom), &[policy]);
        prop_assert!(badness(&after) >= badness(&before));
        prop_assert!(before.publishable || !after.publishable);
        prop_assert!(which < 3 || (after.result, after.publishable) == (Judgement::Unknown, false));
        prop_assert!(which != 1 || after.result != Judgement::Pass);
    }

    #[test]
    fn older_evidence_never_makes_a_verdict_better(mut report in reports(), sbom in sboms(), mut policy in policies(), scanned in 0i64..200, now in 0i64..200, later in 0i64..200) {
        let hour = |hours: i64| Timestamp::from_second(1_790_000_000 + hours * 3600).unwrap();
        policy.spec.max_evidence_age = Some("72h".into());
        report.created_at = Some(hour(scanned));
        let at = |now: i64| {
            let database = Some(DatabaseInfo { version: 2, updated_at: hour(0) });
            judge(&Evidence { now: hour(now), database, ..complete(&report, &sbom) }, std::slice::from_ref(&policy))
        };
        let (fresh, stale) = (at(scanned + now), at(scanned + now + later));
        prop_assert!(badness(&stale) >= badness(&fresh));
        if scanned > 72 || now > 72 {
            prop_assert_eq!((fresh.result, fresh.publishable), (Judgement::Unknown, false));
        }
    }

    #[test]
    fn another_policy_never_makes_a_verdict_better(report in reports(), sbom in sboms(), policies in prop::collection::vec(policies(), 1..3), more in policies()) {
        let before = judge(&complete(&report, &sbom), &policies);
        let after = judge(&complete(&report, &sbom), &[policies, vec![more]].concat());
        prop_assert!(badness(&after) >= badness(&before));
        prop_assert!(before.publishable || !after.publishable);
    }

    #[test]
    fn every_cause_fits_the_schema_and_is_there_unless_all_is_well(report in reports(), sbom in sboms(), policies in several()) {
        for policy in judge(&complete(&report, &sbom), &policies).policies {
            prop_assert_eq!(policy.causes.is_empty(), policy.result == Judgement::Pass);
            prop_assert!(policy.causes.len() <= MAX_CAUSES);
            prop_assert!(policy.causes.iter().all(|cause| cause.chars().count() <= 256 && !cause.contains(char::is_control)));
        }
    }

    #[test]
    fn a_shrunk_verdict_fits_and_says_the_same(report in reports(), sbom in sboms(), policies in several(), max_bytes in 900usize..3000) {
        let verdict = judge(&complete(&report, &sbom), &policies);
        let shrunk = shrink(verdict.clone(), max_bytes);
        prop_assert!(serde_json::to_vec(&shrunk).unwrap().len() <= max_bytes);
        prop_assert_eq!((shrunk.result, shrunk.publishable), (verdict.result, verdict.publishable));
        for (short, long) in shrunk.policies.iter().zip(&verdict.policies) {
            prop_assert!(long.causes.starts_with(&short.causes));
        }
    }
}
