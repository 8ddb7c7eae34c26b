//! What decisions rest on: kinds that are watched, and what of them matters to one request.

pub mod beats;
mod cache;
mod feed;
pub(crate) mod known;
mod pause;

pub use cache::{Cache, Knowledge};
pub use feed::Watched;
pub use known::{Known, Platform};

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use imagefactory_crds::names::{ANNOTATION_TENANT_UID, LABEL_TENANT};
use imagefactory_crds::{ImagePolicy, Project, SorRecord, Tenant, TenantSettings, TenantStatus};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Client, ResourceExt};

use beats::Listen;
use feed::Watching;

/// All that is watched.
#[derive(Clone)]
pub struct Caches {
    pub(crate) tenants: Cache<Tenant>,
    pub(crate) settings: Cache<TenantSettings>,
    pub(crate) projects: Cache<Project>,
    pub(crate) namespaces: Cache<Namespace>,
    pub(crate) policies: Cache<ImagePolicy>,
    pub(crate) records: Cache<SorRecord>,
    limit: Duration,
}

/// Calls a macro's body for each cache, so that a kind more is a field and a line.
macro_rules! each {
    ($caches:expr, $cache:ident => $body:expr) => {{
        let all = $caches;
        vec![
            {
                let $cache = &all.tenants;
                $body
            },
            {
                let $cache = &all.settings;
                $body
            },
            {
                let $cache = &all.projects;
                $body
            },
            {
                let $cache = &all.namespaces;
                $body
            },
            {
                let $cache = &all.policies;
                $body
            },
            {
                let $cache = &all.records;
                $body
            },
        ]
    }};
}

impl Caches {
    /// Empty ones, that are too old when nothing was heard of a watch for longer than `limit`.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self {
            tenants: Cache::of("tenants"),
            settings: Cache::of("tenantsettings"),
            projects: Cache::of("projects"),
            namespaces: Cache::of("namespaces"),
            policies: Cache::of("imagepolicies"),
            records: Cache::of("sorrecords"),
            limit,
        }
    }

    /// What notes for each of them when its watch is heard of.
    #[must_use]
    pub fn listen(&self) -> Listen {
        Listen::to(each!(self, cache => (cache.resource(), cache.beat().clone())))
    }

    /// How old the knowledge of each is.
    #[must_use]
    pub fn knowledge(&self) -> Vec<(&'static str, Knowledge)> {
        each!(self, cache => (cache.resource(), cache.knowledge()))
    }

    /// How old it may be.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Fills all of them at once, as lists would: objects by the plural names of their kinds. For tests and benchmarks.
    ///
    /// # Errors
    /// When an object is none of its kind.
    pub fn fill(&self, objects: &serde_json::Value) -> Result<(), serde_json::Error> {
        each!(self, cache => cache.fill(&objects[cache.resource()]))
            .into_iter()
            .collect()
    }

    /// The watches, to be run for as long as the process lives.
    #[must_use]
    pub fn watches(&self, client: &Client) -> Vec<BoxFuture<'static, ()>> {
        vec![
            self.feed(client, &self.tenants, None, keep_usage),
            self.feed(client, &self.settings, None, |settings| settings.status = None),
            self.feed(client, &self.projects, None, |project| project.status = None),
            self.feed(client, &self.namespaces, Some(LABEL_TENANT), trim_namespace),
            self.feed(client, &self.policies, None, |policy| policy.status = None),
            // How long a record is trusted stands in its status.
            self.feed(client, &self.records, None, |_| ()),
        ]
    }

    /// A connection that died is replaced when half of what is trusted is over, before anything is refused for it.
    fn feed<K: Watched>(
        &self,
        client: &Client,
        cache: &Cache<K>,
        labels: Option<&'static str>,
        trim: fn(&mut K),
    ) -> BoxFuture<'static, ()> {
        let silence = self.limit / 2;
        feed::feed(client, cache.clone(), &Watching { labels, trim, silence }).boxed()
    }
}

/// Keeps of a Tenant's status what is counted against its quota, where that sets limits.
fn keep_usage(tenant: &mut Tenant) {
    let quota = tenant.spec.quota.as_ref();
    let is_limited = quota.is_some_and(|quota| {
        let limits = [quota.builds, quota.builds_per_hour, quota.open_quarantine_requests];
        limits.iter().any(Option::is_some)
    });
    let usage = tenant.status.take().and_then(|status| status.usage);
    tenant.status = usage.filter(|_| is_limited).map(|usage| TenantStatus {
        usage: Some(usage),
        ..TenantStatus::default()
    });
}

/// Keeps whose it is, and whether it leaves.
fn trim_namespace(namespace: &mut Namespace) {
    namespace.spec = None;
    namespace.status = None;
    namespace
        .annotations_mut()
        .retain(|key, _| key == ANNOTATION_TENANT_UID);
    namespace.labels_mut().retain(|key, _| key == LABEL_TENANT);
}
