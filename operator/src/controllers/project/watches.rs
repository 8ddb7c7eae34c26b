//! Which events wake which projects.

use std::hash::{DefaultHasher, Hash, Hasher};

use futures::StreamExt;
use futures::stream::{BoxStream, select};
use imagefactory_core::tenant::status::POLICY_NOT_FOUND;
use imagefactory_crds::admission::quota::Limited;
use imagefactory_crds::conditions::{READY, find};
use imagefactory_crds::names::{tenant_namespace, tenant_of_namespace};
use imagefactory_crds::{Build, ImagePolicy, Project, Tenant};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::runner::Wiring;
use crate::watches::{Hubs, Index, News};

/// A project is woken by itself, by its builds, by its namespace, by an ImagePolicy that came or went, and where the tenant has a
/// quota of projects by that and by each project that comes or goes.
pub(super) fn wiring(hubs: &Hubs) -> Wiring<Project> {
    let (projects, policies) = (hubs.projects.store(), hubs.policies.store());
    let in_namespace = projects.clone();
    Wiring::new("project", &hubs.projects)
        .also_on(hubs.builds.leads_to(|build| project_of(&build)))
        .also_on(
            hubs.namespaces
                .leads_to(move |namespace| projects_in(&namespace, &in_namespace)),
        )
        .also_on(quota_wakes(hubs))
        .also_on(hubs.policies.leads_to(move |policy| {
            let exists = policies.get(&ObjectRef::from_obj(&*policy)).is_some();
            projects_to_tell(&policy, exists, &projects)
        }))
}

/// What of a project those read that belong to it: not how many builds it had, which is written every few seconds while some run.
pub(in crate::controllers) fn digest(project: &Project) -> u64 {
    let status = project.status.as_ref();
    let ready = status.and_then(|status| find(&status.conditions, READY));
    let read = (
        project.metadata.generation,
        project.metadata.deletion_timestamp.is_some(),
        ready.map(|ready| (&ready.status, &ready.reason)),
    );
    let mut hasher = DefaultHasher::new();
    read.hash(&mut hasher);
    hasher.finish()
}

/// Projects that may be within the quota now, or not any more.
pub(super) fn quota_wakes(hubs: &Hubs) -> BoxStream<'static, ObjectRef<Project>> {
    let (of_tenant, beside) = (hubs.projects.by_namespace(), hubs.projects.by_namespace());
    let (quotas, tenants) = (News::of(hubs.tenants.store(), quota), hubs.tenants.store());
    let by_tenants = hubs.tenants.leads_to(move |tenant| {
        let namespace = tenant_namespace(&tenant.name_any());
        all_of(&of_tenant, quotas.is_news(&tenant).then_some(&*namespace))
    });
    let come_or_gone = News::of(hubs.projects.store(), |_| 0);
    let by_projects = hubs.projects.leads_to(move |project| {
        let namespace = project.metadata.namespace.as_deref();
        let concerns = |namespace: &&str| is_limited(namespace, &tenants) && come_or_gone.is_news(&project);
        all_of(&beside, namespace.filter(concerns))
    });
    select(by_tenants, by_projects).boxed()
}

/// How many projects a tenant may have.
fn quota(tenant: &Tenant) -> u64 {
    Limited::Projects.limit(tenant).map_or(u64::MAX, u64::from)
}

fn is_limited(namespace: &str, tenants: &Store<Tenant>) -> bool {
    let tenant = tenant_of_namespace(namespace).and_then(|name| tenants.get(&ObjectRef::new(name)));
    tenant.is_some_and(|tenant| Limited::Projects.limit(&tenant).is_some())
}

fn all_of(projects: &Index<Project>, namespace: Option<&str>) -> Vec<ObjectRef<Project>> {
    let found = namespace.map(|namespace| projects.get(namespace)).unwrap_or_default();
    found.iter().map(|project| ObjectRef::from_obj(&**project)).collect()
}

/// The project that a build names, whether it exists or not.
fn project_of(build: &Build) -> Option<ObjectRef<Project>> {
    Some(ObjectRef::new(&build.spec.project_ref.name).within(&build.namespace()?))
}

fn projects_in(namespace: &Namespace, projects: &Store<Project>) -> Vec<ObjectRef<Project>> {
    let here = |project: &Project| project.metadata.namespace == namespace.metadata.name;
    projects
        .state()
        .iter()
        .filter(|project| here(project))
        .map(|project| ObjectRef::from_obj(&**project))
        .collect()
}

/// Projects that name the policy and say otherwise than `exists`.
fn projects_to_tell(policy: &ImagePolicy, exists: bool, projects: &Store<Project>) -> Vec<ObjectRef<Project>> {
    let name = policy.name_any();
    let misses_it = |project: &Project| {
        let ready = project
            .status
            .as_ref()
            .and_then(|status| find(&status.conditions, READY));
        ready.is_some_and(|ready| ready.reason == POLICY_NOT_FOUND)
    };
    let names_it = |project: &Project| {
        project
            .spec
            .policy_ref
            .as_ref()
            .is_some_and(|policy| *policy.name == *name)
    };
    let concerned = |project: &Project| names_it(project) && misses_it(project) == exists;
    projects
        .state()
        .iter()
        .filter(|project| concerned(project))
        .map(|project| ObjectRef::from_obj(&**project))
        .collect()
}
