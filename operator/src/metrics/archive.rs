//! What is counted of logs that are kept.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::keeper::Keeper;

/// What became of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogOutcome {
    /// Kept as it was written.
    Whole,
    /// Kept without its middle.
    Cut,
    /// Gone before it could be kept.
    Lost,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CauseLabels {
    cause: &'static str,
}

#[derive(Default)]
pub(super) struct ArchiveFamilies {
    logs: Family<ResultLabels, Counter>,
    bytes: Counter,
    failures: Family<CauseLabels, Counter>,
}

impl ArchiveFamilies {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "logs",
            "Logs of containers that ended, by what became of them: whole, cut, lost",
            self.logs.clone(),
        );
        registry.register_with_unit(
            "logs_kept",
            "Size of the logs that were kept",
            Unit::Bytes,
            self.bytes.clone(),
        );
        registry.register(
            "log_failures",
            "Tries to keep a log that failed, by cause: store, source",
            self.failures.clone(),
        );
    }

    pub(super) fn decided(&self, outcome: LogOutcome, bytes: u64) {
        let result = match outcome {
            LogOutcome::Whole => "whole",
            LogOutcome::Cut => "cut",
            LogOutcome::Lost => "lost",
        };
        self.logs.get_or_create(&ResultLabels { result }).inc();
        self.bytes.inc_by(bytes);
    }

    pub(super) fn failed(&self, cause: &'static str) {
        self.failures.get_or_create(&CauseLabels { cause }).inc();
    }
}

/// How many logs are not safe yet.
pub struct LogsWaiting(pub Keeper);

impl std::fmt::Debug for LogsWaiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogsWaiting")
    }
}

impl Collector for LogsWaiting {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        encode_waiting(self.0.waiting(), encoder)
    }
}

pub(super) fn encode_waiting(logs: usize, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
    let gauge = ConstGauge::new(i64::try_from(logs).unwrap_or(i64::MAX));
    let help = "Logs of containers that ended which are not kept yet.";
    gauge.encode(encoder.encode_descriptor("logs_waiting", help, None, gauge.metric_type())?)
}
