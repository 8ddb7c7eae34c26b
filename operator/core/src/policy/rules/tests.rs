//! What rules can ask, what they refuse, and that none of it goes on for ever.

mod properties;

use std::collections::BTreeSet;

use imagefactory_crds::build::BaseImage;

use super::*;
use crate::policy::Evidence;
use crate::scan::{self, Class, Component, DatabaseInfo, Finding, FixStatus, Package, Report, Sbom, Score, Severity};
use crate::step::BuildFacts;

pub(super) fn finding(id: &str, severity: &str) -> Finding {
    Finding {
        id: id.to_owned(),
        package: "bash".to_owned(),
        purl: Some("pkg:deb/debian/bash@5.0".to_owned()),
        version: "5.0".to_owned(),
        fixed_version: None,
        severity: Severity::parse(severity),
        cvss: None,
        status: FixStatus::Affected,
        class: Class::OsPackages,
        kind: "debian".into(),
    }
}

fn package(name: &str, licences: &[&str]) -> Package {
    Package {
        name: name.to_owned(),
        purl: Some(format!("pkg:deb/debian/{name}@1")),
        version: "1".to_owned(),
        licences: licences.iter().map(|text| (*text).to_owned()).collect(),
    }
}

pub(super) fn report() -> Report {
    let mut critical = finding("CVE-2021-44228", "CRITICAL");
    critical.cvss = Some(Score::from_tenths(100));
    critical.fixed_version = Some("5.1".to_owned());
    Report {
        created_at: Some("2026-10-01T10:00:00Z".parse().unwrap()),
        os: Some(scan::OperatingSystem {
            family: "debian".to_owned(),
            version: "12.5".to_owned(),
            end_of_life: false,
        }),
        findings: vec![finding("CVE-2020-1", "LOW"), critical, finding("CVE-2020-2", "HIGH")],
        packages: vec![package("bash", &["GPL-3.0-only"]), package("zlib", &["Zlib"])],
        ..Report::default()
    }
}

pub(super) fn sbom() -> Sbom {
    Sbom {
        components: vec![Component {
            name: "bash".to_owned(),
            version: "1".to_owned(),
            purl: Some("pkg:deb/debian/bash@1".to_owned()),
            licences: vec!["MIT".to_owned()],
            is_package: true,
            ..Component::default()
        }],
        ..Sbom::default()
    }
}

pub(super) fn build() -> BuildFacts {
    BuildFacts {
        tenant: "acme".to_owned(),
        project: "web".to_owned(),
        name: "web-1".to_owned(),
        method: "kaniko".to_owned(),
        source: "git".to_owned(),
        git_url: Some("https://git.example.com/acme/web".to_owned()),
        commit: Some("c0ffee".to_owned()),
        bases: vec![BaseImage {
            reference: "debian:12".to_owned(),
            digest: "sha256:ab".into(),
        }],
        bases_unknown: None,
    }
}

pub(super) fn evidence<'a>(report: &'a Report, sbom: &'a Sbom, build: &'a BuildFacts) -> Evidence<'a> {
    Evidence {
        digest: "sha256:cd",
        report: Some(report),
        sbom: Some(sbom),
        database: Some(DatabaseInfo {
            version: 2,
            updated_at: "2026-10-01T06:30:00Z".parse().unwrap(),
        }),
        platform: "linux/amd64",
        scanner: "0.66.0",
        build: Some(build),
        now: "2026-10-01T12:00:01Z".parse().unwrap(),
        ..Evidence::default()
    }
}

