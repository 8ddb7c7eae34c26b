//! Every kind is watched once, cluster-wide, and shared by all controllers.
//!
//! [`Hubs`] holds one [`Hub`] per kind: a store to read from and streams to be woken by. Watches run on followers too,
//! so that a process that becomes leader starts with warm caches.

mod feed;
mod heartbeat;
mod hub;
mod index;
mod news;
mod policies;
mod pump;
pub mod trim;

#[cfg(test)]
mod tests;

pub use feed::Malformed;
pub use heartbeat::Heartbeats;
pub use hub::{Hub, Watched};
pub use imagefactory_serving::Guarded;
pub use index::{Index, Key};
pub use news::News;
pub use policies::PolicySet;
pub use pump::{Selection, watch};

use std::sync::Arc;

use imagefactory_core::partial::{Job, Pod};
use imagefactory_crds::names::{LABEL_BUILD_UID, LABEL_MANAGED_BY, LABEL_TENANT, MANAGED_BY};
use imagefactory_crds::{Build, ImagePolicy, ImageScan, Project, QuarantineRequest, SorRecord, Tenant, TenantSettings};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::runtime::reflector::Store;
use kube::{Client, ResourceExt};
use tokio::task::JoinSet;

use crate::metrics::Metrics;

/// One hub for each watched kind.
#[derive(Clone)]
pub struct Hubs {
    /// All Tenants.
    pub tenants: Hub<Tenant>,
    /// All TenantSettings.
    pub tenant_settings: Hub<TenantSettings>,
    /// All Projects.
    pub projects: Hub<Project>,
    /// All Builds; those that have ended are trimmed, see [`trim`].
    pub builds: Hub<Build>,
    /// All ImagePolicies.
    pub policies: Hub<ImagePolicy>,
    /// All SorRecords.
    pub sor_records: Hub<SorRecord>,
    /// All QuarantineRequests.
    pub quarantine_requests: Hub<QuarantineRequest>,
    /// All ImageScans; those that have ended are trimmed, see [`trim`].
    pub image_scans: Hub<ImageScan>,
    /// Namespaces with our label.
    pub namespaces: Hub<Namespace>,
    /// RoleBindings that we manage.
    pub role_bindings: Hub<RoleBinding>,
    /// Pods of builds and scans: those of jobs too. Trimmed, see [`trim`].
    pub pods: Hub<Pod>,
    /// Jobs of builds and scans. Trimmed, see [`trim`].
    pub jobs: Hub<Job>,
}

/// The stores of all hubs. Reading one never waits.
#[derive(Clone)]
pub struct Stores {
    /// All Tenants.
    pub tenants: Store<Tenant>,
    /// All TenantSettings.
    pub tenant_settings: Store<TenantSettings>,
    /// All Projects.
    pub projects: Store<Project>,
    /// The same by their namespace.
    pub projects_by_namespace: Index<Project>,
    /// All Builds; those that have ended are trimmed, see [`trim`].
    pub builds: Store<Build>,
    /// The same by their namespace.
    pub builds_by_namespace: Index<Build>,
    /// All ImagePolicies.
    pub policies: Store<ImagePolicy>,
    /// The same as decisions read them.
    pub policy_set: PolicySet,
    /// All SorRecords.
    pub sor_records: Store<SorRecord>,
    /// The same by their id in the system of record.
    pub sor_records_by_id: Index<SorRecord>,
    /// All QuarantineRequests.
    pub quarantine_requests: Store<QuarantineRequest>,
    /// The same by their namespace.
    pub quarantine_requests_by_namespace: Index<QuarantineRequest>,
    /// All ImageScans; those that have ended are trimmed, see [`trim`].
    pub image_scans: Store<ImageScan>,
    /// Namespaces with our label.
    pub namespaces: Store<Namespace>,
    /// RoleBindings that we manage.
    pub role_bindings: Store<RoleBinding>,
    /// Pods of builds, trimmed.
    pub pods: Store<Pod>,
    /// The same by their job, see [`of_job`]; those that build have none.
    pub pods_by_job: Index<Pod>,
    /// Scan and publish jobs, trimmed.
    pub jobs: Store<Job>,
}

/// Label of a job's pods, by which Kubernetes names it.
pub(crate) const LABEL_JOB: &str = "job-name";

