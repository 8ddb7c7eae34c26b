//! The real Prometheus that reads the product's metrics.

use std::collections::BTreeMap;

use reqwest::Client;
use serde_json::Value;

use crate::cluster::install_crypto;

/// Prometheus' HTTP API.
#[derive(Clone, Debug)]
pub struct Prometheus {
    client: Client,
    url: String,
}

/// One series of an answer.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Prometheus {
    /// The one at that URL.
    ///
    /// # Panics
    /// Where no client can be made.
    #[must_use]
    pub fn at(url: &str) -> Self {
        install_crypto();
        let client = Client::builder().no_proxy().build().expect("making a client");
        Self {
            client,
            url: url.to_owned(),
        }
    }

    /// What a query gives now.
    ///
    /// # Panics
    /// Where Prometheus does not answer, or does not understand.
    pub async fn query(&self, expression: &str) -> Vec<Sample> {
        let answer = self.get("query", &[("query", expression)]).await;
        let series = answer
            .pointer("/data/result")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        series.iter().map(sample).collect()
    }

    /// What a query gives now, or why Prometheus does not understand it.
    ///
    /// # Errors
    /// With Prometheus' own words.
    ///
    /// # Panics
    /// Where Prometheus does not answer.
    pub async fn ask(&self, expression: &str) -> Result<usize, String> {
        let mut url = reqwest::Url::parse(&format!("{}/api/v1/query", self.url)).expect("an URL");
        url.query_pairs_mut().append_pair("query", expression);
        let answer = self.client.get(url).send().await.expect("Prometheus answers");
        let answer: Value = answer.json().await.expect("Prometheus answers with JSON");
        if answer["status"] == "success" {
            Ok(answer["data"]["result"].as_array().map_or(0, Vec::len))
        } else {
            Err(answer["error"].to_string())
        }
    }

    /// The targets that are read, of that namespace.
    ///
    /// # Panics
    /// Where Prometheus does not answer.
    pub async fn targets(&self, namespace: &str) -> Vec<Value> {
        let answer = self.get("targets", &[("state", "active")]).await;
        let targets = answer
            .pointer("/data/activeTargets")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let is_of = |target: &Value| {
            let labels = target.pointer("/labels").and_then(Value::as_object);
            labels.is_some_and(|labels| labels.values().any(|value| value == namespace))
        };
        targets.into_iter().filter(is_of).collect()
    }

    async fn get(&self, what: &str, parameters: &[(&str, &str)]) -> Value {
        let mut url = reqwest::Url::parse(&format!("{}/api/v1/{what}", self.url)).expect("an URL");
        url.query_pairs_mut().extend_pairs(parameters);
        let answer = self.client.get(url).send().await.expect("Prometheus answers");
        answer
            .error_for_status()
            .expect("Prometheus understands")
            .json()
            .await
            .expect("Prometheus answers with JSON")
    }
}

fn sample(series: &Value) -> Sample {
    let labels = series
        .pointer("/metric")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let value = series
        .pointer("/value/1")
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok());
    Sample {
        labels: labels
            .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect(),
        value: value.unwrap_or(f64::NAN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_has_its_labels_and_its_value() {
        let series = serde_json::json!({"metric": {"tenant": "acme"}, "value": [1.5, "42"]});
        let sample = sample(&series);
        assert_eq!(sample.labels["tenant"], "acme");
        assert!((sample.value - 42.0).abs() < f64::EPSILON);
    }
}
