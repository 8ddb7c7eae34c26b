//! Gauges that are computed when somebody scrapes, from what is there then.

use std::collections::BTreeMap;
use std::fmt::{Debug, Error, Formatter};
use std::sync::Arc;

use imagefactory_crds::names::tenant_of_namespace;
use imagefactory_crds::{Build, build::Phase};
use kube::ResourceExt;
use kube::runtime::reflector::Store;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Unit;

use crate::dispatcher::Dispatcher;
use crate::watches::Heartbeats;
use imagefactory_serving::Gates;

/// Seconds since each watch was last heard of.
#[derive(Debug)]
pub struct Silence(pub Heartbeats);

impl Collector for Silence {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "Time since the API server was last heard of about a watched resource: event, bookmark or list.";
        let mut family =
            encoder.encode_descriptor("watch_last_event", help, Some(&Unit::Seconds), MetricType::Gauge)?;
        for (resource, silence) in self.0.all() {
            let gauge = ConstGauge::new(silence.as_secs_f64());
            gauge.encode(family.encode_family(&[("resource", resource)])?)?;
        }
        Ok(())
    }
}

/// Builds that exist, by tenant and phase; nothing where another process leads.
pub(super) struct BuildsByPhase {
    pub(super) builds: Store<Build>,
    pub(super) leader: Gauge,
}

impl Debug for BuildsByPhase {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result<(), Error> {
        f.write_str("BuildsByPhase")
    }
}

impl Collector for BuildsByPhase {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        if self.leader.get() == 0 {
            return Ok(());
        }
        let mut counts = BTreeMap::<(String, &'static str), i64>::new();
        for build in self.builds.state() {
            let namespace = build.namespace().unwrap_or_default();
            let Some(tenant) = tenant_of_namespace(&namespace) else {
                continue;
            };
            let phase = build
                .status
                .as_ref()
                .and_then(|status| status.phase)
                .map_or("New", Phase::as_str);
            *counts.entry((tenant.to_owned(), phase)).or_default() += 1;
        }
        let help = "Builds that exist, by tenant and phase.";
        let mut family = encoder.encode_descriptor("builds_current", help, None, MetricType::Gauge)?;
        for ((tenant, phase), count) in counts {
            let labels = [("tenant", tenant.as_str()), ("phase", phase)];
            ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Builds in the queue and builds that hold a slot, by tenant, as the process that acts knows them.
pub struct Queue(pub Arc<Dispatcher>);

impl Debug for Queue {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result<(), Error> {
        f.write_str("Queue")
    }
}

impl Collector for Queue {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        encode_queue(&self.0.counts(), encoder)
    }
}

/// Builds and scans that wait and that hold a slot, of each tenant.
pub(super) fn encode_queue(counts: &[(String, usize, u32)], mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
    let help = "Builds and scans that wait for a slot, by tenant.";
    let mut waiting = encoder.encode_descriptor("queue_length", help, None, MetricType::Gauge)?;
    for (tenant, count, _) in counts {
        let gauge = ConstGauge::new(i64::try_from(*count).unwrap_or(i64::MAX));
        gauge.encode(waiting.encode_family(&[("tenant", tenant.as_str())])?)?;
    }
    let help = "Builds and scans that hold a slot, by tenant.";
    let mut running = encoder.encode_descriptor("slots_taken", help, None, MetricType::Gauge)?;
    for (tenant, _, count) in counts {
        let gauge = ConstGauge::new(i64::from(*count));
        gauge.encode(running.encode_family(&[("tenant", tenant.as_str())])?)?;
    }
    Ok(())
}

/// 1 for each part of the process that is well, 0 for each that waits for something.
#[derive(Debug)]
pub struct Health(pub Gates);

impl Collector for Health {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "1 while a part of the process is well, 0 while it waits for something.";
        let mut family = encoder.encode_descriptor("component_healthy", help, None, MetricType::Gauge)?;
        for gate in self.0.states() {
            let gauge = ConstGauge::new(i64::from(gate.waits_for.is_none()));
            gauge.encode(family.encode_family(&[("component", gate.name)])?)?;
        }
        Ok(())
    }
}
