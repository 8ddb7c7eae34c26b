//! What the process counts. Labels are bounded sets: no name of a build or an image is ever one.
//!
//! Two kinds: families that code counts into (here), and gauges computed on scrape from what is there
//! ([`scrape`]). Requests to the API server are counted by the client itself ([`requests`]).

mod archive;
mod bounded;
mod families;
mod quarantine;
pub mod requests;
mod scrape;
mod telling;
mod verdicts;

#[cfg(test)]
mod shown;
#[cfg(test)]
mod tests;

pub use archive::{LogOutcome, LogsWaiting};
use scrape::BuildsByPhase;
pub use scrape::{Health, Queue, Silence};
pub use telling::Telling;

use std::time::Duration;

use imagefactory_crds::Build;
use imagefactory_serving::Exposition;
use kube::runtime::reflector::Store;
use prometheus_client::collector::Collector;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::watches::Heartbeats;
use bounded::Bounded;
use families::{
    Buckets, BuildLabels, ControllerLabels, CpuLabels, DurationLabels, KindLabels, OutcomeLabels, RequestLabels,
    RetryLabels, ScanLabels, Seconds, TenantLabels, VerdictLabels, seconds,
};
use requests::Request;

/// Everything that the process counts.
pub struct Metrics {
    shown: Exposition,
    heartbeats: Heartbeats,
    leader: Gauge,
    reconciles: Family<OutcomeLabels, Counter>,
    reconcile_duration: Seconds<ControllerLabels>,
    requests: Family<RequestLabels, Counter>,
    builds: Bounded<BuildLabels, Counter>,
    build_duration: Seconds<DurationLabels>,
    verdicts: Bounded<VerdictLabels, Counter>,
    scans: Bounded<ScanLabels, Counter>,
    queue_wait: Bounded<TenantLabels, Histogram, Buckets>,
    retries: Bounded<RetryLabels, Counter>,
    cpu: Bounded<CpuLabels, Counter>,
    malformed: Family<KindLabels, Counter>,
    archive: archive::ArchiveFamilies,
    sor: quarantine::SorFamilies,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            shown: Exposition::new(env!("CARGO_PKG_VERSION")),
            heartbeats: Heartbeats::default(),
            leader: Gauge::default(),
            reconciles: Family::default(),
            reconcile_duration: seconds(families::SHORT),
            requests: Family::default(),
            builds: Bounded::default(),
            build_duration: seconds(families::LONG),
            verdicts: Bounded::default(),
            scans: Bounded::default(),
            queue_wait: seconds(families::WAIT).into(),
            retries: Bounded::default(),
            cpu: Bounded::default(),
            malformed: Family::default(),
            archive: archive::ArchiveFamilies::default(),
            sor: quarantine::SorFamilies::default(),
        };
        metrics.shown.register(|registry| metrics.register(registry));
        metrics
    }
}

