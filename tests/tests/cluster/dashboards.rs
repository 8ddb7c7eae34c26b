//! Dashboards and alerts, against the Prometheus that reads the deployed factory.

use std::collections::BTreeSet;

use imagefactory_tests::access::create;
use imagefactory_tests::chart::monitoring::{Query, queries};
use imagefactory_tests::dockerfile::{inline, quick};
use imagefactory_tests::prometheus::Prometheus;
use imagefactory_tests::tenant::PROJECT;
use imagefactory_tests::wait::until;
use imagefactory_tests::{Cluster, TestTenant};
use serde_json::json;

/// A family appears with its first event, and these wait for one that no build makes.
const RARE: [&str; 3] = [
    "imagefactory_malformed_objects_total",
    "imagefactory_build_retries_total",
    "imagefactory_log_failures_total",
];
/// Panels that are empty while all is well, and those of what these tests do not make.
const EMPTY: [&str; 9] = [
    "door.json: For want of a registration",
    "door.json: Registrations that lacked, by cause",
    "door.json: Quarantine requests, by phase",
    "door.json: Records, by lifecycle",
    "door.json: Fetches, by outcome",
    "queue.json: Tried again, by class",
    "logs.json: Tries that failed, by cause",
    "image-factory.json: Parts that wait",
    "image-factory.json: Objects that do not parse",
];

/// Metrics of requests, and of a system of record to fetch from.
const OF_REQUESTS: [&str; 2] = ["imagefactory_quarantine_", "imagefactory_sor_"];

fn comes_with_builds(name: &str) -> bool {
    !RARE.contains(&name) && !OF_REQUESTS.iter().any(|prefix| name.starts_with(prefix))
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn prometheus_understands_every_query_of_dashboards_and_alerts() {
    let prometheus = Cluster::connect().await.prometheus();
    let mut refused = Vec::new();
    for query in queries().unwrap() {
        if let Err(why) = prometheus.ask(&query.expression).await {
            refused.push(format!("{}: {why}", query.place));
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
    let nonsense = prometheus.ask("sum by (imagefactory_leader").await;
    assert!(nonsense.is_err(), "what can't be understood is told: {nonsense:?}");
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn after_builds_that_pass_fail_and_are_refused_every_metric_is_there_and_every_panel_shows_something() {
    let off = TestTenant::create_with(
        "shown-off",
        json!({"capabilities": {"build": false, "changeReason": "a test"}}),
    )
    .await;
    let never = json!({
        "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Build", "metadata": {"name": "never"},
        "spec": {"projectRef": {"name": PROJECT}, "source": quick()},
    });
    let answer = create(&off.client(), Some(&off.namespace), &never).await;
    assert!(answer.is_err(), "it was let in");
    let tenant = TestTenant::create("shown").await;
    tenant.start("passes", json!({"source": quick()})).await;
    let failing = inline("FROM debian:bookworm-slim\nRUN false\n");
    tenant.start("fails", json!({"source": failing})).await;
    tenant.has_succeeded("passes").await;
    tenant.settled("fails").await;

    let prometheus = tenant.cluster.prometheus();
    let queries = queries().unwrap();
    let named: BTreeSet<String> = queries.iter().flat_map(Query::metrics).collect();
    for name in named.iter().filter(|name| comes_with_builds(name)) {
        until(&format!("Prometheus knows {name}"), 60, async || {
            (!prometheus.query(name).await.is_empty()).then_some(())
        })
        .await;
    }
    for panel in queries.iter().filter(|query| is_panel(query)) {
        until(&format!("{} shows something", panel.place), 60, async || {
            shows(&prometheus, panel).await.then_some(())
        })
        .await;
    }
}

fn is_panel(query: &Query) -> bool {
    query.place.contains(".json: ") && !EMPTY.contains(&query.place.as_str())
}

/// A panel shows what passed too: only verdicts that refuse an image are shown by this one, and no build here is refused.
async fn shows(prometheus: &Prometheus, panel: &Query) -> bool {
    let expression = panel.expression.replace(r#"verdict!="Pass""#, r#"verdict!="""#);
    !prometheus.query(&expression).await.is_empty()
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn builds_that_exist_are_told_by_one_process_so_that_a_sum_is_right() {
    let tenant = TestTenant::create("summed").await;
    tenant.start("one", json!({"source": quick()})).await;
    tenant.has_succeeded("one").await;
    assert!(
        tenant.cluster.operator_pods().await.len() > 1,
        "one replica proves nothing"
    );
    let prometheus = tenant.cluster.prometheus();
    let query = format!(r#"sum(imagefactory_builds_current{{tenant="{}"}})"#, tenant.name);
    until("the sum is one", 60, async || {
        let found = prometheus.query(&query).await;
        found
            .first()
            .filter(|sample| (sample.value - 1.0).abs() < f64::EPSILON)
            .map(|_| ())
    })
    .await;
}
