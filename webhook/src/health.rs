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