impl Metrics {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "leader",
            "1 while this process is the one that acts, else 0",
            self.leader.clone(),
        );
        registry.register(
            "reconcile",
            "Reconciles by controller and outcome",
            self.reconciles.clone(),
        );
        registry.register_with_unit(
            "reconcile_duration",
            "Time that a reconcile took",
            Unit::Seconds,
            self.reconcile_duration.clone(),
        );
        registry.register(
            "api_requests",
            "Requests to the API server by verb, resource and class of answer",
            self.requests.clone(),
        );
        registry.register(
            "malformed_objects",
            "Objects that did not parse, counted once for each generation of each object",
            self.malformed.clone(),
        );
        self.register_builds(registry);
        self.archive.register(registry);
        self.sor.register(registry);
        registry.register_collector(Box::new(Silence(self.heartbeats.clone())));
    }

    fn register_builds(&self, registry: &mut Registry) {
        registry.register(
            "builds",
            "Builds that ended, by tenant, project, method and result",
            self.builds.family(),
        );
        registry.register_with_unit(
            "build_duration",
            "Time from dispatch to the end of a build, by method and result",
            Unit::Seconds,
            self.build_duration.clone(),
        );
        registry.register_with_unit(
            "queue_wait",
            "Time from a Build's creation, or from when its retry was due, to its dispatch, by tenant",
            Unit::Seconds,
            self.queue_wait.family(),
        );
        registry.register(
            "build_retries",
            "Attempts that failed and are made again, by tenant and class of failure",
            self.retries.family(),
        );
        registry.register_with_unit(
            "build_cpu",
            "Processor time of containers that build, as they tell it themselves, by tenant and method",
            Unit::Seconds,
            self.cpu.family(),
        );
        registry.register(
            "scan_verdicts",
            "Images that were judged, by tenant, verdict and the worst severity that was found",
            self.verdicts.family(),
        );
        registry.register(
            "image_scans",
            "On-demand scans that ended, by tenant and result",
            self.scans.family(),
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

    /// Adds the count of builds that exist, told only while this process leads: each replica has the same builds in
    /// its cache, and a sum over all processes is to be right.
    pub fn add_builds(&self, builds: Store<Build>) {
        self.add_collector(BuildsByPhase {
            builds,
            leader: self.leader.clone(),
        });
    }

    /// When each watch was last heard of.
    #[must_use]
    pub fn heartbeats(&self) -> &Heartbeats {
        &self.heartbeats
    }

    /// Whether this process is the one that acts.
    pub fn set_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// A reconcile ended. `outcome` is one of a fixed set of words.
    pub fn reconciled(&self, controller: &'static str, outcome: &'static str, took: Duration) {
        self.reconciles
            .get_or_create(&OutcomeLabels { controller, outcome })
            .inc();
        self.reconcile_duration
            .get_or_create(&ControllerLabels { controller })
            .observe(took.as_secs_f64());
    }

    /// The API server answered a request; `code` is the class of its answer.
    pub fn requested(&self, request: &Request, code: &'static str) {
        let Request { verb, resource } = *request;
        self.requests
            .get_or_create(&RequestLabels { verb, resource, code })
            .inc();
    }

    /// A build came to its end. To be called once for each build, when its end was written into its status;
    /// `took` is absent where the build was never dispatched.
    pub fn build_settled(&self, build: SettledBuild<'_>, took: Option<Duration>) {
        let SettledBuild {
            tenant,
            project,
            method,
            result,
        } = build;
        let labels = BuildLabels {
            tenant: tenant.to_owned(),
            project: project.to_owned(),
            method,
            result,
        };
        self.builds.series(labels).inc();
        if let Some(took) = took {
            self.build_duration
                .get_or_create(&DurationLabels { method, result })
                .observe(took.as_secs_f64());
        }
    }

    /// A build of this tenant was dispatched after so long.
    pub fn build_dispatched(&self, tenant: &str, waited: Duration) {
        let labels = TenantLabels {
            tenant: tenant.to_owned(),
        };
        self.queue_wait.series(labels).observe(waited.as_secs_f64());
    }

    /// An attempt failed and is made again.
    pub fn build_retried(&self, tenant: &str, class: &'static str) {
        let tenant = tenant.to_owned();
        self.retries.series(RetryLabels { tenant, class }).inc();
    }

    /// A container that builds, by this method, told that it used so much processor time.
    pub fn build_used(&self, tenant: &str, method: &'static str, cpu_seconds: u32) {
        let tenant = tenant.to_owned();
        let labels = CpuLabels { tenant, method };
        self.cpu.series(labels).inc_by(u64::from(cpu_seconds));
    }

    /// It was decided what becomes of a log.
    pub fn log_decided(&self, outcome: LogOutcome, bytes: u64) {
        self.archive.decided(outcome, bytes);
    }

    /// A try to keep a log failed: `cause` is `store` or `source`.
    pub fn log_failed(&self, cause: &'static str) {
        self.archive.failed(cause);
    }

    /// An object of this kind (plural) does not parse.
    pub fn malformed_object(&self, kind: &str) {
        self.malformed
            .get_or_create(&KindLabels { kind: kind.to_owned() })
            .inc();
    }
}

/// A build that came to its end, as it is counted.
#[derive(Clone, Copy, Debug)]
pub struct SettledBuild<'a> {
    /// Name of the Tenant.
    pub tenant: &'a str,
    /// Name of a Project that exists; empty where the build named one that does not (the label stays bounded).
    pub project: &'a str,
    /// [`imagefactory_crds::build::Method::as_str`].
    pub method: &'static str,
    /// [`imagefactory_crds::build::Phase::as_str`], or the failure's class.
    pub result: &'static str,
}
