//! What is told to Prometheus: counts from what is stored, and how the intake does.

use std::collections::BTreeMap;
use std::fmt::{Debug, Error, Formatter};
use std::sync::Arc;
use std::time::Duration;

use imagefactory_crds::audit::EventKind;
use imagefactory_store::{Appended, CountKey, Counts};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use super::shelf::Shelf;

/// Buckets of how long it takes until a batch is durable, in seconds.
const BUCKETS: [f64; 11] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// What the intake counts.
pub(super) struct Counted {
    shelf: Shelf,
    append: Histogram,
    known: Counter,
    answers: Family<AnswerLabels, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AnswerLabels {
    code: u16,
}

impl Counted {
    pub(super) fn new(shelf: Shelf) -> Self {
        Self {
            shelf,
            append: Histogram::new(BUCKETS),
            known: Counter::default(),
            answers: Family::default(),
        }
    }

    pub(super) fn appended(&self, appended: Appended, took: Duration) {
        self.append.observe(took.as_secs_f64());
        self.known.inc_by(appended.known as u64);
    }

    pub(super) fn answered(&self, code: u16) {
        self.answers.get_or_create(&AnswerLabels { code }).inc();
    }

    pub(super) fn collector(self: &Arc<Self>) -> impl Collector + use<> {
        Shown(self.clone())
    }
}

struct Shown(Arc<Counted>);

impl Debug for Shown {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result<(), Error> {
        f.write_str("Audit")
    }
}

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let counted = &self.0;
        // While the store is not open nothing is known, which is not the same as zero.
        if let Some(store) = counted.shelf.store() {
            encode_counts(&store.counts(), &mut encoder)?;
            let waiting = ConstGauge::new(i64::try_from(store.waiting()).unwrap_or(i64::MAX));
            let help = "Batches that wait to be stored.";
            waiting.encode(encoder.encode_descriptor("audit_queue", help, None, MetricType::Gauge)?)?;
        }
        let help = "Time until a batch was durable.";
        let unit = Some(&Unit::Seconds);
        let histogram = encoder.encode_descriptor("audit_append_duration", help, unit, MetricType::Histogram)?;
        counted.append.encode(histogram)?;
        let help = "Events that were delivered again, or were the same write asked for again.";
        let known = encoder.encode_descriptor("audit_known_events", help, None, MetricType::Counter)?;
        counted.known.encode(known)?;
        let help = "Answers of the intake, by status code.";
        let answers = encoder.encode_descriptor("audit_answers", help, None, MetricType::Counter)?;
        counted.answers.encode(answers)
    }
}

fn encode_counts(counts: &Counts, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    encode_denials(counts, encoder)?;
    let help = "Changes that were let in, by tenant, as they are stored.";
    let mut attempts = encoder.encode_descriptor("attempts", help, None, MetricType::Counter)?;
    for (tenant, count) in sums(of_kind(counts, EventKind::Attempt), |key| key.tenant.as_str()) {
        ConstCounter::new(count).encode(attempts.encode_family(&[("tenant", tenant)])?)?;
    }
    let help = "Events that are stored, by kind.";
    let mut events = encoder.encode_descriptor("audit_events", help, None, MetricType::Counter)?;
    for kind in EventKind::ALL {
        let count: u64 = of_kind(counts, kind).map(|(_, count)| count).sum();
        ConstCounter::new(count).encode(events.encode_family(&[("kind", kind.as_str())])?)?;
    }
    Ok(())
}

fn of_kind(counts: &Counts, kind: EventKind) -> impl Iterator<Item = (&CountKey, u64)> {
    let of_kind = counts.iter().filter(move |(key, _)| key.kind == kind.as_str());
    of_kind.map(|(key, count)| (key, *count))
}

fn encode_denials(counts: &Counts, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    let help = "Requests that were refused, by tenant, capability and code, as they are stored.";
    let mut denials = encoder.encode_descriptor("denials", help, None, MetricType::Counter)?;
    let refused = sums(of_kind(counts, EventKind::Denial), |key| {
        [&key.tenant, &key.capability, &key.code].map(String::as_str)
    });
    for ([tenant, capability, code], count) in refused {
        let labels = [("tenant", tenant), ("capability", capability), ("code", code)];
        ConstCounter::new(count).encode(denials.encode_family(&labels)?)?;
    }
    let help = "Quarantine requests refused for want of a registration, or failed when it was lost, by tenant and cause, as \
                they are stored.";
    let mut registrations = encoder.encode_descriptor("quarantine_sor_denials", help, None, MetricType::Counter)?;
    let with_cause = counts.iter().filter(|(key, _)| !key.cause.is_empty());
    let with_cause = with_cause.map(|(key, count)| (key, *count));
    for ((tenant, cause), count) in sums(with_cause, |key| (key.tenant.as_str(), key.cause)) {
        let labels = [("tenant", tenant), ("cause", cause)];
        ConstCounter::new(count).encode(registrations.encode_family(&labels)?)?;
    }
    Ok(())
}

/// What has the same labels is one series.
fn sums<'a, L: Ord>(
    counts: impl Iterator<Item = (&'a CountKey, u64)>,
    labels: impl Fn(&'a CountKey) -> L,
) -> BTreeMap<L, u64> {
    counts.fold(BTreeMap::new(), |mut sums, (key, count)| {
        *sums.entry(labels(key)).or_default() += count;
        sums
    })
}
