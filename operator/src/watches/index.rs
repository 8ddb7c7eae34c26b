//! Objects of a hub by something else than their name: a lookup where a search through everything would be.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use kube::runtime::reflector::{ObjectRef, Store};

use super::hub::Watched;

/// What an object is looked up by; none for one that nobody looks up.
pub type Key<K> = fn(&K) -> Option<String>;

/// An index over a hub's store. Cloning gives another handle to the same one.
///
/// It is written under the hub's lock, after the store and before anybody is told: who is woken by an object finds it.
pub struct Index<K: Watched> {
    key: Key<K>,
    store: Store<K>,
    entries: Arc<RwLock<HashMap<String, Vec<ObjectRef<K>>>>>,
}

impl<K: Watched> Clone for Index<K> {
    fn clone(&self) -> Self {
        Self {
            key: self.key,
            store: self.store.clone(),
            entries: self.entries.clone(),
        }
    }
}

impl<K: Watched> Index<K> {
    pub(super) fn new(store: Store<K>, key: Key<K>) -> Self {
        Self {
            key,
            store,
            entries: Arc::default(),
        }
    }

    /// The objects of that key, as last heard.
    #[must_use]
    pub fn get(&self, key: &str) -> Vec<Arc<K>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let objects = entries.get(key).into_iter().flatten();
        let known = objects.filter_map(|reference| self.store.get(reference));
        // One that was given another key since stands under both.
        known
            .filter(|object| (self.key)(object).as_deref() == Some(key))
            .collect()
    }

    pub(super) fn put(&self, object: &K) {
        let Some(key) = (self.key)(object) else { return };
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let references = entries.entry(key).or_default();
        let reference = ObjectRef::from_obj(object);
        if !references.contains(&reference) {
            references.push(reference);
        }
    }

    pub(super) fn remove(&self, object: &K) {
        let Some(key) = (self.key)(object) else { return };
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(references) = entries.get_mut(&key) {
            let reference = ObjectRef::from_obj(object);
            references.retain(|other| *other != reference);
            if references.is_empty() {
                entries.remove(&key);
            }
        }
    }

    /// Begins anew, with what a list brought.
    pub(super) fn fill<'a>(&self, objects: impl Iterator<Item = &'a K>) {
        self.entries.write().unwrap_or_else(PoisonError::into_inner).clear();
        objects.for_each(|object| self.put(object));
    }
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt;
    use kube::runtime::watcher::Event;

    use crate::watches::Guarded;

    use k8s_openapi::api::core::v1::Pod;

    use super::super::Hub;

    fn pod(name: &str, job: &str) -> Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": name, "namespace": "n", "labels": {"job-name": job}},
        }))
        .unwrap()
    }

    fn hub() -> Hub<Pod> {
        Hub::indexed(|pod| pod.labels().get("job-name").cloned())
    }

    fn names(hub: &Hub<Pod>, key: &str) -> Vec<String> {
        hub.index().get(key).iter().map(|pod| pod.name_any()).collect()
    }

    #[test]
    fn an_object_is_found_by_its_key_until_it_is_deleted() {
        let hub = hub();
        hub.take(Event::Apply(Guarded(Ok(pod("a", "j")))));
        hub.take(Event::Apply(Guarded(Ok(pod("a", "j")))));
        hub.take(Event::Apply(Guarded(Ok(pod("b", "k")))));
        assert_eq!(names(&hub, "j"), ["a"]);
        hub.take(Event::Delete(Guarded(Ok(pod("a", "j")))));
        assert!(names(&hub, "j").is_empty());
        assert_eq!(names(&hub, "k"), ["b"]);
    }

    #[test]
    fn one_that_was_given_another_key_is_not_found_by_the_old_one() {
        let hub = hub();
        hub.take(Event::Apply(Guarded(Ok(pod("a", "j")))));
        hub.take(Event::Apply(Guarded(Ok(pod("a", "k")))));
        assert!(names(&hub, "j").is_empty());
        assert_eq!(names(&hub, "k"), ["a"]);
    }

    #[test]
    fn a_list_replaces_everything() {
        let hub = hub();
        hub.take(Event::Apply(Guarded(Ok(pod("gone", "j")))));
        hub.take(Event::Init);
        hub.take(Event::InitApply(Guarded(Ok(pod("new", "j")))));
        hub.take(Event::InitDone);
        assert_eq!(names(&hub, "j"), ["new"]);
    }
}