/// Key of a job's pods in [`Stores::pods_by_job`].
#[must_use]
pub fn of_job(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

fn job_of(pod: &Pod) -> Option<String> {
    Some(of_job(pod.metadata.namespace.as_deref()?, pod.labels().get(LABEL_JOB)?))
}

fn record_id(record: &SorRecord) -> Option<String> {
    Some(record.spec.record_id.0.clone())
}

fn record_asked_for(request: &QuarantineRequest) -> Option<String> {
    request.spec.sor_record_id.as_ref().map(|id| id.0.clone())
}

impl Default for Hubs {
    fn default() -> Self {
        Self {
            tenants: Hub::default(),
            tenant_settings: Hub::default(),
            projects: Hub::default(),
            builds: Hub::default(),
            policies: Hub::default(),
            sor_records: Hub::indexed(record_id),
            quarantine_requests: Hub::indexed(record_asked_for),
            image_scans: Hub::default(),
            namespaces: Hub::default(),
            role_bindings: Hub::default(),
            pods: Hub::indexed(job_of),
            jobs: Hub::default(),
        }
    }
}

impl Hubs {
    /// Plural names of all watched kinds, and whether the first list of each was read.
    #[must_use]
    pub fn synced(&self) -> [(&'static str, bool); 12] {
        [
            ("tenants", self.tenants.is_synced()),
            ("tenantsettings", self.tenant_settings.is_synced()),
            ("projects", self.projects.is_synced()),
            ("builds", self.builds.is_synced()),
            ("imagepolicies", self.policies.is_synced()),
            ("sorrecords", self.sor_records.is_synced()),
            ("quarantinerequests", self.quarantine_requests.is_synced()),
            ("imagescans", self.image_scans.is_synced()),
            ("namespaces", self.namespaces.is_synced()),
            ("rolebindings", self.role_bindings.is_synced()),
            ("pods", self.pods.is_synced()),
            ("jobs", self.jobs.is_synced()),
        ]
    }

    /// The stores of all hubs.
    #[must_use]
    pub fn stores(&self) -> Stores {
        Stores {
            tenants: self.tenants.store(),
            tenant_settings: self.tenant_settings.store(),
            projects: self.projects.store(),
            projects_by_namespace: self.projects.by_namespace(),
            builds: self.builds.store(),
            builds_by_namespace: self.builds.by_namespace(),
            policies: self.policies.store(),
            policy_set: PolicySet::new(self.policies.store()),
            sor_records: self.sor_records.store(),
            sor_records_by_id: self.sor_records.index(),
            quarantine_requests: self.quarantine_requests.store(),
            quarantine_requests_by_namespace: self.quarantine_requests.by_namespace(),
            image_scans: self.image_scans.store(),
            namespaces: self.namespaces.store(),
            role_bindings: self.role_bindings.store(),
            pods: self.pods.store(),
            pods_by_job: self.pods.index(),
            jobs: self.jobs.store(),
        }
    }

    /// Starts every watch as a task.
    pub fn start(&self, client: &Client, metrics: &Arc<Metrics>, tasks: &mut JoinSet<()>) {
        let ours = format!("{LABEL_MANAGED_BY}={MANAGED_BY}");
        tasks.spawn(watch(
            client,
            self.tenants.clone(),
            Selection::all(trim::object),
            metrics.clone(),
        ));
        tasks.spawn(watch(
            client,
            self.tenant_settings.clone(),
            Selection::all(trim::object),
            metrics.clone(),
        ));
        tasks.spawn(watch(
            client,
            self.projects.clone(),
            Selection::all(trim::object),
            metrics.clone(),
        ));
        tasks.spawn(watch(
            client,
            self.builds.clone(),
            Selection::all(trim::build),
            metrics.clone(),
        ));
        tasks.spawn(watch(
            client,
            self.policies.clone(),
            Selection::all(trim::object),
            metrics.clone(),
        ));
        tasks.spawn(watch(
            client,
            self.sor_records.clone(),
            Selection::all(trim::object),
            metrics.clone(),
        ));
        tasks.spawn(watch(
            client,
            self.quarantine_requests.clone(),
            Selection::all(trim::object),
            metrics.clone(),
        ));
        tasks.spawn(watch(
            client,
            self.image_scans.clone(),
            Selection::all(trim::image_scan),
            metrics.clone(),
        ));
        let of_tenants = Selection::labelled(LABEL_TENANT, trim::object);
        tasks.spawn(watch(client, self.namespaces.clone(), of_tenants, metrics.clone()));
        let managed = Selection::labelled(ours, trim::object);
        tasks.spawn(watch(client, self.role_bindings.clone(), managed, metrics.clone()));
        let of_builds = Selection::labelled(LABEL_BUILD_UID, trim::pod);
        tasks.spawn(watch(client, self.pods.clone(), of_builds, metrics.clone()));
        let of_builds = Selection::labelled(LABEL_BUILD_UID, trim::job);
        tasks.spawn(watch(client, self.jobs.clone(), of_builds, metrics.clone()));
    }
}
