//! Rules, allowed sources and ages as a verdict has them.

use imagefactory_crds::build::BaseImage;
use jiff::Timestamp;

use super::*;
use crate::step::BuildFacts;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn built_from(bases: &[&str], git_url: Option<&str>) -> BuildFacts {
    let base = |reference: &&str| BaseImage {
        reference: (*reference).to_owned(),
        digest: DIGEST.into(),
    };
    BuildFacts {
        method: "kaniko".to_owned(),
        source: if git_url.is_some() { "git" } else { "inline" }.to_owned(),
        git_url: git_url.map(str::to_owned),
        bases: bases.iter().map(base).collect(),
        ..BuildFacts::default()
    }
}

fn said(spec: &str, change: impl FnOnce(&mut Evidence<'_>)) -> (Judgement, Vec<String>) {
    let (report, sbom) = (report(), sbom());
    let mut evidence = complete(&report, &sbom);
    change(&mut evidence);
    let verdict = judge(&evidence, &[policy(spec)]);
    assert!(verdict.result != Judgement::Unknown || !verdict.publishable);
    (verdict.result, verdict.policies[0].causes.clone())
}

#[test]
fn a_rule_that_holds_passes_and_one_that_does_not_fails_with_its_message() {
    passes("rules: [{name: few, expression: 'counts.total < 10', message: Too many.}]");
    fails(
        "rules: [{name: few, expression: 'counts.total < 2', message: \"Zu viele für uns.\"}]",
        "rule few: Zu viele für uns.",
    );
    let (result, causes) = says(
        "rules: [{name: a, expression: 'true', message: m}, {name: b, expression: 'false', message: one}, {name: c, expression: 'false', message: two}]",
    );
    assert_eq!(
        (result, causes),
        (
            Judgement::Fail,
            vec!["rule b: one".to_owned(), "rule c: two".to_owned()]
        )
    );
}

#[test]
fn a_rule_without_an_answer_is_unknown_and_named_also_in_mode_dry_run() {
    for (expression, why) in [
        (
            "findings[99].id == 'x'",
            "rule r has no answer for this image: a list of 6 entries has none at 99",
        ),
        (
            "build.method == 'kaniko'",
            "rule r has no answer for this image: how the image was made is not known",
        ),
        (
            "counts.criticl == 0",
            "rule r is not valid: counts has no field criticl",
        ),
        ("&&", "rule r is not valid: line 1, column 1"),
    ] {
        let (result, causes) = says(&format!(
            "{{mode: DryRun, rules: [{{name: r, expression: \"{expression}\", message: m}}]}}"
        ));
        assert_eq!(result, Judgement::Unknown, "{expression}");
        assert!(causes[0].starts_with(why), "{causes:?}");
    }
}

#[test]
fn rules_are_not_asked_where_evidence_is_not_whole() {
    let (result, causes) = said(
        "rules: [{name: r, expression: 'false', message: never said}]",
        |evidence| evidence.sbom = None,
    );
    assert_eq!(result, Judgement::Unknown);
    assert_eq!(causes, ["there is no SBOM"]);
}

#[test]
fn every_base_must_lie_under_an_allowed_prefix() {
    let spec = "allowedSources: {bases: [registry.example.com/hardened, docker.io/library/debian]}";
    for (bases, result) in [
        (vec![], Judgement::Pass),
        (
            vec!["debian:12", "registry.example.com/hardened/app:1@sha256:ab"],
            Judgement::Pass,
        ),
        (vec!["debian:12", "alpine"], Judgement::Fail),
        (vec!["registry.example.com/hardened-2/app"], Judgement::Fail),
        (vec!["evil.com/registry.example.com/hardened/app"], Judgement::Fail),
        (vec!["registry.example.com/hardened/../app"], Judgement::Fail),
        (vec!["a\nb"], Judgement::Fail),
    ] {
        let build = built_from(&bases, None);
        let (found, causes) = {
            let (report, sbom) = (report(), sbom());
            let evidence = Evidence {
                build: Some(&build),
                ..complete(&report, &sbom)
            };
            let verdict = judge(&evidence, &[policy(spec)]);
            (verdict.result, verdict.policies[0].causes.clone())
        };
        assert_eq!(found, result, "{bases:?}");
        assert!(
            causes.iter().all(|cause| !cause.contains(char::is_control)),
            "{causes:?}"
        );
    }
    let mut build = built_from(&["debian"], None);
    build.bases_unknown = Some("the images that a builder of method custom uses are not known".to_owned());
    let (report, sbom) = (report(), sbom());
    let evidence = Evidence {
        build: Some(&build),
        ..complete(&report, &sbom)
    };
    let verdict = judge(&evidence, &[policy(&format!("{spec}\nmode: DryRun"))]);
    assert_eq!((verdict.result, verdict.publishable), (Judgement::Unknown, false));
    assert_eq!(
        verdict.policies[0].causes,
        ["the policy allows certain bases only, and the images that a builder of method custom uses are not known"]
    );
    assert_eq!(
        said(spec, |_| ()).0,
        Judgement::Unknown,
        "nothing is known of the build"
    );
}

#[test]
fn the_repository_must_lie_under_an_allowed_prefix() {
    let policy = policy("allowedSources: {git: [git.example.com/acme, 'Git.example.com:8443/x/app.git']}");
    let refused = |url: Option<&str>| git_refused(&policy.spec, if url.is_some() { "git" } else { "inline" }, url);
    for url in [
        "https://git.example.com/acme/app",
        "https://git.example.com:443/acme/app.git",
        "http://GIT.example.com/acme.git",
        "https://git.example.com:8443/x/app/",
        "https://git.example.com:8443/x/app.git",
    ] {
        assert_eq!(refused(Some(url)), None, "{url}");
    }
    for url in [
        "https://git.example.com/acme-2/app",
        "https://git.example.com.evil.com/acme/app",
        "https://git.example.com@evil.com/acme/app",
        "https://evil.com/git.example.com/acme",
        "https://git.example.com/acme/../other",
        "https://git.example.com/%61cme/app",
        "https://git.example.com//acme",
        "ssh://git.example.com/acme/app",
        "git.example.com/acme/app",
        "",
    ] {
        assert!(refused(Some(url)).is_some(), "{url}");
    }
    assert_eq!(
        refused(None).as_deref(),
        Some("the policy allows certain Git repositories only, and the source is inline")
    );
    let long = format!("https://evil.com/{}/app\n", "x".repeat(900));
    let told = refused(Some(&long)).unwrap();
    assert!(told.chars().count() < 200 && !told.contains(char::is_control), "{told}");
}

#[test]
fn evidence_that_is_too_old_is_unknown_and_says_how_old() {
    let (mut report, sbom) = (report(), sbom());
    report.created_at = Some(time("2026-10-02T06:00:00Z"));
    let told = |spec: &str, now: &str, report: &Report| {
        let evidence = Evidence {
            now: time(now),
            ..complete(report, &sbom)
        };
        let verdict = judge(&evidence, &[policy(spec)]);
        (verdict.result, verdict.policies[0].causes.clone())
    };
    // The database is 24 hours old at the scan.
    assert_eq!(
        told("maxEvidenceAge: 24h", "2026-10-03T06:00:00Z", &report).0,
        Judgement::Pass
    );
    assert_eq!(
        told("maxEvidenceAge: 23h30m", "2026-10-02T07:00:00Z", &report),
        (
            Judgement::Unknown,
            vec!["evidence too old: the vulnerability database was 24h old, 23h30m allowed".to_owned()]
        )
    );
    assert_eq!(
        told("{maxEvidenceAge: 24h, mode: DryRun}", "2026-10-03T06:10:00Z", &report),
        (
            Judgement::Unknown,
            vec!["evidence too old: the scan is 24h10m old, 24h allowed".to_owned()]
        )
    );
    let newer = "evidence is newer than the clock that it is compared with";
    assert_eq!(
        told("maxEvidenceAge: 24h", "2026-10-02T05:54:00Z", &report),
        (Judgement::Unknown, vec![newer.to_owned()])
    );
    assert_eq!(
        told("maxEvidenceAge: 24h", "2026-10-02T05:56:00Z", &report).0,
        Judgement::Pass
    );
    assert_eq!(
        told("maxEvidenceAge: 3d", "2026-10-02T06:00:00Z", &report).0,
        Judgement::Unknown
    );
    report.created_at = None;
    assert_eq!(
        told("maxEvidenceAge: 24h", "2026-10-02T06:00:00Z", &report),
        (
            Judgement::Unknown,
            vec!["the report does not say when the image was scanned".to_owned()]
        )
    );
}

#[test]
fn a_scan_is_too_old_to_publish_on_by_the_strictest_policy() {
    let policies = [
        policy("{}"),
        policy("maxEvidenceAge: 72h"),
        policy("maxEvidenceAge: 24h"),
    ]
    .map(std::sync::Arc::new);
    let scanned = time("2026-10-01T00:00:00Z");
    assert_eq!(scan_too_old(&policies, scanned, time("2026-10-02T00:00:00Z")), None);
    assert_eq!(
        scan_too_old(&policies, scanned, time("2026-10-02T00:00:01Z")).as_deref(),
        Some("ImagePolicy default: evidence too old: the scan is 24h old, 24h allowed")
    );
}
