//! What watches the factory: ServiceMonitor, alerts, dashboards; and what keeps it running while nodes are drained.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::support::render;
use imagefactory_tests::chart::monitoring::{Alert, dashboards, panels, queries, rules};
use imagefactory_tests::chart::object::{find, list, name, of_kind, text};
use imagefactory_tests::chart::{Chart, read, repository, tool};
use serde_json::{Value, json};

const EVERYTHING: &str =
    "metrics.serviceMonitor.enabled=true,metrics.prometheusRule.enabled=true,metrics.dashboards.enabled=true";

fn alerts() -> Vec<Alert> {
    rules()
        .unwrap()
        .groups
        .into_iter()
        .flat_map(|group| group.rules)
        .collect()
}

#[test]
fn kinds_of_prometheus_operator_are_rendered_only_where_a_value_asks_for_them() {
    let of_others = |chart: &Chart| -> BTreeSet<String> {
        let objects = render(chart);
        let foreign = objects
            .iter()
            .filter(|object| text(object, "/apiVersion").starts_with("monitoring."));
        foreign.map(|object| text(object, "/kind").to_owned()).collect()
    };
    assert!(of_others(&Chart::minimal()).is_empty());
    assert_eq!(of_others(&Chart::minimal().set(EVERYTHING)).len(), 2);
}

#[test]
fn the_service_monitor_finds_the_services_with_metrics_and_no_other() {
    let objects = render(&Chart::minimal().set(EVERYTHING).set("audit.enabled=true"));
    let monitor = find(&objects, "ServiceMonitor", "image-factory").unwrap();
    let namespaces = list(monitor, "/spec/namespaceSelector/matchNames");
    let labels = monitor
        .pointer("/spec/selector/matchLabels")
        .unwrap()
        .as_object()
        .unwrap();
    let one_of = &monitor["spec"]["selector"]["matchExpressions"][0];
    let found: Vec<(&str, Value)> = of_kind(&objects, "Service")
        .filter(|service| {
            let has = &service["metadata"]["labels"];
            let component = &has[text(one_of, "/key")];
            labels.iter().all(|(key, value)| has.get(key) == Some(value))
                && list(one_of, "/values").contains(component)
                && namespaces.contains(&service["metadata"]["namespace"])
        })
        .map(|service| (name(service), service["spec"]["ports"][0]["name"].clone()))
        .collect();
    let port = monitor["spec"]["endpoints"][0]["port"].clone();
    assert_eq!(
        found,
        [
            ("image-factory-audit", port.clone()),
            ("image-factory-credentials", port.clone()),
            ("image-factory-operator", port.clone()),
            ("image-factory-webhook", port)
        ]
    );
}

#[test]
fn the_rule_object_holds_the_rules_of_the_file_and_one_value_moves_the_runbooks() {
    let file: Value =
        serde_yaml::from_str(&read(&repository().join("charts/image-factory/files/alerts/rules.yaml")).unwrap())
            .unwrap();
    let objects = render(&Chart::minimal().set(EVERYTHING));
    let rule = find(&objects, "PrometheusRule", "image-factory").unwrap();
    assert_eq!(rule["spec"], file, "Go's templates must leave Prometheus' own alone");
    let moved = render(
        &Chart::minimal()
            .set(EVERYTHING)
            .set("metrics.prometheusRule.runbookUrl=https://w.example.com/x"),
    );
    let moved = find(&moved, "PrometheusRule", "image-factory").unwrap();
    for rule in list(moved, "/spec/groups/0/rules") {
        assert!(
            text(rule, "/annotations/runbook_url").starts_with("https://w.example.com/x#imagefactory"),
            "{rule}"
        );
    }
}

