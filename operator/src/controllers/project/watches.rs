//! Which events wake which projects.

use imagefactory_core::tenant::status::POLICY_NOT_FOUND;
use imagefactory_crds::conditions::{READY, find};
use imagefactory_crds::{Build, ImagePolicy, Project};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::runner::Wiring;
use crate::watches::Hubs;

/// A project is woken by itself, by its builds, by its namespace, and by an ImagePolicy that came or went.
pub(super) fn wiring(hubs: &Hubs) -> Wiring<Project> {
    let (projects, policies) = (hubs.projects.store(), hubs.policies.store());
    let in_namespace = projects.clone();
    Wiring::new("project", &hubs.projects)
        .also_on(hubs.builds.leads_to(|build| project_of(&build)))
        .also_on(
            hubs.namespaces
                .leads_to(move |namespace| projects_in(&namespace, &in_namespace)),
        )
        .also_on(hubs.policies.leads_to(move |policy| {
            let exists = policies.get(&ObjectRef::from_obj(&*policy)).is_some();
            projects_to_tell(&policy, exists, &projects)
        }))
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
