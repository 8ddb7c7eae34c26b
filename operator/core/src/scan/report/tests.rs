//! The report is read as Trivy writes it, and anything else is an error.

use serde_json::{Value, json};

use super::*;
use crate::scan::Score;

const REPORT: &str = include_str!("../fixtures/report.json");
const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn parsed(text: &str) -> Report {
    parse(text.as_bytes()).unwrap()
}

fn value() -> Value {
    serde_json::from_str(REPORT).unwrap()
}

/// The report with one value put elsewhere.
fn with(pointer: &str, replacement: Value) -> Result<Report, ReportError> {
    let mut report = value();
    *report.pointer_mut(pointer).unwrap() = replacement;
    parse(report.to_string().as_bytes())
}

fn without(pointer: &str, key: &str) -> Result<Report, ReportError> {
    let mut report = value();
    report
        .pointer_mut(pointer)
        .unwrap()
        .as_object_mut()
        .unwrap()
        .remove(key)
        .unwrap();
    parse(report.to_string().as_bytes())
}

#[test]
fn an_indented_and_a_compact_report_say_the_same() {
    let (compact, indented) = (value().to_string(), serde_json::to_string_pretty(&value()).unwrap());
    assert!(compact.contains(r#""Severity":"LOW""#) && indented.contains(r#""Severity": "LOW""#));
    assert_eq!(parsed(&compact), parsed(REPORT));
    assert_eq!(parsed(&indented), parsed(REPORT));
}

#[test]
fn every_finding_is_counted_by_its_severity() {
    let expected = SeverityCounts {
        critical: 2,
        high: 1,
        medium: 1,
        low: 1,
        unknown: 1,
        fixable: 4,
    };
    assert_eq!(counts(&parsed(REPORT)), expected);
}

#[test]
fn what_was_scanned_is_known() {
    let report = parsed(REPORT);
    assert_eq!(report.image_digests, [DIGEST]);
    assert_eq!(
        report.artifact_name,
        format!("registry.example.com/staging/acme/shop/web@{DIGEST}")
    );
    assert_eq!(
        report.created_at,
        Some("2026-10-01T12:20:30.000000005Z".parse().unwrap())
    );
    assert_eq!(
        report.os,
        Some(OperatingSystem {
            family: "debian".into(),
            version: "10.1".into(),
            end_of_life: true
        })
    );
    assert_eq!(
        (
            report.targets,
            report.packages.len(),
            report.suppressed,
            report.has_jars
        ),
        (2, 3, 0, true)
    );
}

#[test]
fn a_finding_is_read_whole() {
    let report = parsed(REPORT);
    let log4j = report
        .findings
        .iter()
        .find(|finding| finding.id == "CVE-2021-44228")
        .unwrap();
    let expected = Finding {
        id: "CVE-2021-44228".into(),
        package: "org.apache.logging.log4j:log4j-core".into(),
        purl: Some("pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1".into()),
        version: "2.14.1".into(),
        fixed_version: Some("2.15.0, 2.3.1, 2.12.2".into()),
        severity: Severity::Critical,
        cvss: Some(Score::MAX),
        status: FixStatus::Fixed,
        class: Class::LanguagePackages,
        kind: "jar".into(),
    };
    assert_eq!(*log4j, expected);
}

#[test]
fn the_highest_score_of_all_vendors_counts() {
    let report = parsed(REPORT);
    let score = |id: &str| report.findings.iter().find(|finding| finding.id == id).unwrap().cvss;
    assert_eq!(score("CVE-2019-18276"), Some(Score::from_tenths(78)));
    assert_eq!(score("GHSA-xxxx-yyyy-zzzz"), None);
}

#[test]
fn every_version_of_cvss_counts() {
    for version in ["V2Score", "V3Score", "V40Score"] {
        let scores = json!({"nvd": {"V2Score": 1.1, "V3Score": 1.2, "V40Score": 1.3}, "redhat": {version: 9.1}});
        let report = with("/Results/0/Vulnerabilities/0/CVSS", scores).unwrap();
        assert_eq!(report.findings[0].cvss, Some(Score::from_tenths(91)), "{version}");
    }
}

#[test]
fn a_score_of_zero_is_no_score() {
    let report = with("/Results/0/Vulnerabilities/1/CVSS", json!({"nvd": {"V3Score": 0}})).unwrap();
    assert_eq!(report.findings[1].cvss, None);
}

#[test]
fn a_package_is_read_with_its_version_and_licences() {
    let report = with("/Results/0/Packages/0/Epoch", json!(1));
    assert_eq!(report.unwrap().packages[0].version, "1:5.0-4");
    let report = parsed(REPORT);
    assert_eq!(
        (&*report.packages[1].name, &*report.packages[1].version),
        ("libidn2-0", "2.0.5-1")
    );
    assert_eq!(report.packages[1].licences, ["GPL-3.0-or-later", "LGPL-3.0-or-later"]);
}

#[test]
fn a_report_without_results_has_no_findings() {
    // What Trivy writes for an image from scratch that holds one static binary.
    let report = without("", "Results").unwrap();
    assert_eq!((report.targets, report.findings.len(), report.has_jars), (0, 0, false));
    assert_eq!(
        with("/Metadata/OS", json!({"Family": "none", "Name": ""})).unwrap().os,
        None
    );
}

#[test]
fn java_is_recognised_by_type_path_or_package_url() {
    let only = |result: Value| with("/Results", json!([result])).unwrap().has_jars;
    assert!(only(json!({"Target": "Java", "Class": "lang-pkgs", "Type": "jar"})));
    assert!(only(
        json!({"Target": "x", "Packages": [{"Name": "a", "FilePath": "opt/App.WAR"}]})
    ));
    assert!(only(
        json!({"Target": "x", "Packages": [{"Name": "a", "Identifier": {"PURL": "pkg:Maven/a/b@1"}}]})
    ));
    assert!(only(
        json!({"Target": "x", "Vulnerabilities": [{"VulnerabilityID": "CVE-1", "PkgName": "a", "PkgPath": "a.ear"}]})
    ));
    assert!(only(json!({"Target": "opt/app.jar"})));
    assert!(!only(
        json!({"Target": "jar", "Type": "debian", "Packages": [{"Name": "jarjar", "FilePath": "jar"}]})
    ));
}

#[test]
fn findings_that_something_took_out_are_counted() {
    let suppressed = json!([{"Target": "x", "ExperimentalModifiedFindings": [{"Type": "vulnerability"}, {}]}]);
    assert_eq!(with("/Results", suppressed).unwrap().suppressed, 2);
}

#[test]
fn what_is_empty_or_cut_off_is_an_error() {
    for end in [0, 1, 2, 100, REPORT.len() / 2, REPORT.trim_end().len() - 1] {
        assert!(
            matches!(parse(&REPORT.as_bytes()[..end]), Err(ReportError::Truncated(_))),
            "{end}"
        );
    }
}

#[test]
fn what_is_not_a_report_is_an_error() {
    for text in [
        "null",
        "[]",
        "{}",
        "\"\"",
        "0",
        "skipped",
        "<html>",
        "{\"Results\":[]}",
        "\u{feff}{}",
        "{\"SchemaVersion\":2}",
    ] {
        assert!(
            matches!(parse(text.as_bytes()), Err(ReportError::Malformed { .. })),
            "{text:?}"
        );
    }
}

#[test]
fn something_after_the_end_is_an_error() {
    for tail in ["{}", "x", "\0", REPORT] {
        assert!(parse(format!("{REPORT}{tail}").as_bytes()).is_err(), "{tail:?}");
    }
    parsed(&format!("{REPORT}\n\n"));
}

#[test]
fn another_version_of_the_format_is_an_error() {
    for version in [json!(1), json!(3), json!(0)] {
        assert!(matches!(
            with("/SchemaVersion", version),
            Err(ReportError::UnsupportedVersion)
        ));
    }
    for version in [json!("2"), json!(2.5), json!(-2), json!(null)] {
        assert!(matches!(
            with("/SchemaVersion", version),
            Err(ReportError::Malformed { .. })
        ));
    }
    assert!(without("", "SchemaVersion").is_err());
}

#[test]
fn a_field_of_the_wrong_type_is_an_error() {
    for wrong in [
        json!(null),
        json!({}),
        json!("[]"),
        json!(0),
        json!([null]),
        json!([[]]),
        json!([{}]),
    ] {
        assert!(with("/Results", wrong.clone()).is_err(), "Results: {wrong}");
    }
    for wrong in [
        json!(null),
        json!({}),
        json!(""),
        json!([null]),
        json!([{}]),
        json!([{"PkgName": "a"}]),
        json!(["CVE-1"]),
    ] {
        assert!(
            with("/Results/0/Vulnerabilities", wrong.clone()).is_err(),
            "Vulnerabilities: {wrong}"
        );
        assert!(with("/Results/0/Packages", wrong.clone()).is_err(), "Packages: {wrong}");
    }
    for wrong in [json!(null), json!(4), json!(["HIGH"])] {
        assert!(
            with("/Results/0/Vulnerabilities/0/Severity", wrong.clone()).is_err(),
            "Severity: {wrong}"
        );
    }
    for wrong in [
        json!(null),
        json!([]),
        json!({"nvd": 9.8}),
        json!({"nvd": {"V3Score": "9.8"}}),
        json!({"nvd": {"V3Score": 11}}),
    ] {
        assert!(
            with("/Results/0/Vulnerabilities/0/CVSS", wrong.clone()).is_err(),
            "CVSS: {wrong}"
        );
    }
    assert!(with("/Metadata/RepoDigests", json!("x")).is_err());
    assert!(with("/CreatedAt", json!("yesterday")).is_err());
}

#[test]
fn a_finding_without_an_identifier_or_a_package_is_an_error() {
    assert!(without("/Results/0/Vulnerabilities/0", "VulnerabilityID").is_err());
    assert!(without("/Results/0/Vulnerabilities/0", "PkgName").is_err());
}

#[test]
fn a_field_that_stands_there_twice_is_an_error() {
    for (once, twice) in [
        ("\"SchemaVersion\": 2,", "\"SchemaVersion\": 2, \"SchemaVersion\": 2,"),
        ("\"Results\": [", "\"Results\": [], \"Results\": ["),
        (
            "\"Vulnerabilities\": [",
            "\"Vulnerabilities\": [], \"Vulnerabilities\": [",
        ),
        (
            "\"Severity\": \"CRITICAL\",\n",
            "\"Severity\": \"LOW\", \"Severity\": \"CRITICAL\",\n",
        ),
    ] {
        let text = REPORT.replacen(once, twice, 1);
        assert_ne!(text, REPORT, "{once}");
        assert!(parse(text.as_bytes()).is_err(), "{once}");
    }
}

#[test]
fn a_word_for_severity_that_is_not_listed_is_unknown() {
    for word in ["NEGLIGIBLE", "", "Sévère"] {
        let report = with("/Results/0/Vulnerabilities/1/Severity", json!(word)).unwrap();
        assert_eq!(report.findings[1].severity, Severity::Unknown, "{word:?}");
    }
    let report = without("/Results/0/Vulnerabilities/1", "Severity").unwrap();
    assert_eq!(report.findings[1].severity, Severity::Unknown);
}

#[test]
fn a_report_with_too_many_findings_is_an_error() {
    let finding = r#"{"VulnerabilityID":"CVE-1","PkgName":"a"},"#;
    let many = |count: usize| {
        let list = finding.repeat(count);
        let result = format!(r#"{{"Target":"x","Vulnerabilities":[{}]}}"#, list.trim_end_matches(','));
        let text = format!(r#"{{"SchemaVersion":2,"ArtifactName":"a","Results":[{result},{result}]}}"#);
        parse(text.as_bytes())
    };
    assert_eq!(many(1000).unwrap().findings.len(), 2000);
    assert!(
        many(200_000).is_err(),
        "each list is short enough and both together are not"
    );
    assert!(many(300_000).is_err());
}

#[test]
fn nesting_in_a_field_that_nobody_reads_does_no_harm() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let report = parsed(&REPORT.replacen('{', &format!("{{\"Custom\": {deep},"), 1));
    assert_eq!(counts(&report), counts(&parsed(REPORT)));
}

#[test]
fn an_error_names_a_place_and_no_content() {
    let error = parse("{\"SchemaVersion\":\"secret\"}".as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "it does not parse at line 1, column 25");
}
