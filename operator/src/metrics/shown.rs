//! What the chart's dashboards and alerts ask for is what the process tells: the same names, the same labels.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::tests::every_family;

/// Labels that whoever scrapes adds, and those of histograms.
const FOREIGN: [&str; 5] = ["instance", "job", "le", "namespace", "pod"];

/// What webhook and audit tell, with its labels. That they do, a real Prometheus is asked (tests/tests/cluster/dashboards.rs).
const ELSEWHERE: [(&str, &[&str]); 14] = [
    (
        "imagefactory_webhook_requests_total",
        &["call", "kind", "operation", "result"],
    ),
    ("imagefactory_webhook_duration_seconds_bucket", &["call"]),
    ("imagefactory_webhook_audit_events_total", &["outcome"]),
    ("imagefactory_webhook_spool_events", &[]),
    ("imagefactory_webhook_spool_refused_events", &[]),
    ("imagefactory_webhook_cache_age_seconds", &["resource"]),
    ("imagefactory_webhook_certificate_expiry_timestamp_seconds", &[]),
    ("imagefactory_webhook_configurations_unrestored", &[]),
    ("imagefactory_denials_total", &["tenant", "capability", "code"]),
    ("imagefactory_quarantine_sor_denials_total", &["tenant", "cause"]),
    ("imagefactory_attempts_total", &["tenant"]),
    ("imagefactory_audit_events_total", &["kind"]),
    ("imagefactory_audit_append_duration_seconds_bucket", &[]),
    ("imagefactory_audit_answers_total", &["code"]),
];

fn chart_files(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../charts/image-factory/files")
        .join(folder);
    let files = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    files
        .map(|file| (file.clone(), std::fs::read_to_string(file).unwrap()))
        .collect()
}

/// Every text of a document under a key `expr` or `definition`.
fn expressions(document: &Value, found: &mut Vec<String>) {
    match document {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| match value {
            Value::String(text) if key == "expr" || key == "definition" => found.push(text.clone()),
            value => expressions(value, found),
        }),
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

fn shipped() -> Vec<String> {
    let mut found = Vec::new();
    for (file, text) in chart_files("dashboards").into_iter().chain(chart_files("alerts")) {
        let before = found.len();
        expressions(&serde_yaml::from_str(&text).unwrap(), &mut found);
        assert!(found.len() > before, "{} asks nothing", file.display());
    }
    found
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| !word.is_empty())
}

/// Each series that is told, with the names of its labels.
fn told() -> BTreeMap<String, BTreeSet<String>> {
    let labels = |of: &[&str]| of.iter().map(|label| (*label).to_owned()).collect();
    let elsewhere = ELSEWHERE.iter().map(|(name, of)| ((*name).to_owned(), labels(of)));
    let mut told: BTreeMap<String, BTreeSet<String>> = elsewhere.collect();
    for line in every_family().lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels
            .split('"')
            .step_by(2)
            .filter_map(|part| part.trim_start_matches(',').strip_suffix('='));
        told.entry(name.to_owned())
            .or_default()
            .extend(labels.map(str::to_owned));
    }
    told
}

/// Labels that an expression selects or groups by.
fn labels_of(expression: &str) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    for matcher in expression.split('{').skip(1).filter_map(|rest| rest.split_once('}')) {
        let names = matcher.0.split('"').step_by(2);
        labels.extend(names.flat_map(words).map(str::to_owned));
    }
    for grouping in expression
        .split(" by (")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
    {
        labels.extend(words(grouping.0).map(str::to_owned));
    }
    labels
}

#[test]
fn dashboards_and_alerts_name_only_metrics_that_are_told() {
    let told = told();
    let expressions = shipped();
    assert!(expressions.len() > 40, "{}", expressions.len());
    for expression in expressions {
        let names: Vec<&str> = words(&expression)
            .filter(|word| word.starts_with("imagefactory_"))
            .collect();
        assert!(!names.is_empty(), "{expression}");
        for name in names {
            assert!(told.contains_key(name), "{name} of {expression} is not told: {told:?}");
        }
    }
}

#[test]
fn dashboards_and_alerts_name_only_labels_that_their_metrics_have() {
    let told = told();
    for expression in shipped() {
        let of_metrics: BTreeSet<&String> = words(&expression).filter_map(|word| told.get(word)).flatten().collect();
        for label in labels_of(&expression) {
            assert!(
                of_metrics.contains(&label) || FOREIGN.contains(&label.as_str()),
                "{label} of {expression} is no label of its metrics"
            );
        }
    }
}

#[test]
fn labels_are_found_where_an_expression_selects_and_where_it_groups() {
    let found = labels_of("sum by (a, le) (x{b=~\"Q|R\",c!=\"d\"}) / count(y)");
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(found, ["a", "b", "c", "le"]);
    let told = told();
    let of = |name: &str| told[name].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(
        of("imagefactory_scan_verdicts_total"),
        ["severity", "tenant", "verdict"]
    );
    assert_eq!(of("imagefactory_leader"), Vec::<&str>::new());
}
