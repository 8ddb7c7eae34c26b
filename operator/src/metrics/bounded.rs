//! Families whose labels name tenants and projects. These come and go, and their series go with them: what was ever
//! counted would else fill memory, and every scrape, until the process ends.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use imagefactory_crds::names::tenant_namespace;
use imagefactory_crds::{Project, Tenant};
use kube::runtime::reflector::{ObjectRef, Store};
use prometheus_client::metrics::family::{Family, MetricConstructor};

use super::Metrics;

/// A family that knows its series by their labels: one of the library's does not tell them.
pub(super) struct Bounded<L, M, C = fn() -> M> {
    family: Family<L, M, C>,
    known: Mutex<HashSet<L>>,
}

impl<L, M, C> From<Family<L, M, C>> for Bounded<L, M, C> {
    fn from(family: Family<L, M, C>) -> Self {
        Self {
            family,
            known: Mutex::default(),
        }
    }
}

impl<L: Clone + Eq + Hash, M: Default> Default for Bounded<L, M> {
    fn default() -> Self {
        Family::default().into()
    }
}

impl<L: Clone + Eq + Hash, M: Clone, C: MetricConstructor<M> + Clone> Bounded<L, M, C> {
    /// What is registered.
    pub(super) fn family(&self) -> Family<L, M, C> {
        self.family.clone()
    }

    /// The series with these labels.
    pub(super) fn series(&self, labels: L) -> M {
        let mut known = self.known();
        let series = self.family.get_or_create_owned(&labels);
        known.insert(labels);
        series
    }

    /// Drops every series but those whose labels stay.
    fn keep(&self, stays: impl Fn(&L) -> bool) {
        self.known().retain(|labels| {
            let stays = stays(labels);
            if !stays {
                self.family.remove(labels);
            }
            stays
        });
    }

    fn known(&self) -> MutexGuard<'_, HashSet<L>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Metrics {
    /// Drops what is counted of tenants and projects that do not exist. To be called now and then, with stores that have
    /// had their first list. One that is made again under its name begins at 0, which is a counter's reset; what is counted of
    /// no tenant or no project stays, under the empty name.
    pub fn keep_only(&self, tenants: &Store<Tenant>, projects: &Store<Project>) {
        let is_tenant = |tenant: &str| tenant.is_empty() || tenants.get(&ObjectRef::new(tenant)).is_some();
        let is_project = |tenant: &str, project: &str| {
            let key = || ObjectRef::new(project).within(&tenant_namespace(tenant));
            project.is_empty() || projects.get(&key()).is_some()
        };
        self.builds
            .keep(|of| is_tenant(&of.tenant) && is_project(&of.tenant, &of.project));
        self.verdicts.keep(|of| is_tenant(&of.tenant));
        self.scans.keep(|of| is_tenant(&of.tenant));
        self.queue_wait.keep(|of| is_tenant(&of.tenant));
        self.retries.keep(|of| is_tenant(&of.tenant));
        self.cpu.keep(|of| is_tenant(&of.tenant));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::super::SettledBuild;
    use super::super::verdicts::tests::status;
    use super::*;
    use crate::testing::{self, object};
    use crate::watches::{Guarded, Hubs};

    fn tenant(name: &str) -> Guarded<Tenant> {
        Guarded(Ok(object(json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Tenant",
            "metadata": {"name": name, "resourceVersion": "1"},
            "spec": {"owners": [{"kind": "User", "name": "anna"}]},
        }))))
    }

    /// The project of that name of tenant acme.
    fn project(name: &str) -> Guarded<Project> {
        Guarded(Ok(object(testing::project(name, 1))))
    }

    /// One of everything that is counted of a tenant.
    fn count(metrics: &Metrics, tenant: &str, project: &str) {
        let build = SettledBuild {
            tenant,
            project,
            method: "kaniko",
            result: "Succeeded",
        };
        metrics.build_settled(build, None);
        metrics.judged(tenant, &status("Pass", Some([0; 5])));
        metrics.scan_settled(tenant, "Succeeded", &imagefactory_crds::ImageScanStatus::default());
        metrics.build_dispatched(tenant, Duration::ZERO);
        metrics.build_retried(tenant, "Pull");
        metrics.build_used(tenant, "kaniko", 3);
    }

    fn keep(metrics: &Metrics, hubs: &Hubs) -> String {
        metrics.keep_only(&hubs.tenants.store(), &hubs.projects.store());
        metrics.encode().unwrap()
    }

    #[test]
    fn series_go_with_their_project_and_all_of_a_tenants_with_the_tenant() {
        let (metrics, hubs) = (Metrics::default(), Hubs::default());
        hubs.tenants.take(Event::Apply(tenant("acme")));
        for name in ["web", "api"] {
            hubs.projects.take(Event::Apply(project(name)));
            count(&metrics, "acme", name);
        }
        count(&metrics, "", "");
        count(&metrics, "acme", "");
        let before = metrics.encode().unwrap();
        assert_eq!(
            keep(&metrics, &hubs).lines().count(),
            before.lines().count(),
            "all are there"
        );

        hubs.projects.take(Event::Delete(project("web")));
        let text = keep(&metrics, &hubs);
        let of_builds = |project: &str| {
            format!(
                "imagefactory_builds_total{{tenant=\"acme\",project=\"{project}\",method=\"kaniko\",result=\"Succeeded\"}} 1"
            )
        };
        assert!(!text.contains(&of_builds("web")), "{text}");
        assert!(
            text.contains(&of_builds("api")) && text.contains(&of_builds("")),
            "{text}"
        );
        assert_eq!(text.lines().count(), before.lines().count() - 1, "nothing else");

        hubs.tenants.take(Event::Delete(tenant("acme")));
        let text = keep(&metrics, &hubs);
        assert!(!text.contains("acme"), "{text}");
        assert_eq!(
            text.matches("tenant=\"\"").count(),
            before.matches("tenant=\"\"").count()
        );
    }

    #[test]
    fn one_that_is_made_again_is_counted_from_nothing() {
        let (metrics, hubs) = (Metrics::default(), Hubs::default());
        count(&metrics, "acme", "web");
        assert!(!keep(&metrics, &hubs).contains("acme"));
        hubs.tenants.take(Event::Apply(tenant("acme")));
        hubs.projects.take(Event::Apply(project("web")));
        count(&metrics, "acme", "web");
        let text = keep(&metrics, &hubs);
        let used = "imagefactory_build_cpu_seconds_total{tenant=\"acme\",method=\"kaniko\"} 3";
        assert!(text.contains(used), "{text}");
    }
}
