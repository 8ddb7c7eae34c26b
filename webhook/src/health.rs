//! Whether the caches are filled, as gates, and how old they are, as gauges.

use imagefactory_serving::Gates;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::caches::{Caches, Knowledge};

/// Adds a gate for each cache. A cache that grew too old keeps its gate open: the process refuses to decide, and says
/// why, which is more than an API server says that finds nobody.
pub fn add_caches(gates: &Gates, caches: &Caches) {
    for (index, (resource, _)) in caches.knowledge().into_iter().enumerate() {
        let caches = caches.clone();
        gates.add(resource, move || match caches.knowledge()[index].1 {
            Knowledge::None => Some(format!(
                "the first list of {resource}: is its definition installed, and may we list it?"
            )),
            Knowledge::Of(_) => None,
        });
    }
}

/// How old the knowledge of each kind is, computed on scrape.
#[derive(Clone)]
pub struct Ages(pub Caches);

impl std::fmt::Debug for Ages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ages")
    }
}

impl Collector for Ages {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "Seconds since a watch was last heard of, by resource";
        let mut metric =
            encoder.encode_descriptor("webhook_cache_age", help, Some(&Unit::Seconds), MetricType::Gauge)?;
        for (resource, knowledge) in self.0.knowledge() {
            if let Knowledge::Of(age) = knowledge {
                let gauge = ConstGauge::new(age.as_secs_f64());
                gauge.encode(metric.encode_family(&[("resource", resource)])?)?;
            }
        }
        Ok(())
    }
}

/// Whether each part is well, under the name that the operator's parts have.
#[derive(Clone)]
pub struct Parts(pub Gates);

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts")
    }
}

impl Collector for Parts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "Whether a part of the process is well";
        let mut metric = encoder.encode_descriptor("component_healthy", help, None, MetricType::Gauge)?;
        for gate in self.0.states() {
            let is_well = ConstGauge::new(i64::from(gate.waits_for.is_none()));
            is_well.encode(metric.encode_family(&[("component", gate.name)])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn each_part_is_told_with_whether_it_is_well() {
        let (gates, metrics) = (Gates::default(), Metrics::default());
        metrics.add_collector(Parts(gates.clone()));
        gates.add("spool", || None);
        gates.add("certificate", || Some("a certificate".to_owned()));
        let text = metrics.encode().unwrap();
        for line in [
            "imagefactory_component_healthy{component=\"spool\"} 1",
            "imagefactory_component_healthy{component=\"certificate\"} 0",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