#[test]
fn every_alert_has_a_severity_a_summary_a_description_and_a_section_in_the_runbooks() {
    let runbooks = read(&repository().join("docs/runbooks.md")).unwrap();
    let alerts = alerts();
    assert!(alerts.len() >= 11);
    let names: BTreeSet<&str> = alerts.iter().map(|alert| alert.alert.as_str()).collect();
    assert_eq!(names.len(), alerts.len());
    for alert in &alerts {
        let severity = alert.labels["severity"].as_str();
        assert!(["critical", "warning", "info"].contains(&severity), "{}", alert.alert);
        for annotation in ["summary", "description"] {
            assert!(alert.annotations[annotation].ends_with('.'), "{}", alert.alert);
        }
        let anchor = format!("#{}", alert.alert.to_lowercase());
        assert!(
            alert.annotations["runbook_url"].ends_with(&anchor),
            "{} must lead to {anchor}",
            alert.alert
        );
        assert!(
            runbooks.contains(&format!("\n## {}\n", alert.alert)),
            "{} has no section",
            alert.alert
        );
    }
    for section in runbooks.lines().filter_map(|line| line.strip_prefix("## ")) {
        assert!(names.contains(section), "{section} is no alert");
    }
}

#[test]
fn silence_of_the_system_of_record_is_measured_in_its_own_intervals() {
    let threshold = |values: &str| {
        let objects = render(&Chart::minimal().set(EVERYTHING).set(values));
        let rule = find(&objects, "PrometheusRule", "image-factory").unwrap();
        let rules = list(rule, "/spec/groups")
            .iter()
            .flat_map(|group| list(group, "/rules"));
        let old: Vec<&str> = rules
            .filter(|rule| text(rule, "/alert") == "ImageFactorySorFetchOld")
            .map(|rule| text(rule, "/expr"))
            .collect();
        old[0].rsplit_once("> ").unwrap().1.to_owned()
    };
    for (interval, seconds) in [("5m", "10800"), ("1h", "10800"), ("1h30m", "16200"), ("24h", "259200")] {
        assert_eq!(
            threshold(&format!("sor.http.interval={interval}")),
            seconds,
            "{interval}"
        );
    }
}

fn alert_tests() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chart/alerts/rules.test.yaml");
    serde_yaml::from_str(&read(&file).unwrap()).unwrap()
}

#[test]
fn every_alert_is_seen_to_fire_and_seen_to_be_silent() {
    let tests = alert_tests();
    let cases: Vec<&Value> = list(&tests, "/tests")
        .iter()
        .flat_map(|test| list(test, "/alert_rule_test"))
        .collect();
    for alert in alerts() {
        let mut of_it = cases.iter().filter(|case| text(case, "/alertname") == alert.alert);
        assert!(
            of_it.clone().any(|case| !list(case, "/exp_alerts").is_empty()),
            "{} never fires",
            alert.alert
        );
        assert!(
            of_it.any(|case| list(case, "/exp_alerts").is_empty()),
            "{} is never silent",
            alert.alert
        );
    }
}

/// Debian's package `prometheus` brings promtool; the local cluster installs it.
#[test]
#[ignore = "needs the cluster of `make cluster`"]
fn promtool_finds_that_the_alerts_fire_where_they_should() {
    let promtool = tool("promtool").expect("promtool comes with Debian's package prometheus: make cluster");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chart/alerts/rules.test.yaml");
    let output = Command::new(promtool)
        .args(["test", "rules"])
        .arg(&file)
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success() && said.contains("SUCCESS"), "{said}");
}

#[test]
fn the_dashboards_come_as_they_are_with_the_label_that_grafana_looks_for() {
    assert!(find(&render(&Chart::minimal()), "ConfigMap", "image-factory-dashboards").is_none());
    let objects = render(&Chart::minimal().set(EVERYTHING));
    let map = find(&objects, "ConfigMap", "image-factory-dashboards").unwrap();
    assert_eq!(text(map, "/metadata/labels/grafana_dashboard"), "1");
    let data = map["data"].as_object().unwrap();
    let files = dashboards().unwrap();
    assert_eq!(data.len(), files.len());
    for (file, dashboard) in files {
        let held = data[file.file_name().unwrap().to_str().unwrap()].as_str().unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(held).unwrap(),
            dashboard,
            "{}",
            file.display()
        );
    }
    let full = render(&Chart::full());
    let elsewhere = find(&full, "ConfigMap", "img-dashboards").unwrap();
    assert_eq!(text(elsewhere, "/metadata/namespace"), "monitoring");
    assert_eq!(text(elsewhere, "/metadata/annotations/grafana_folder"), "Platform");
}

