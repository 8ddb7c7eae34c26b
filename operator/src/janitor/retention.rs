//! Removes finished builds that nobody wants to keep, as Project, TenantSettings and the chart say. Which, the core
//! decides from what is watched; a build goes last, when nothing that was made for it is left.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use imagefactory_core::retention::{Finished, IN_A_PASS, Limits, due};
use imagefactory_crds::names::{LABEL_BUILD_UID, TENANT_SETTINGS, tenant_of_namespace};
use imagefactory_crds::{Build, Project, TenantSettings};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use tracing::{info, warn};

use super::staged::Staged;
use crate::apply::{self, Write};
use crate::context::Context;

/// Failed removals after which a round gives up: the API server may be down, and the janitor has other work.
const FAILURES: usize = 10;

/// Namespace and name of a Project.
type Key = (String, String);

pub(super) async fn sweep(staged: &Staged, context: &Context) {
    let due = all_due(context);
    if due.is_empty() {
        return;
    }
    let left = uids_of_what_is_left(context);
    let may_go = |build: &Arc<Build>| {
        let is_last = build.uid().is_some_and(|uid| !left.contains(&uid));
        is_last && staged.is_done_with(build, context)
    };
    let mut failures = 0;
    for build in due.iter().filter(|build| may_go(build)).take(IN_A_PASS) {
        failures += usize::from(!remove(build, context).await);
        if failures >= FAILURES {
            warn!("builds are not removed now, as retention says; tried again in the next round");
            return;
        }
    }
}

/// What is due in all projects, oldest first.
fn all_due(context: &Context) -> Vec<Arc<Build>> {
    let mut projects: HashMap<Key, Option<Of>> = HashMap::new();
    for build in context.stores.builds.state() {
        let key = (
            build.namespace().unwrap_or_default(),
            build.spec.project_ref.name.0.clone(),
        );
        let of = projects.entry(key).or_insert_with_key(|key| Of::project(key, context));
        if let (Some(of), Some(finished)) = (of, Finished::of(&build)) {
            of.builds.insert(finished.name.clone(), build);
            of.finished.push(finished);
        }
    }
    let mut all: Vec<(Finished, Arc<Build>)> = projects
        .into_values()
        .flatten()
        .flat_map(|of| of.due(context))
        .collect();
    all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    all.into_iter().map(|(_, build)| build).collect()
}

/// A project of which builds may go.
struct Of {
    limits: Limits,
    finished: Vec<Finished>,
    builds: HashMap<String, Arc<Build>>,
}

impl Of {
    fn project((namespace, name): &Key, context: &Context) -> Option<Self> {
        let _ = tenant_of_namespace(namespace)?;
        let stores = &context.stores;
        let project = stores.projects.get(&ObjectRef::<Project>::new(name).within(namespace));
        let settings = stores
            .tenant_settings
            .get(&ObjectRef::<TenantSettings>::new(TENANT_SETTINGS).within(namespace));
        let platform = &context.settings.builds.retention;
        Some(Self {
            limits: Limits::of(project.as_deref(), settings.as_deref(), platform)?,
            finished: Vec::new(),
            builds: HashMap::new(),
        })
    }

    fn due(self, context: &Context) -> impl Iterator<Item = (Finished, Arc<Build>)> {
        let Self {
            limits,
            finished,
            mut builds,
        } = self;
        due(finished, &limits, context.now())
            .into_iter()
            .filter_map(move |finished| Some((finished.clone(), builds.remove(&finished.name)?)))
    }
}

/// Builds that a pod or a job is left of: it goes before them, when its logs are safe and its time is over.
fn uids_of_what_is_left(context: &Context) -> HashSet<String> {
    let uid = |labels: &std::collections::BTreeMap<String, String>| labels.get(LABEL_BUILD_UID).cloned();
    let pods = context.stores.pods.state();
    let jobs = context.stores.jobs.state();
    let of_pods = pods.iter().filter_map(|pod| uid(pod.labels()));
    of_pods.chain(jobs.iter().filter_map(|job| uid(job.labels()))).collect()
}

/// Whether the build is gone, or another look is needed; false where the API server did not do it.
async fn remove(build: &Build, context: &Context) -> bool {
    let (name, namespace) = (build.name_any(), build.namespace().unwrap_or_default());
    let api = Api::<Build>::namespaced(context.client.clone(), &namespace);
    match apply::delete_as_read(&api, build).await {
        Ok(Write::Written) => info!(build = name, namespace, "finished build removed, as retention says"),
        Ok(Write::Unchanged | Write::Gone | Write::Outdated) => {}
        Err(error) => {
            warn!(%error, build = name, namespace, "build was not removed");
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests;
