//! Metrics, as the real Prometheus reads them.

use std::collections::BTreeSet;

use imagefactory_tests::dockerfile::{inline, quick};
use imagefactory_tests::wait::until;
use imagefactory_tests::{Cluster, TestTenant};
use serde_json::json;

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn builds_are_counted_by_tenant_project_method_and_result_and_never_by_name() {
    let tenant = TestTenant::create("counted").await;
    tenant.start("a-name-of-a-build", json!({"source": quick()})).await;
    tenant
        .start(
            "fails",
            json!({"source": inline("FROM debian:bookworm-slim\nRUN false\n")}),
        )
        .await;
    tenant.has_succeeded("a-name-of-a-build").await;
    tenant.settled("fails").await;
    let prometheus = tenant.cluster.prometheus();
    for result in ["Succeeded", "Build"] {
        let name = &tenant.name;
        let query = format!(
            r#"sum(imagefactory_builds_total{{tenant="{name}",project="app",method="kaniko",result="{result}"}})"#
        );
        until(
            &format!("Prometheus knows of the build that ended as {result}"),
            60,
            async || {
                prometheus
                    .query(&query)
                    .await
                    .first()
                    .filter(|sample| (sample.value - 1.0).abs() < 0.1)
                    .map(|_| ())
            },
        )
        .await;
    }
    let all = prometheus.query(r#"{__name__=~"imagefactory_.+"}"#).await;
    assert!(all.len() > 20, "{} series", all.len());
    let named: Vec<_> = all
        .iter()
        .filter(|sample| sample.labels.values().any(|value| value.contains("a-name-of-a-build")))
        .collect();
    assert!(named.is_empty(), "{named:?}");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn every_target_of_ours_is_read_without_an_error() {
    let cluster = Cluster::connect().await;
    let prometheus = cluster.prometheus();
    let namespace = cluster.installation.namespace.clone();
    until("Prometheus reads the operator", 60, async || {
        let targets = prometheus.targets(&namespace).await;
        let well = targets
            .iter()
            .all(|target| target["health"] == "up" && target["lastError"] == "");
        (well && targets.len() >= cluster.operator_pods().await.len()).then_some(())
    })
    .await;
    let leaders = prometheus.query("sum(imagefactory_leader)").await;
    assert!(
        leaders.first().is_some_and(|sample| (sample.value - 1.0).abs() < 0.1),
        "one leads: {leaders:?}"
    );
    assert!(
        !prometheus.query("imagefactory_build_info").await.is_empty(),
        "the version is told"
    );
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn every_family_has_help_and_a_unit_where_it_measures() {
    let cluster = Cluster::connect().await;
    let pod = cluster.leader().await;
    let namespace = &cluster.installation.namespace;
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:8080/proxy/metrics");
    let text = cluster.kubectl().run(&["get", "--raw", &path]).expect_ok();
    let of = |word: &str| -> Vec<(String, String)> {
        let begin = format!("# {word} ");
        let lines = text.lines().filter_map(|line| line.strip_prefix(begin.as_str()));
        lines
            .filter_map(|line| line.split_once(' '))
            .map(|(name, rest)| (name.to_owned(), rest.trim().to_owned()))
            .collect()
    };
    let (types, helps, units) = (of("TYPE"), of("HELP"), of("UNIT"));
    let names: BTreeSet<_> = types.iter().map(|(name, _)| name.as_str()).collect();
    for expected in [
        "imagefactory_builds",
        "imagefactory_build_duration_seconds",
        "imagefactory_reconcile",
        "imagefactory_reconcile_duration_seconds",
        "imagefactory_api_requests",
        "imagefactory_leader",
        "imagefactory_build",
    ] {
        assert!(names.contains(expected), "{expected} is missing: {names:?}");
    }
    for (name, kind) in &types {
        let help = helps
            .iter()
            .find(|(named, _)| named == name)
            .map(|(_, help)| help.as_str())
            .unwrap_or_default();
        assert!(help.len() > 10, "{name} has no help");
        let measures = name.contains("duration") || name.contains("last_event") || kind == "histogram";
        if measures {
            let unit = units
                .iter()
                .find(|(named, _)| named == name)
                .map(|(_, unit)| unit.as_str());
            assert!(
                unit == Some("seconds") && name.ends_with("_seconds"),
                "{name} ({kind}) has unit {unit:?}"
            );
        }
    }
    assert!(text.trim_end().ends_with("# EOF"));
}
