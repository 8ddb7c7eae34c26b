//! Quarantine requests and records of the system of record, as they are counted.

use std::collections::BTreeMap;
use std::fmt::{Debug, Error, Formatter};

use imagefactory_crds::names::tenant_of_namespace;
use imagefactory_crds::quarantine_request::RequestPhase;
use imagefactory_crds::sor_record::Lifecycle;
use imagefactory_crds::{QuarantineRequest, SorRecord};
use kube::ResourceExt;
use kube::runtime::reflector::Store;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};

use super::Metrics;

/// What is counted of fetches from the system of record.
#[derive(Default)]
pub(super) struct SorFamilies {
    fetches: Family<FetchLabels, Counter>,
    rejected: Gauge,
    last: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FetchLabels {
    outcome: &'static str,
}

impl SorFamilies {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "sor_fetches",
            "Fetches from the system of record, by outcome",
            self.fetches.clone(),
        );
        registry.register(
            "sor_records_rejected",
            "Records of the last answer of the system of record that are bad and were not taken over",
            self.rejected.clone(),
        );
        registry.register_with_unit(
            "sor_last_fetch_timestamp",
            "When the system of record was last heard of; 0 until then",
            Unit::Seconds,
            self.last.clone(),
        );
    }
}

impl Metrics {
    /// Adds the counts of requests and records that exist, told only while this process leads.
    pub fn add_quarantine(&self, requests: Store<QuarantineRequest>, records: Store<SorRecord>) {
        self.add_collector(Quarantine {
            requests,
            records,
            leader: self.leader.clone(),
        });
    }

    /// It was fetched from the system of record: `fetched`, `unmodified` or `failed`.
    pub fn sor_fetched(&self, outcome: &'static str) {
        self.sor.fetches.get_or_create(&FetchLabels { outcome }).inc();
    }

    /// The system of record answered then, in seconds since the epoch.
    pub fn sor_heard(&self, at: i64) {
        self.sor.last.set(at);
    }

    /// So many records of the last answer are bad.
    pub fn sor_rejected(&self, count: usize) {
        self.sor.rejected.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

/// Requests that exist, by tenant and phase, and records, by lifecycle.
struct Quarantine {
    requests: Store<QuarantineRequest>,
    records: Store<SorRecord>,
    leader: Gauge,
}

impl Debug for Quarantine {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result<(), Error> {
        f.write_str("Quarantine")
    }
}

impl Collector for Quarantine {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        if self.leader.get() == 0 {
            return Ok(());
        }
        let help = "Quarantine requests that exist, by tenant and phase.";
        let mut family = encoder.encode_descriptor("quarantine_requests_current", help, None, MetricType::Gauge)?;
        for ((tenant, phase), count) in requests(&self.requests) {
            let labels = [("tenant", tenant.as_str()), ("phase", phase)];
            ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
        }
        let help = "Records of the system of record that exist, by lifecycle.";
        let mut family = encoder.encode_descriptor("sor_records_current", help, None, MetricType::Gauge)?;
        for (lifecycle, count) in records(&self.records) {
            ConstGauge::new(count).encode(family.encode_family(&[("lifecycle", lifecycle)])?)?;
        }
        Ok(())
    }
}

fn requests(requests: &Store<QuarantineRequest>) -> BTreeMap<(String, &'static str), i64> {
    let mut counts = BTreeMap::new();
    for request in requests.state() {
        let namespace = request.namespace().unwrap_or_default();
        let Some(tenant) = tenant_of_namespace(&namespace) else {
            continue;
        };
        let phase = request.status.as_ref().and_then(|status| status.phase);
        let phase = phase.map_or("New", RequestPhase::as_str);
        *counts.entry((tenant.to_owned(), phase)).or_default() += 1;
    }
    counts
}

/// Every lifecycle is told, so that an alert can see one go to 0.
fn records(records: &Store<SorRecord>) -> BTreeMap<&'static str, i64> {
    let mut counts: BTreeMap<_, _> = Lifecycle::ALL.map(|lifecycle| (lifecycle.as_str(), 0)).into();
    for record in records.state() {
        if let Some(lifecycle) = record.status.as_ref().and_then(|status| status.lifecycle) {
            *counts.entry(lifecycle.as_str()).or_default() += 1;
        }
    }
    counts
}

#[cfg(test)]
pub(super) mod tests {
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;
    use crate::testing::object;
    use crate::watches::Guarded;
    use crate::watches::Hubs;

    fn shown() -> Hubs {
        let hubs = Hubs::default();
        for (name, namespace, phase) in [
            ("a", "tenant-acme", "Failed"),
            ("b", "tenant-acme", "Failed"),
            ("c", "shop", "Failed"),
        ] {
            let request: QuarantineRequest = object(json!({
                "apiVersion": "imagefactory.dev/v1alpha1", "kind": "QuarantineRequest",
                "metadata": {"name": name, "namespace": namespace, "resourceVersion": "1"},
                "spec": {"source": {"image": "a"}, "justification": "a", "projectRef": {"name": "web"}},
                "status": {"observedGeneration": 1, "phase": phase},
            }));
            hubs.quarantine_requests.take(Event::Apply(Guarded(Ok(request))));
        }
        let record: SorRecord = object(json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "SorRecord",
            "metadata": {"name": "a", "resourceVersion": "1"},
            "spec": {"recordId": "APP-1"}, "status": {"observedGeneration": 1, "lifecycle": "Expiring"},
        }));
        hubs.sor_records.take(Event::Apply(Guarded(Ok(record))));
        hubs
    }

    /// A member of each family.
    pub(in crate::metrics) fn fill(metrics: &Metrics) {
        let hubs = shown();
        metrics.add_quarantine(hubs.quarantine_requests.store(), hubs.sor_records.store());
        metrics.sor_fetched("failed");
        metrics.sor_rejected(2);
        metrics.sor_heard(1_700_000_000);
    }

    #[test]
    fn requests_and_records_are_counted_by_the_process_that_leads() {
        let metrics = Metrics::default();
        fill(&metrics);
        assert!(!metrics.encode().unwrap().contains("requests_current"));
        metrics.set_leader(true);
        let text = metrics.encode().unwrap();
        for line in [
            "imagefactory_quarantine_requests_current{tenant=\"acme\",phase=\"Failed\"} 2",
            "imagefactory_sor_records_current{lifecycle=\"Expiring\"} 1",
            "imagefactory_sor_records_current{lifecycle=\"Active\"} 0",
            "imagefactory_sor_fetches_total{outcome=\"failed\"} 1",
            "imagefactory_sor_records_rejected 2",
            "imagefactory_sor_last_fetch_timestamp_seconds 1700000000",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("shop"), "{text}");
    }
}
