//! What a watch has shown of the Builds and build pods of some tenants, from the beginning of a test: the only way to say
//! what held at every instant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{StreamExt, pin_mut};
use imagefactory_crds::Build;
use imagefactory_crds::build::QueueStatus;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::task::JoinSet;

use crate::building::is_settled;

/// Namespace and name.
type Key = (String, String);

/// What was seen. Watching ends when it goes.
pub struct Record {
    seen: Arc<Mutex<Seen>>,
    _watches: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    pods: Count,
    builds: Count,
    started: Vec<Key>,
    queues: BTreeMap<Key, Vec<QueueStatus>>,
}

/// Things that are at a time, and the most that there ever were.
#[derive(Default)]
struct Count {
    now: BTreeSet<Key>,
    most: BTreeMap<String, usize>,
    most_of_all: usize,
}

impl Count {
    /// True if it was not there before.
    fn set(&mut self, key: Key, is: bool) -> bool {
        if !is {
            self.now.remove(&key);
            return false;
        }
        let namespace = key.0.clone();
        let is_new = self.now.insert(key);
        let count = self.now.iter().filter(|(of, _)| *of == namespace).count();
        let most = self.most.entry(namespace).or_default();
        *most = count.max(*most);
        self.most_of_all = self.now.len().max(self.most_of_all);
        is_new
    }
}

impl Record {
    /// Begins to watch these namespaces.
    #[must_use]
    pub fn of(client: &Client, namespaces: &[&str]) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let ours: BTreeSet<String> = namespaces.iter().map(|&name| name.to_owned()).collect();
        let mut watches = JoinSet::new();
        let (into, wanted) = (seen.clone(), ours.clone());
        let pods = watcher(
            Api::<Pod>::all(client.clone()),
            watcher::Config::default().labels("imagefactory.dev/stage=build"),
        );
        watches.spawn(async move {
            pin_mut!(pods);
            while let Some(event) = pods.next().await {
                if let Ok(Event::Apply(pod) | Event::InitApply(pod)) = &event {
                    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
                    lock(&into).pod(pod, &wanted, !matches!(phase, Some("Succeeded" | "Failed")));
                } else if let Ok(Event::Delete(pod)) = &event {
                    lock(&into).pod(pod, &wanted, false);
                }
            }
        });
        let (into, wanted) = (seen.clone(), ours);
        let builds = watcher(Api::<Build>::all(client.clone()), watcher::Config::default());
        watches.spawn(async move {
            pin_mut!(builds);
            while let Some(event) = builds.next().await {
                if let Ok(Event::Apply(build) | Event::InitApply(build)) = &event {
                    lock(&into).build(build, &wanted, runs(build));
                } else if let Ok(Event::Delete(build)) = &event {
                    lock(&into).build(build, &wanted, false);
                }
            }
        });
        Self {
            seen,
            _watches: watches,
        }
    }

    /// The most build pods that ever lived at a time, of one namespace or of all.
    #[must_use]
    pub fn most_pods(&self, namespace: Option<&str>) -> usize {
        lock(&self.seen).pods.most_in(namespace)
    }

    /// The most Builds that ever ran at a time, by their status, of one namespace or of all.
    #[must_use]
    pub fn most_builds(&self, namespace: Option<&str>) -> usize {
        lock(&self.seen).builds.most_in(namespace)
    }

    /// Builds in the order in which their pods came.
    #[must_use]
    pub fn started(&self) -> Vec<Key> {
        lock(&self.seen).started.clone()
    }

    /// The snapshots that a Build's `status.queue` held, in their order.
    #[must_use]
    pub fn queues_of(&self, namespace: &str, build: &str) -> Vec<QueueStatus> {
        let key = (namespace.to_owned(), build.to_owned());
        lock(&self.seen).queues.get(&key).cloned().unwrap_or_default()
    }
}

impl Count {
    fn most_in(&self, namespace: Option<&str>) -> usize {
        match namespace {
            Some(namespace) => self.most.get(namespace).copied().unwrap_or_default(),
            None => self.most_of_all,
        }
    }
}

impl Seen {
    fn pod(&mut self, pod: &Pod, wanted: &BTreeSet<String>, lives: bool) {
        let namespace = pod.namespace().unwrap_or_default();
        if !wanted.contains(&namespace) {
            return;
        }
        let build = pod.labels().get("imagefactory.dev/build").cloned().unwrap_or_default();
        if self.pods.set((namespace.clone(), pod.name_any()), lives) {
            self.started.push((namespace, build));
        }
    }

    fn build(&mut self, build: &Build, wanted: &BTreeSet<String>, runs: bool) {
        let key = (build.namespace().unwrap_or_default(), build.name_any());
        if !wanted.contains(&key.0) {
            return;
        }
        self.builds.set(key.clone(), runs);
        let queue = build.status.as_ref().and_then(|status| status.queue.clone());
        let snapshots = self.queues.entry(key).or_default();
        if let Some(queue) = queue.filter(|queue| snapshots.last() != Some(queue)) {
            snapshots.push(*queue);
        }
    }
}

/// Dispatched, not settled, and not waiting for another attempt.
fn runs(build: &Build) -> bool {
    let status = build.status.as_ref();
    status.is_some_and(|status| status.start_time.is_some() && status.next_attempt_at.is_none()) && !is_settled(build)
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
