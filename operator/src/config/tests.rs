//! What the chart writes is taken; what can't be is told, all of it at once.

use clap::Parser;
use imagefactory_core::sor_record::settings::{Outage, SorHttpSettings};
use imagefactory_crds::common::{ResourceList, Resources};

use super::*;

const CHART: &str = include_str!("testdata/config.yaml");

fn load_text(text: &str) -> Result<Settings, ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    load(file.path())
}

#[test]
fn what_the_chart_writes_is_taken() {
    let settings = load_text(CHART).unwrap();
    assert_eq!(settings.release_namespace, "image-factory-system");
    assert!(settings.require_user_namespaces);
}

#[test]
fn an_unknown_key_is_refused_by_name_and_place() {
    let error = load_text(&CHART.replace("workNamespace:", "wrokNamespace:")).unwrap_err();
    let text = crate::runner::chain(&error);
    assert!(text.contains("wrokNamespace") && text.contains("line"), "{text}");
}

#[test]
fn a_missing_file_is_named() {
    let error = load(std::path::Path::new("/nowhere/config.yaml")).unwrap_err();
    assert_eq!(error.to_string(), "could not read the settings /nowhere/config.yaml");
}

#[test]
fn all_problems_are_told_at_once() {
    let text = CHART
        .replace("defaultTimeout: 30m", "defaultTimeout: 3s")
        .replace("prefix: \"r.example.com/out\"", "prefix: \"https://r.example.com/out\"");
    let error = load_text(&text).unwrap_err().to_string();
    assert!(
        error.contains("builds.defaultTimeout must be") && error.contains("output.prefix must be"),
        "{error}"
    );
}

fn system_of_record(change: impl FnOnce(&mut SorHttpSettings)) -> Option<SorHttpSettings> {
    let mut http = SorHttpSettings {
        url: "https://sor.example.com/records".to_owned(),
        interval: "5m".into(),
        timeout: "10s".into(),
        token_file: Some("/token".to_owned()),
        ca_bundle: None,
        outage: Outage::Deny,
        greatest_age: "24h".into(),
    };
    change(&mut http);
    Some(http)
}

#[test]
fn a_system_of_record_is_asked_over_https_if_a_token_is_sent_and_within_bounds() {
    let after = |change: fn(&mut SorHttpSettings)| problems_after(|s| s.sor.http = system_of_record(change));
    assert!(after(|_| {}).is_empty());
    assert_eq!(
        after(|http| http.url = "http://sor.example.com".into()),
        ["sor.http.url"]
    );
    assert!(
        after(|http| {
            http.url = "http://sor.example.com".into();
            http.token_file = None;
        })
        .is_empty()
    );
    assert_eq!(after(|http| http.interval = "9s".into()), ["sor.http.interval"]);
    assert_eq!(after(|http| http.timeout = "2m".into()), ["sor.http.timeout"]);
    assert_eq!(after(|http| http.greatest_age = "9m".into()), ["sor.http.greatestAge"]);
    assert_eq!(
        problems_after(|s| s.sor.expiring_window = "30d".into()),
        ["sor.expiringWindow"]
    );
}

/// The keys that are complained about after `change`.
fn problems_after(change: impl FnOnce(&mut Settings)) -> Vec<String> {
    let mut settings: Settings = serde_yaml::from_str(CHART).unwrap();
    change(&mut settings);
    check::problems(&settings)
        .into_iter()
        .map(|problem| problem.key)
        .collect()
}

