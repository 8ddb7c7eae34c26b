//! Prometheus Operator's kinds, as far as the chart writes them, and the queries of dashboards and alerts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::object::{list, text};
use super::{ChartError, folder, read};

/// What finds the Services whose metrics are read.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceMonitor {
    api_version: String,
    kind: String,
    metadata: ObjectMeta,
    spec: MonitorSpec,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct MonitorSpec {
    namespace_selector: Namespaces,
    selector: LabelSelector,
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Namespaces {
    match_names: Vec<String>,
}

#[derive(Deserialize, Serialize)]
struct Endpoint {
    port: String,
    path: String,
    interval: String,
}

/// Groups of alerts.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusRule {
    api_version: String,
    kind: String,
    metadata: ObjectMeta,
    spec: Rules,
}

/// Prometheus' own form of rules.
#[derive(Deserialize, Serialize)]
pub struct Rules {
    /// Groups that are evaluated together.
    pub groups: Vec<Group>,
}

/// Rules that are evaluated together.
#[derive(Deserialize, Serialize)]
pub struct Group {
    /// Name of the group.
    pub name: String,
    /// Its alerts.
    pub rules: Vec<Alert>,
}

/// An alert.
#[derive(Deserialize, Serialize)]
pub struct Alert {
    /// Name of the alert.
    pub alert: String,
    /// What has to give something for the alert to fire.
    pub expr: String,
    /// For how long.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<String>,
    /// Labels that it carries.
    pub labels: BTreeMap<String, String>,
    /// What people read.
    pub annotations: BTreeMap<String, String>,
}

/// A query that the chart ships.
#[derive(Clone, Debug)]
pub struct Query {
    /// Where it stands: dashboard and panel, or alert.
    pub place: String,
    /// The query as Prometheus takes it: variables of the dashboard are replaced by what they hold for everything.
    pub expression: String,
}

impl Query {
    /// Names of the metrics in it.
    #[must_use]
    pub fn metrics(&self) -> Vec<String> {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let words = self.expression.split(|letter| !is_part(letter));
        let ours = words.filter(|word| word.starts_with("imagefactory_"));
        ours.map(str::to_owned).collect()
    }
}

/// The alerts, as they lie in the chart.
///
/// # Errors
/// When the file can't be read.
pub fn rules() -> Result<Rules, ChartError> {
    Ok(serde_yaml::from_str(&read(&folder().join("files/alerts/rules.yaml"))?)?)
}

/// Files of the dashboards.
///
/// # Errors
/// When the folder can't be read.
pub fn dashboards() -> Result<Vec<(PathBuf, Value)>, ChartError> {
    let path = folder().join("files/dashboards");
    let files = std::fs::read_dir(&path).map_err(|source| ChartError::File { path, source })?;
    let mut files: Vec<PathBuf> = files.flatten().map(|file| file.path()).collect();
    files.sort();
    let each = files.into_iter().map(|file| {
        let dashboard = serde_yaml::from_str(&read(&file)?)?;
        Ok((file, dashboard))
    });
    each.collect()
}

/// All panels, those in folded rows included.
#[must_use]
pub fn panels(dashboard: &Value) -> Vec<&Value> {
    list(dashboard, "/panels")
        .iter()
        .flat_map(|panel| std::iter::once(panel).chain(list(panel, "/panels")))
        .collect()
}

/// Every query of the dashboards and of the alerts.
///
/// # Errors
/// When a file can't be read.
pub fn queries() -> Result<Vec<Query>, ChartError> {
    let mut queries = Vec::new();
    for (file, dashboard) in dashboards()? {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for panel in panels(&dashboard) {
            queries.extend(list(panel, "/targets").iter().map(|target| Query {
                place: format!("{name}: {}", text(panel, "/title")),
                expression: substituted(text(target, "/expr")),
            }));
        }
        let variables = list(&dashboard, "/templating/list").iter();
        queries.extend(variables.filter(|it| text(it, "/type") == "query").map(|it| Query {
            place: format!("{name}: variable {}", text(it, "/name")),
            expression: of_variable(text(it, "/definition")),
        }));
    }
    let alerts = rules()?.groups.into_iter().flat_map(|group| group.rules);
    queries.extend(alerts.map(|alert| Query {
        place: alert.alert,
        expression: alert.expr,
    }));
    Ok(queries)
}

/// Grafana's variables, replaced by what they hold when everything is chosen.
fn substituted(expression: &str) -> String {
    expression
        .replace("$__rate_interval", "5m")
        .replace("$__range", "6h")
        .replace("$tenant", ".*")
}

/// `label_values(metric, label)` as a query.
fn of_variable(definition: &str) -> String {
    let inner = definition
        .trim_start_matches("label_values(")
        .trim_end_matches(')')
        .split_once(", ");
    inner.map_or_else(
        || definition.to_owned(),
        |(metric, label)| format!("group by ({label}) ({metric})"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_and_metrics_are_found() {
        let query = Query {
            place: String::new(),
            expression: substituted(
                "sum(rate(imagefactory_a_total{tenant=~\"$tenant\"}[$__rate_interval])) / imagefactory_b",
            ),
        };
        assert_eq!(
            query.expression,
            "sum(rate(imagefactory_a_total{tenant=~\".*\"}[5m])) / imagefactory_b"
        );
        assert_eq!(query.metrics(), ["imagefactory_a_total", "imagefactory_b"]);
        assert_eq!(of_variable("label_values(m, l)"), "group by (l) (m)");
    }
}
