//! Which events wake which builds.

use std::sync::Arc;

use imagefactory_core::build::status::is_settled;
use imagefactory_crds::names::{LABEL_BUILD, LABEL_TENANT, tenant_namespace};
use imagefactory_crds::{Build, Project, Tenant};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};

use crate::controllers::project;
use crate::controllers::tenant::digest;
use crate::runner::Wiring;
use crate::watches::{Hubs, Index, News};

/// A build is woken by itself, by its pods and jobs, and, while it is not settled, by its project and its tenant.
pub(super) fn wiring(hubs: &Hubs) -> Wiring<Build> {
    let builds = hubs.builds.by_namespace();
    let (of_tenant, of_project) = (builds.clone(), builds);
    let news = News::of(hubs.tenants.store(), digest);
    let of_projects = News::of(hubs.projects.store(), project::digest);
    Wiring::new("build", &hubs.builds)
        .concurrency(32)
        .knows_its_writes()
        .also_on(hubs.pods.leads_to(|pod| build_of(&*pod)))
        .also_on(hubs.jobs.leads_to(|job| build_of(&*job)))
        .also_on(
            hubs.tenants
                .leads_to(move |tenant| builds_to_tell(&tenant, &news, &of_tenant)),
        )
        .also_on(
            hubs.projects
                .leads_to(move |project| builds_of_project(&project, &of_projects, &of_project)),
        )
}

/// The build that an object was made for, by its labels: owners do not cross namespaces.
fn build_of<K: Resource>(object: &K) -> Option<ObjectRef<Build>> {
    let labels = object.labels();
    let (tenant, build) = (labels.get(LABEL_TENANT)?, labels.get(LABEL_BUILD)?);
    Some(ObjectRef::new(build).within(&tenant_namespace(tenant)))
}

/// Builds of a tenant, where more has changed of it than what it uses.
fn builds_to_tell(tenant: &Tenant, news: &News<Tenant>, builds: &Index<Build>) -> Vec<ObjectRef<Build>> {
    if !news.is_news(tenant) {
        return Vec::new();
    }
    unsettled(builds, &tenant_namespace(&tenant.name_any()), |_| true)
}

/// Builds of a project, where more has changed of it than how its builds fare.
fn builds_of_project(project: &Project, news: &News<Project>, builds: &Index<Build>) -> Vec<ObjectRef<Build>> {
    if !news.is_news(project) {
        return Vec::new();
    }
    let namespace = project.metadata.namespace.as_deref().unwrap_or_default();
    unsettled(builds, namespace, |build| {
        Some(build.spec.project_ref.name.as_str()) == project.metadata.name.as_deref()
    })
}

fn unsettled(builds: &Index<Build>, namespace: &str, belongs: impl Fn(&Build) -> bool) -> Vec<ObjectRef<Build>> {
    let touched = |build: &&Arc<Build>| !is_settled(build.status.as_ref()) && belongs(build);
    let builds = builds.get(namespace);
    let touched = builds.iter().filter(touched);
    touched.map(|build| ObjectRef::from_obj(&**build)).collect()
}