#[test]
fn each_value_that_can_not_be_is_complained_about() {
    type Change = fn(&mut Settings);
    let cases: [(Change, &str); 20] = [
        (
            |settings| settings.builds.retention.max_age = Some("59m".into()),
            "builds.retention.maxAge",
        ),
        (
            |settings| settings.builds.retention.max_builds = Some(0),
            "builds.retention.maxBuilds",
        ),
        (|s| s.work_namespace = "tenant-acme".into(), "workNamespace"),
        (|s| s.release_namespace = "Upper".into(), "releaseNamespace"),
        (|s| s.cluster_role_prefix = String::new(), "clusterRolePrefix"),
        (|s| s.scan.token_secret = "a/b".into(), "scan.tokenSecret"),
        (|s| s.images.worker = "a b".into(), "images.worker"),
        (|s| s.images.pull_policy = "Sometimes".into(), "images.pullPolicy"),
        (|s| s.staging.prefix = "r.example.com".into(), "staging.prefix"),
        (|s| s.staging.prefix = "r.example.com/a//b".into(), "staging.prefix"),
        (|s| s.output.prefix = s.staging.prefix.clone(), "output.prefix"),
        (|s| s.builds.default_timeout = "25h".into(), "builds.defaultTimeout"),
        (|s| s.builds.job_deadline_seconds = 0, "builds.jobDeadlineSeconds"),
        (|s| s.scan.server_url = "trivy:4954".into(), "scan.serverUrl"),
        (
            |s| s.tenants.egress.except = vec!["10.0.0.0/33".into()],
            "tenants.egress.except[0]",
        ),
        (|s| s.tenants.resync_seconds = 0, "tenants.resyncSeconds"),
        (
            |s| s.tenants.default_requests.cpu = Some("4001m".into()),
            "tenants.defaultRequests",
        ),
        (
            |s| s.builds.step_resources = resources("2Gi", "1Gi"),
            "builds.stepResources.requests",
        ),
        (
            |s| s.builds.step_resources.requests.as_mut().unwrap().cpu = Some("5".into()),
            "builds.stepResources.requests",
        ),
        (
            |s| s.builds.default_resources.limits.as_mut().unwrap().memory = Some("1099511627776".into()),
            "builds.defaultResources.limits",
        ),
    ];
    for (change, key) in cases {
        assert_eq!(problems_after(change), [key]);
    }
    assert!(problems_after(|_| {}).is_empty());
}

fn resources(request: &str, limit: &str) -> Resources {
    let memory = |amount: &str| {
        Some(ResourceList {
            memory: Some(amount.into()),
            ..ResourceList::default()
        })
    };
    Resources {
        requests: memory(request),
        limits: memory(limit),
    }
}

#[test]
fn no_default_is_above_the_ceiling_that_holds_for_all() {
    let problems = problems_after(|s| {
        s.builds.default_resources = resources("2Gi", "2Gi");
        s.builds.step_resources = resources("512Mi", "2Gi");
        s.tenants.default_limits.memory = Some("1025Mi".into());
        s.tenants.default_requests.memory = Some("1Gi".into());
        s.tenants.max_limits.memory = Some("1Gi".into());
    });
    assert_eq!(
        problems,
        [
            "builds.defaultResources.requests",
            "builds.defaultResources.limits",
            "builds.stepResources.limits",
            "tenants.defaultLimits",
        ]
    );
}

#[test]
fn a_registry_with_a_port_and_addresses_of_both_kinds_are_taken() {
    assert!(problems_after(|s| s.staging.prefix = "10.90.0.1:5000/staging".into()).is_empty());
    assert!(problems_after(|s| s.tenants.egress.except = vec!["fd00::/8".into(), "0.0.0.0/0".into()]).is_empty());
}

#[test]
fn what_the_chart_passes_is_understood() {
    let cli = Cli::try_parse_from(["operator", "run", "--config=/etc/image-factory/config.yaml"]).unwrap();
    let Command::Run(args) = cli.command else { panic!("run") };
    assert_eq!(
        (args.lease(), args.common.listen.port()),
        (Duration::from_secs(15), 8080)
    );
    let cli = Cli::try_parse_from([
        "operator",
        "credentials",
        "--source=/credentials/source",
        "--log-format=text",
    ]);
    let Command::Credentials(args) = cli.unwrap().command else {
        panic!("credentials")
    };
    assert_eq!(args.common.log_format, LogFormat::Text);
}

#[test]
fn a_lease_too_short_to_renew_is_refused() {
    assert!(Cli::try_parse_from(["operator", "run", "--lease-seconds=1"]).is_err());
}
