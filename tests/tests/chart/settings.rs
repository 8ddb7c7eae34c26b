//! The settings that the chart renders are those that the operator reads, with the operator's own type.

use crate::support::{local, render};
use imagefactory_core::settings::{CredentialScope, DnsSettings, Settings};
use imagefactory_core::sor_record::settings::Outage;
use imagefactory_crds::retention::Retention;
use imagefactory_tests::chart::Chart;
use imagefactory_tests::chart::object::{find, list, of_kind, text};
use serde_json::Value;

fn settings(objects: &[Value]) -> Settings {
    let maps: Vec<&str> = of_kind(objects, "ConfigMap")
        .map(|map| text(map, "/data/config.yaml"))
        .filter(|data| !data.is_empty())
        .collect();
    assert_eq!(maps.len(), 2, "one for the operator, one for the credentials role");
    assert_eq!(maps[0], maps[1]);
    serde_yaml::from_str(maps[0]).unwrap_or_else(|error| panic!("{error}\n{}", maps[0]))
}

#[test]
fn the_operator_reads_the_settings_of_every_set_of_values() {
    for chart in [Chart::minimal(), Chart::full(), local()] {
        let objects = render(&chart);
        let settings = settings(&objects);
        let bindings: Vec<(&str, &str)> = of_kind(&objects, "ClusterRoleBinding")
            .flat_map(|binding| list(binding, "/subjects"))
            .map(|subject| (text(subject, "/namespace"), text(subject, "/name")))
            .collect();
        assert!(bindings.contains(&(&settings.release_namespace, &settings.operator_service_account)));
        assert!(bindings.contains(&(&settings.work_namespace, &settings.credentials_service_account)));
        let role = format!("{}-tenant-operator", settings.cluster_role_prefix);
        assert!(of_kind(&objects, "ClusterRole").any(|object| text(object, "/metadata/name") == role));
    }
}

#[test]
fn builds_are_kept_by_default_and_removed_as_the_values_say() {
    let of = |chart: Chart| settings(&render(&chart)).builds.retention;
    assert_eq!(of(Chart::minimal()), Retention::default());
    let expected = Retention {
        max_age: Some("2160h".into()),
        max_builds: Some(100),
        include_applied: true,
    };
    assert_eq!(of(Chart::full()), expected);
}

#[test]
fn the_defaults_are_closed_where_they_can_be() {
    let settings = settings(&render(&Chart::minimal()));
    assert!(settings.require_user_namespaces);
    assert_eq!(
        [settings.staging.scope, settings.output.scope],
        [CredentialScope::PerTenant; 2]
    );
    assert!(!settings.onboarding.build);
    assert_eq!(settings.default_policy.as_deref(), Some("default"));
    assert!(settings.tenants.egress.allow.is_empty());
    assert_eq!(settings.tenants.egress.dns, DnsSettings::default());
    for range in [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "168.63.129.16/32",
        "fc00::/7",
        "fe80::/10",
        "64:ff9b::a00:0/104",
        "64:ff9b::ac10:0/108",
        "64:ff9b::c0a8:0/112",
        "64:ff9b::6440:0/106",
        "64:ff9b::a9fe:0/112",
        "64:ff9b::a83f:8110/128",
        "64:ff9b:1::/48",
        "2002::/16",
    ] {
        assert!(
            settings.tenants.egress.except.iter().any(|closed| closed == range),
            "{range} is open"
        );
    }
}

#[test]
fn every_value_reaches_the_settings() {
    let settings = settings(&render(&Chart::full()));
    assert_eq!(
        settings.images.worker,
        "mirror.example.com:5000/x/worker@sha256:".to_owned() + &"1".repeat(64)
    );
    assert_eq!(settings.images.pull_policy, "Always");
    assert_eq!(settings.images.pull_secrets, ["mirror-pull", "other-pull"]);
    assert_eq!(settings.work_namespace, "img-work");
    assert_eq!(settings.cluster_role_prefix, "img");
    assert_eq!(settings.scan.server_url, "http://img-trivy.img-work.svc:4954");
    assert_eq!(settings.scan.token_secret, "token");
    assert_eq!(settings.staging.prefix, "registry.example.com:5000/staging");
    assert_eq!(settings.staging.secret, "stage");
    assert_eq!(settings.output.secret, "out");
    assert_eq!(settings.mirrors.len(), 2);
    assert!(settings.ca_bundle.unwrap().ends_with("-----END CERTIFICATE-----\n"));
    assert_eq!(settings.builds.default_timeout.as_str(), "1h30m");
    assert_eq!(settings.builds.job_ttl_seconds, 0);
    assert_eq!(
        (
            settings.builds.retries.publish,
            settings.builds.retries.max_backoff_seconds
        ),
        (4, 8)
    );
    assert_eq!(
        (settings.dispatch.max_builds, settings.dispatch.ageing_seconds),
        (7, 30)
    );
    assert_eq!(settings.tenants.default_quota.concurrent_builds, Some(3));
    assert_eq!(settings.tenants.default_quota.weight, Some(2));
    assert_eq!(settings.tenants.default_quota.pods, Some(6));
    assert_eq!(settings.tenants.egress.allow[0].ports, [5000, 5001]);
    let expected = DnsSettings {
        namespace: "openshift-dns".to_owned(),
        ports: vec![53, 5353],
        addresses: vec!["169.254.20.10/32".to_owned()],
    };
    assert_eq!(settings.tenants.egress.dns, expected);
    assert_eq!(settings.tenants.resync_seconds, 5);
    assert_eq!(settings.sor.expiring_window.as_str(), "48h");
    let sor = settings.sor.http.unwrap();
    assert_eq!(
        (sor.url.as_str(), sor.outage),
        ("https://sor.example.com/api/records", Outage::LastKnownGood)
    );
    assert_eq!(sor.token_file.as_deref(), Some("/etc/image-factory-sor/token"));
    assert_eq!(
        [sor.interval, sor.timeout, sor.greatest_age].map(|text| text.0),
        ["1m", "5s", "12h"]
    );
    assert!(sor.ca_bundle.is_some());
    assert_eq!(settings.default_policy.as_deref(), Some("house-rules"));
    assert!(settings.onboarding.build);
    assert!(!settings.require_user_namespaces);
}

#[test]
fn the_claim_of_the_java_database_exists_and_is_named_only_where_it_is_wanted() {
    for chart in [Chart::full(), local()] {
        let objects = render(&chart);
        let claim = settings(&objects).scan.java_database_claim.unwrap();
        assert!(find(&objects, "PersistentVolumeClaim", &claim).is_some(), "{claim}");
    }
    assert_eq!(settings(&render(&Chart::minimal())).scan.java_database_claim, None);
}

#[test]
fn a_ca_bundle_reaches_jobs_and_the_scanner_of_the_work_namespace() {
    let objects = render(&Chart::full());
    let map = of_kind(&objects, "ConfigMap")
        .find(|map| text(map, "/metadata/name") == "imagefactory-ca")
        .unwrap();
    assert_eq!(text(map, "/metadata/namespace"), "img-work");
    assert!(text(map, "/data/ca.crt").contains("BEGIN CERTIFICATE"));
    let none = render(&Chart::minimal());
    assert!(!of_kind(&none, "ConfigMap").any(|map| text(map, "/metadata/name") == "imagefactory-ca"));
}