#[test]
fn a_dashboard_works_on_import_with_any_prometheus() {
    for (file, dashboard) in dashboards().unwrap() {
        let file = file.display();
        assert!(!text(&dashboard, "/uid").is_empty(), "{file}: links to it stay valid");
        assert!(
            dashboard.get("id").is_none(),
            "{file}: an id of one Grafana means nothing to another"
        );
        let chosen = json!({"type": "prometheus", "uid": "${datasource}"});
        let mut ids = BTreeSet::new();
        for panel in panels(&dashboard) {
            let title = text(panel, "/title");
            assert!(ids.insert(panel["id"].to_string()), "{file}: {title}");
            let is_row = text(panel, "/type") == "row";
            assert!(
                is_row || !text(panel, "/description").is_empty(),
                "{file}: {title} has no description"
            );
            assert_eq!(
                is_row,
                list(panel, "/targets").is_empty(),
                "{file}: {title} asks nothing"
            );
            for target in list(panel, "/targets") {
                assert_eq!(
                    target["datasource"], chosen,
                    "{file}: {title} is bound to one data source"
                );
            }
        }
    }
}

#[test]
fn every_query_asks_for_metrics_of_ours_and_leaves_no_variable_open() {
    let queries = queries().unwrap();
    assert!(queries.len() > 40, "{}", queries.len());
    for query in queries {
        assert!(!query.expression.contains('$'), "{query:?}");
        assert!(!query.metrics().is_empty(), "{query:?}");
    }
}

#[test]
fn a_budget_for_drains_is_there_with_two_replicas_and_holds_up_none_with_one() {
    for (component, replicas) in [("operator", 1), ("webhook", 2)] {
        let title = format!("image-factory-{component}");
        let by_default = render(&Chart::minimal());
        let budget = find(&by_default, "PodDisruptionBudget", &title);
        assert_eq!(budget.is_some(), replicas > 1, "{component}");
        let one = render(&Chart::minimal().set(&format!("{component}.replicas=1")));
        assert!(find(&one, "PodDisruptionBudget", &title).is_none(), "{component}");
        // Replicas on a volume of one node have none (store.rs).
        let two = Chart::minimal().set(&format!(
            "{component}.replicas=2,objectStore.volume.accessModes={{ReadWriteMany}}"
        ));
        let objects = render(&two);
        let budget = find(&objects, "PodDisruptionBudget", &title).unwrap();
        assert_eq!(budget["spec"]["maxUnavailable"], 1);
        let deployment = find(&objects, "Deployment", &title).unwrap();
        assert_eq!(budget["spec"]["selector"], deployment["spec"]["selector"]);
        let without = render(&two.set(&format!("{component}.podDisruptionBudget.create=false")));
        assert!(find(&without, "PodDisruptionBudget", &title).is_none(), "{component}");
    }
}

#[test]
fn replicas_spread_over_nodes_unless_a_value_says_how() {
    let spread = |chart: &Chart| {
        let objects = render(chart);
        let deployment = of_kind(&objects, "Deployment")
            .find(|deployment| name(deployment).ends_with("-operator"))
            .unwrap();
        list(deployment, "/spec/template/spec/topologySpreadConstraints").to_vec()
    };
    let own = spread(&Chart::minimal());
    assert_eq!(own.len(), 1);
    assert_eq!(text(&own[0], "/topologyKey"), "kubernetes.io/hostname");
    assert_eq!(text(&own[0], "/whenUnsatisfiable"), "ScheduleAnyway");
    assert_eq!(
        text(&spread(&Chart::full())[0], "/topologyKey"),
        "topology.kubernetes.io/zone"
    );
}
