//! What the process counts. Labels are bounded sets: no name of a tenant or an object is ever one.

use std::time::Duration;

use imagefactory_crds::denial::Code;
use imagefactory_serving::Exposition;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Kinds that are told apart; everything else is `other`.
const KINDS: [&str; 11] = [
    "Approval",
    "Build",
    "CatalogImage",
    "ImagePolicy",
    "ImageScan",
    "Project",
    "QuarantineRequest",
    "SorRecord",
    "Tenant",
    "TenantSettings",
    "Waiver",
];
/// Upper bounds of a decision's time, in seconds.
const BUCKETS: [f64; 11] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 3.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    call: &'static str,
    kind: &'static str,
    operation: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// Everything that the process counts.
pub struct Metrics {
    shown: Exposition,
    requests: Family<RequestLabels, Counter>,
    duration: Family<CallLabels, Histogram, fn() -> Histogram>,
    events: Family<OutcomeLabels, Counter>,
    spool_bytes: Gauge,
    spool_events: Gauge,
    spool_refused: Gauge,
    expiry: Gauge,
    unrestored: Gauge,
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            shown: Exposition::new(env!("CARGO_PKG_VERSION")),
            requests: Family::default(),
            duration: Family::new_with_constructor(histogram),
            events: Family::default(),
            spool_bytes: Gauge::default(),
            spool_events: Gauge::default(),
            spool_refused: Gauge::default(),
            expiry: Gauge::default(),
            unrestored: Gauge::default(),
        };
        metrics.shown.register(|registry| metrics.register(registry));
        metrics
    }
}

impl Metrics {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "webhook_requests",
            "Reviews by call, kind, operation and result, which is allowed or a code",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "webhook_duration",
            "Time from a review's last byte to its answer",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register(
            "webhook_audit_events",
            "Events by what became of them: delivered, spooled, refused by the intake, lost to a full or broken spool; deliveries that failed",
            self.events.clone(),
        );
        registry.register_with_unit(
            "webhook_spool",
            "Size of the spool",
            Unit::Bytes,
            self.spool_bytes.clone(),
        );
        registry.register(
            "webhook_spool_events",
            "Events that wait in the spool",
            self.spool_events.clone(),
        );
        registry.register(
            "webhook_spool_refused_events",
            "Events that the intake refused, kept in the spool and tried again",
            self.spool_refused.clone(),
        );
        registry.register_with_unit(
            "webhook_certificate_expiry_timestamp",
            "When the certificate that is served ends",
            Unit::Seconds,
            self.expiry.clone(),
        );
        registry.register(
            "webhook_configurations_unrestored",
            "1 while a webhook configuration is missing, is not as the release wants it, or can't be looked at",
            self.unrestored.clone(),
        );
    }

    /// What is shown of it, as text.
    #[must_use]
    pub fn shown(&self) -> &Exposition {
        &self.shown
    }

    /// Adds gauges that are computed on scrape.
    pub fn add_collector(&self, collector: impl Collector) {
        self.shown.add_collector(collector);
    }

    /// Everything in OpenMetrics' text form.
    ///
    /// # Errors
    /// When a collector fails, which none of ours does.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        self.shown.encode()
    }

    /// A review was answered: `call` is `validate` or `mutate`.
    pub fn answered(&self, call: &'static str, kind: &str, operation: &'static str, code: Option<Code>) {
        let kind = KINDS.into_iter().find(|known| *known == kind).unwrap_or("other");
        let result = code.map_or("allowed", Code::as_str);
        self.requests
            .get_or_create(&RequestLabels {
                call,
                kind,
                operation,
                result,
            })
            .inc();
    }

    /// An answer took so long.
    pub fn took(&self, call: &'static str, time: Duration) {
        self.duration
            .get_or_create(&CallLabels { call })
            .observe(time.as_secs_f64());
    }

    /// Something became of so many events: one of a fixed set of words.
    pub fn events(&self, outcome: &'static str, count: u64) {
        self.events.get_or_create(&OutcomeLabels { outcome }).inc_by(count);
    }

    /// The spool holds so much, and beside its events so many that were refused.
    pub fn spool(&self, bytes: u64, events: u64, refused: u64) {
        self.spool_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.spool_events.set(i64::try_from(events).unwrap_or(i64::MAX));
        self.spool_refused.set(i64::try_from(refused).unwrap_or(i64::MAX));
    }

    /// The certificate that is served ends then, in seconds since the epoch.
    pub fn certificate_ends(&self, at: i64) {
        self.expiry.set(at);
    }

    /// Whether a webhook configuration is wrong and not put right yet.
    pub fn configurations_wrong(&self, wrong: bool) {
        self.unrestored.set(i64::from(wrong));
    }
}
