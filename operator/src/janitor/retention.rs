//! Removes finished builds and scans that nobody wants to keep, as Project, TenantSettings and the chart say. Which, the
//! core decides from what is watched; each goes last, when nothing that was made for it is left.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use imagefactory_core::retention::{Ends, Finished, Held, IN_A_PASS, Limits, due};
use imagefactory_crds::names::{LABEL_BUILD_UID, TENANT_SETTINGS, tenant_of_namespace};
use imagefactory_crds::{Project, TenantSettings};
use k8s_openapi::NamespaceResourceScope;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Resource, ResourceExt};
use tracing::{info, warn};

use super::staged::Staged;
use crate::apply::{self, Writable, Write};
use crate::context::Context;
use crate::watches::Watched;

/// Failed removals after which a round gives up: the API server may be down, and the janitor has other work.
const FAILURES: usize = 10;

/// A kind whose finished objects go.
trait Removable: Ends + Watched + Writable + Resource<Scope = NamespaceResourceScope> {}

impl<K: Ends + Watched + Writable + Resource<Scope = NamespaceResourceScope>> Removable for K {}

/// Namespace and name of a Project.
type Key = (String, String);

pub(super) async fn sweep(staged: &Staged, context: &Context) {
    let builds = all_due(&context.stores.builds, context);
    let scans = all_due(&context.stores.image_scans, context);
    if builds.is_empty() && scans.is_empty() {
        return;
    }
    let left = uids_of_what_is_left(context);
    let is_last = |uid: Option<String>| uid.is_some_and(|uid| !left.contains(&uid));
    let builds = builds
        .iter()
        .filter(|build| is_last(build.uid()) && staged.is_done_with(build, context));
    // A scan stages nothing.
    let scans = scans.iter().filter(|scan| is_last(scan.uid()));
    remove_all(builds, context).await;
    remove_all(scans, context).await;
}

/// What is due of a kind in all projects, oldest first.
fn all_due<K: Removable>(store: &Store<K>, context: &Context) -> Vec<Arc<K>> {
    let mut projects: HashMap<Key, Option<Of<K>>> = HashMap::new();
    for run in store.state() {
        let key = (run.namespace().unwrap_or_default(), run.project().to_owned());
        let of = projects.entry(key).or_insert_with_key(|key| Of::project(key, context));
        let Some(of) = of else { continue };
        run.hold(&mut of.held);
        if let Some(finished) = Finished::of(&*run) {
            of.runs.insert(finished.name.clone(), run);
            of.finished.push(finished);
        }
    }
    let mut all: Vec<(Finished, Arc<K>)> = projects
        .into_values()
        .flatten()
        .flat_map(|of| of.due(context))
        .collect();
    all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    all.into_iter().map(|(_, run)| run).collect()
}

/// A project of which builds, or scans, may go.
struct Of<K> {
    limits: Limits,
    held: Held,
    finished: Vec<Finished>,
    runs: HashMap<String, Arc<K>>,
}

impl<K> Of<K> {
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
            held: Held::default(),
            finished: Vec::new(),
            runs: HashMap::new(),
        })
    }

    fn due(self, context: &Context) -> impl Iterator<Item = (Finished, Arc<K>)> {
        let Self {
            limits,
            held,
            finished,
            mut runs,
        } = self;
        due(finished, &held, &limits, context.now())
            .into_iter()
            .filter_map(move |finished| Some((finished.clone(), runs.remove(&finished.name)?)))
    }
}

/// Builds and scans that a pod or a job is left of: it goes before them, when its logs are safe and its time is over.
fn uids_of_what_is_left(context: &Context) -> HashSet<String> {
    let uid = |labels: &BTreeMap<String, String>| labels.get(LABEL_BUILD_UID).cloned();
    let pods = context.stores.pods.state();
    let jobs = context.stores.jobs.state();
    let of_pods = pods.iter().filter_map(|pod| uid(pod.labels()));
    of_pods.chain(jobs.iter().filter_map(|job| uid(job.labels()))).collect()
}

/// Removes what may go of a kind, as much as a round does.
async fn remove_all<'a, K: Removable>(due: impl Iterator<Item = &'a Arc<K>>, context: &Context) {
    let mut failures = 0;
    for run in due.take(IN_A_PASS) {
        failures += usize::from(!remove(&**run, context).await);
        if failures >= FAILURES {
            let kinds = K::plural(&());
            warn!(%kinds, "what has ended is not removed now, as retention says; tried again in the next round");
            return;
        }
    }
}

/// Whether it is gone, or another look is needed; false where the API server did not do it.
async fn remove<K: Removable>(run: &K, context: &Context) -> bool {
    let (kind, name, namespace) = (K::kind(&()), run.name_any(), run.namespace().unwrap_or_default());
    let api = Api::<K>::namespaced(context.client.clone(), &namespace);
    match apply::delete_as_read(&api, run).await {
        Ok(Write::Written) => info!(%kind, name, namespace, "it has ended and is removed, as retention says"),
        Ok(Write::Unchanged | Write::Gone | Write::Outdated) => {}
        Err(error) => {
            warn!(%error, %kind, name, namespace, "it has ended and was not removed");
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests;