fn asked(expression: &str) -> Result<bool, EvalError> {
    let (report, sbom, build) = (report(), sbom(), build());
    let rule = compile(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
    let inventory = Inventory::of(evidence(&report, &sbom, &build));
    let facts = inventory.facts();
    rule.holds(&facts)
}

#[track_caller]
fn holds(expression: &str) {
    assert_eq!(asked(expression), Ok(true), "{expression}");
    assert_eq!(asked(&format!("!({expression})")), Ok(false), "{expression}");
}

#[test]
fn every_variable_says_what_is_known() {
    for expression in [
        "image.digest == 'sha256:cd' && image.platform == 'linux/amd64'",
        "image.osFamily == 'debian' && image.osVersion.startsWith('12.') && !image.osEndOfLife",
        "counts.critical == 1 && counts.high == 1 && counts.low == 1 && counts.total == 3",
        "counts.medium == 0 && counts.unknown == 0 && counts.fixable == 1",
        "findings.size() == 3 && size(findings) == 3",
        "findings[0].id == 'CVE-2021-44228' && findings[0].severity == 'CRITICAL'",
        "findings[0].cvss == 10.0 && findings[0].scored && findings[0].fixable",
        "findings[0].package == 'bash' && findings[0].version == '5.0' && findings[0].fixedVersion == '5.1'",
        "findings[0].purl == 'pkg:deb/debian/bash@5.0' && findings[0].type == 'debian'",
        "findings[1].cvss == 8.9 && !findings[1].scored && !findings[1].fixable && findings[1].fixedVersion == ''",
        "packages.map(p, p.name) == ['bash', 'zlib']",
        "packages[0].licences == ['GPL-3.0-only', 'MIT'] && packages[0].version == '1'",
        "packages.all(p, p.type == 'deb' && p.purl.startsWith('pkg:deb/'))",
        "build.tenant == 'acme' && build.project == 'web' && build.name == 'web-1' && build.method == 'kaniko'",
        "build.source == 'git' && build.gitUrl.endsWith('/web') && build.commit == 'c0ffee'",
        "build.bases.exists_one(b, b.reference == 'debian:12' && b.digest == 'sha256:ab')",
        "build.bases[0].repository == 'docker.io/library/debian'",
        "evidence.scanner == '0.66.0' && evidence.ageHours == 3 && evidence.databaseAgeHours == 4",
    ] {
        holds(expression);
    }
}

#[test]
fn the_language_works_as_its_users_know_it() {
    for expression in [
        "true || false && false",
        "1 + 2 * 3 == 7 && 7 / 2 == 3 && -7 % 3 == -1 && 1.5 * 2.0 == 3.0",
        "1 == 1.0 && 1 < 1.5 && 2.0 >= 2 && 'a' < 'b'",
        "9223372036854775807 > 9223372036854775806 && 9223372036854775806 < 9223372036854775807",
        "9007199254740993 > 9007199254740992.0 && 9007199254740992.0 < 9007199254740993",
        "9007199254740993 != 9007199254740992.0 && 9007199254740992 == 9007199254740992.0",
        "9223372036854775807 < 9223372036854775808.0 && -9223372036854775807 > -9223372036854775808.0",
        "-1 > -1.5 && -1.5 < -1 && 1 > -1e300 && 1 < 1e300 && 0 == -0.0 && 0.0 == -0.0 && 0.0 >= -0.0",
        "'a' + 'b' == 'ab' && [1] + [2] == [1, 2] && 'é'.size() == 1",
        "1 in [1, 2] && !('c' in ['a', 'b']) && !(1 in [])",
        "(counts.critical > 0 ? 'x' : 'y') == 'x'",
        "'CVE-2021-44228'.matches('^CVE-[0-9]{4}-[0-9]+$') && 'abc'.contains('b')",
        "int('12') == 12 && int(1.9) == 1 && double('1.5') == 1.5 && string(3) == '3'",
        "'AbC'.lowerAscii() == 'abc'",
        "[1, 2, 3].filter(x, x > 1) == [2, 3] && [1, 2].map(x, x * 2) == [2, 4]",
        "[1, 2, 3].map(x, x > 1, x * 10) == [20, 30]",
        "[1, 2].all(x, x > 0) && [1, 2].exists(x, x == 2) && [1, 1].exists_one(x, x == 1) == false",
        "[].all(x, x == 1) && ![].exists(x, x == 1)",
        "[[1], [2]].exists(x, x.exists(y, y == 2))",
        "[1].all(x, [2].all(x, x == 2) && x == 1)",
        "findings.filter(f, f.severity == 'CRITICAL').all(f, f.fixable)",
        "findings.exists(findings, findings.id == 'CVE-2020-1')",
    ] {
        holds(expression);
    }
}

#[test]
fn what_is_not_a_condition_on_what_is_known_is_refused_before_it_is_asked() {
    for (expression, says) in [
        ("", "line 1, column 1"),
        ("counts.critical", "the expression: int where bool is needed"),
        ("'true'", "the expression: string where bool is needed"),
        (
            "nothing == 1",
            "unknown variable nothing; there are: image, counts, findings, packages, build, evidence",
        ),
        (
            "findings.exists(f, f.sevrity == 'LOW')",
            "a finding has no field sevrity; it has: id, severity",
        ),
        // The crate's own interpreter says false here, and its negation would be a pass.
        ("!findings.foo", "list(a finding) has no field foo; it has: none"),
        ("!image.digest.bad", "string has no field bad"),
        ("findings.exists(f, true) && f.id == ''", "unknown variable f"),
        ("counts.critical == '0'", "==: string where int is needed"),
        (
            "findings == findings",
            "==: list(a finding) where something that can be compared is needed",
        ),
        ("image == image", "something that can be compared"),
        ("findings > 1", ">: list(a finding) where number or string is needed"),
        ("1 && true", "&&: int where bool is needed"),
        ("!1", "!: int where bool is needed"),
        ("[1, 'a'].size() == 2", "a list: string where int is needed"),
        ("'x'.replace('a', 'b') == ''", "unknown function replace"),
        ("size(1) == 1", "size(): int where list or string is needed"),
        ("has(findings[0].id)", "rules do without has()"),
        ("{'a': 1}['a'] == 1", "rules do without maps"),
        ("Foo{a: 1}.a == 1", "rules do without maps"),
        ("null == null", "rules do without null"),
        ("1u == 1u", "rules do without null"),
        ("'a'.matches(image.digest)", "takes its pattern as a text in quotes"),
        ("'a'.matches('(')", "the regular expression can't be used"),
        (
            "'a'.matches('(((a{99}){99}){99}){99}')",
            "the regular expression can't be used",
        ),
        ("findings.map(f, f)", "the expression: list(a finding) where bool"),
        ("image.digest.exists(c, true)", "a macro: string where list is needed"),
        ("build.bases[0] in build.bases", "something that can be compared"),
        ("duration('1h') == duration('1h')", "unknown function duration"),
        ("99999999999999999999 == 1", "line 1, column 1"),
        ("'abc", "line 1"),
    ] {
        let error = compile(expression).map(|_| ()).expect_err(expression).to_string();
        assert!(error.contains(says), "{expression}: {error}");
        assert!(!error.contains(char::is_control), "{expression}: {error:?}");
    }
}

#[test]
fn what_can_not_be_answered_is_an_error_and_never_made_up_for() {
    for (expression, error) in [
        ("1 / counts.medium == 1", EvalError::DivisionByZero),
        ("1 % counts.medium == 1", EvalError::DivisionByZero),
        ("1.0 / 0.0 > 1.0", EvalError::DivisionByZero),
        ("9223372036854775807 + counts.high > 0", EvalError::Overflow),
        ("1e308 * 10.0 > 0.0", EvalError::Overflow),
        ("findings[3].id == ''", EvalError::OutOfRange { index: 3, length: 3 }),
        ("findings[-1].id == ''", EvalError::OutOfRange { index: -1, length: 3 }),
        ("int(image.digest) == 1", EvalError::NotANumber),
        ("double('nan') == double('nan')", EvalError::NotANumber),
        (
            "findings[3].id == '' || true",
            EvalError::OutOfRange { index: 3, length: 3 },
        ),
        (
            "!(findings[3].id == '' && false)",
            EvalError::OutOfRange { index: 3, length: 3 },
        ),
        (
            "findings.exists(f, 1 / counts.medium == 1 || true)",
            EvalError::DivisionByZero,
        ),
    ] {
        assert_eq!(asked(expression), Err(error), "{expression}");
    }
}

#[test]
fn facts_that_are_not_known_give_no_answer() {
    let (mut report, sbom) = (report(), sbom());
    report.created_at = None;
    let custom = BuildFacts {
        bases_unknown: Some("nobody knows them".to_owned()),
        ..build()
    };
    let evidence = Evidence {
        database: None,
        ..evidence(&report, &sbom, &custom)
    };
    let ask =
        |evidence: Evidence<'_>, expression: &str| compile(expression).unwrap().holds(&Inventory::of(evidence).facts());
    for expression in [
        "build.bases.all(b, false)",
        "evidence.ageHours < 1",
        "evidence.databaseAgeHours >= 0",
    ] {
        assert!(
            matches!(ask(evidence, expression), Err(EvalError::NotKnown(_))),
            "{expression}"
        );
    }
    assert_eq!(ask(evidence, "build.tenant == 'acme'"), Ok(true));
    let unknown = Evidence {
        build: None,
        ..evidence
    };
    assert!(matches!(
        ask(unknown, "build.tenant == 'acme'"),
        Err(EvalError::NotKnown(_))
    ));
}

#[test]
fn work_that_grows_without_end_ends_within_the_budget() {
    let mut report = report();
    report.findings = (0..300)
        .map(|number| finding(&format!("CVE-{number}"), "LOW"))
        .collect();
    let (sbom, build) = (sbom(), build());
    let inventory = Inventory::of(evidence(&report, &sbom, &build));
    let facts = inventory.facts();
    let of = |inner: &str, depth: usize| {
        (0..depth).fold(inner.to_owned(), |inner, number| {
            format!("findings.all(v{number}, {inner})")
        })
    };
    let lists = "findings.map(a, findings.map(b, findings.map(c, [a.id, b.id])))";
    let doubled = (0..20).fold("['aaaaaaaa']".to_owned(), |inner, number| {
        format!("[{number}].map(x, {inner})")
    });
    for expression in [
        of("true", 4),
        format!("{lists} == {lists}"),
        format!("{lists}.size() == 0"),
        "findings.map(a, findings.map(b, b.id)) == findings.map(a, findings.map(b, b.id)) && findings.map(a, findings.map(b, findings)).all(x, x.all(y, y.all(z, z.id != '')))".to_owned(),
        format!("findings.all(a, findings.all(b, {} != []))", "findings.map(c, c.id) + findings.map(c, c.id)"),
        "findings.all(a, findings.all(b, findings.all(c, a.id.matches('^(.*)*$'))))".to_owned(),
    ] {
        let rule = compile(&expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
        assert_eq!(rule.holds(&facts), Err(EvalError::Overrun(STEPS)), "{expression}");
    }
    assert!(compile(&format!("{doubled}.size() == 1")).is_ok());
    // The budget is ample for what a policy asks of an image with many findings.
    report.findings = (0..100_000)
        .map(|number| finding(&format!("CVE-{number}"), "LOW"))
        .collect();
    let inventory = Inventory::of(evidence(&report, &sbom, &build));
    let natural = "findings.filter(f, f.severity == 'LOW' && f.cvss >= 2.0 && !f.fixable && !(f.id in ['CVE-1', 'CVE-2'])).size() > 3";
    assert_eq!(compile(natural).unwrap().holds(&inventory.facts()), Ok(true));
}

#[test]
fn shapes_that_use_up_a_parsers_stack_or_panic_in_it_are_errors() {
    for (open, inner, close) in [
        ("(", "true", ")"),
        ("[", "1", "]"),
        ("!", "true", ""),
        ("-", "1", ""),
        ("true?true:", "true", ""),
        ("true?", "true", ":true"),
        ("[1].map(x,", "1", ")"),
        ("size(", "1", ")"),
        ("{1:", "1", "}"),
        ("a{b:", "1", "}"),
        ("1+", "1", ""),
        ("1<", "1", ""),
        ("a.", "a", ""),
        ("a[", "0", "]"),
        ("true&&(", "true", ")"),
        ("'", "", ""),
        ("\"", "", ""),
        ("r'''", "", ""),
    ] {
        let times = (512 - inner.len()) / (open.len() + close.len());
        let text = [open.repeat(times), inner.to_owned(), close.repeat(times)].concat();
        // Whatever comes of it, it comes.
        if let Err(error) = compile(&text) {
            assert!(!error.to_string().is_empty(), "{text}");
        }
    }
    assert_eq!(compile(&"1".repeat(513)).map(|_| ()), Err(RuleError::TooLong(512)));
    let deep = format!("{}true", "!".repeat(99));
    assert!(matches!(compile(&deep), Ok(_) | Err(RuleError::TooDeep(_))));
    let deep = format!("0{} == 1", "+1".repeat(100));
    assert!(matches!(compile(&deep), Err(RuleError::TooDeep(_))));
}

#[test]
fn the_guide_lists_every_variable_and_field() {
    let guide = include_str!("../../../../../docs/policies.md");
    let kinds = [
        Kind::Image,
        Kind::Counts,
        Kind::Finding,
        Kind::Package,
        Kind::Build,
        Kind::Base,
        Kind::Evidence,
    ];
    let names: BTreeSet<&str> = (kinds.iter().flat_map(|kind| kind.fields()).chain(VARIABLES))
        .map(|variable| variable.name)
        .collect();
    for name in names {
        assert!(
            guide.contains(&format!("`{name}`")),
            "{name} is not in docs/policies.md"
        );
    }
}
