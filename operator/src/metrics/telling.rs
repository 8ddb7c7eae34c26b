//! What is counted of what the audit is told.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Unit;
use tokio::time::Instant;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// What the audit is told, and how that goes. Cloning gives another handle to the same counts.
#[derive(Clone, Debug, Default)]
pub struct Telling {
    events: Family<OutcomeLabels, Counter>,
    waiting: Gauge,
    /// Since when the intake has taken nothing; none while it does.
    failing: Arc<Mutex<Option<Instant>>>,
}

impl Telling {
    /// What became of events: told, deferred, refused, lost.
    pub fn told(&self, outcome: &'static str, count: usize) {
        self.events
            .get_or_create(&OutcomeLabels { outcome })
            .inc_by(count as u64);
    }

    /// Of how many events that became.
    #[cfg(test)]
    pub(crate) fn count(&self, outcome: &'static str) -> u64 {
        self.events.get_or_create(&OutcomeLabels { outcome }).get()
    }

    /// So much is to be told, or to be asked about.
    pub fn waiting(&self, count: usize) {
        self.waiting.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The intake answered well.
    pub fn reached(&self) {
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The intake did not.
    pub fn failed(&self) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.get_or_insert_with(Instant::now);
    }

    /// For how many seconds the intake has taken nothing.
    #[must_use]
    pub fn unreached(&self) -> f64 {
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.map_or(0.0, |since| since.elapsed().as_secs_f64())
    }
}

impl Collector for Telling {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "Events for the audit by what became of them: told, deferred, refused, lost.";
        let events = encoder.encode_descriptor("audit_told_events", help, None, MetricType::Counter)?;
        self.events.encode(events)?;
        let help = "Events and objects that the audit is yet to be told of, or to be asked about.";
        let waiting = encoder.encode_descriptor("audit_untold", help, None, MetricType::Gauge)?;
        self.waiting.encode(waiting)?;
        let help = "How long the audit has taken nothing; 0 while it does.";
        let unit = Some(&Unit::Seconds);
        let unreached = encoder.encode_descriptor("audit_unreached", help, unit, MetricType::Gauge)?;
        ConstGauge::new(self.unreached()).encode(unreached)
    }
}
