//! Objects of a hub by something else than their name: a lookup where a search through everything would be.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, PoisonError, RwLock};

use super::hub::Watched;

/// What an object is looked up by; none for one that nobody looks up.
pub type Key<K> = fn(&K) -> Option<String>;

/// An index over a hub's store. Cloning gives another handle to the same one.
///
/// It is written under the hub's lock, after the store and before anybody is told: who is woken by an object finds it.
/// It shares the store's objects: one more in it costs little more than a pointer, however many lie under its key.
pub struct Index<K: Watched> {
    key: Key<K>,
    entries: Arc<RwLock<Entries<K>>>,
}

type Entries<K> = HashMap<String, HashSet<Entry<K>>>;

/// An object, which is the same as another version of it.
struct Entry<K>(Arc<K>);

impl<K: Watched> Entry<K> {
    fn name(&self) -> (Option<&str>, Option<&str>) {
        let metadata = self.0.meta();
        (metadata.namespace.as_deref(), metadata.name.as_deref())
    }
}

impl<K: Watched> PartialEq for Entry<K> {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl<K: Watched> Eq for Entry<K> {}

impl<K: Watched> Hash for Entry<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl<K: Watched> Clone for Index<K> {
    fn clone(&self) -> Self {
        Self {
            key: self.key,
            entries: self.entries.clone(),
        }
    }
}

impl<K: Watched> Index<K> {
    pub(super) fn new(key: Key<K>) -> Self {
        Self {
            key,
            entries: Arc::default(),
        }
    }

    /// The objects of that key, as last heard.
    #[must_use]
    pub fn get(&self, key: &str) -> Vec<Arc<K>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let objects = entries.get(key).into_iter().flatten();
        objects.map(|entry| entry.0.clone()).collect()
    }

    /// How many objects have that key.
    #[must_use]
    pub fn count(&self, key: &str) -> usize {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).map_or(0, HashSet::len)
    }

    /// Takes in an object, in the place of what was known of it before: that may have had another key.
    pub(super) fn put(&self, before: Option<&Arc<K>>, object: &Arc<K>) {
        let key = (self.key)(object);
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = before {
            let old = (self.key)(before);
            if old != key {
                drop_from(&mut entries, old, before);
            }
        }
        if let Some(key) = key {
            entries.entry(key).or_default().replace(Entry(object.clone()));
        }
    }

    /// Takes out an object, which is what was put in last of it.
    pub(super) fn remove(&self, known: &Arc<K>) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        drop_from(&mut entries, (self.key)(known), known);
    }

    /// Begins anew, with what a list brought. Nobody sees a part of it: who counts would count too little.
    pub(super) fn fill<'a>(&self, objects: impl Iterator<Item = &'a Arc<K>>) {
        let mut filled = Entries::new();
        for object in objects {
            if let Some(key) = (self.key)(object) {
                filled.entry(key).or_default().insert(Entry(object.clone()));
            }
        }
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = filled;
    }
}

fn drop_from<K: Watched>(entries: &mut Entries<K>, key: Option<String>, object: &Arc<K>) {
    let Some(key) = key else { return };
    if let Some(objects) = entries.get_mut(&key) {
        objects.remove(&Entry(object.clone()));
        if objects.is_empty() {
            entries.remove(&key);
        }
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
    fn what_is_gone_is_not_found_by_the_key_that_it_had_when_it_was_last_shown() {
        let hub = hub();
        hub.take(Event::Apply(Guarded(Ok(pod("a", "j")))));
        hub.take(Event::Delete(Guarded(Ok(pod("a", "k")))));
        assert!(names(&hub, "j").is_empty() && names(&hub, "k").is_empty());
    }

    #[test]
    fn the_newest_version_is_found_and_counted_once() {
        let hub = hub();
        for version in ["1", "2"] {
            let mut pod = pod("a", "j");
            pod.metadata.resource_version = Some(version.to_owned());
            hub.take(Event::Apply(Guarded(Ok(pod))));
        }
        let found = hub.index().get("j");
        assert_eq!(found[0].resource_version().as_deref(), Some("2"));
        assert_eq!((found.len(), hub.index().count("j"), hub.index().count("k")), (1, 1, 0));
    }

    #[test]
    fn an_object_that_no_longer_parses_is_not_found() {
        let hub = hub();
        hub.take(Event::Apply(Guarded(Ok(pod("a", "j")))));
        let broken = serde_json::json!({"metadata": {"name": "a", "namespace": "n"}, "spec": 1});
        hub.take(Event::Apply(serde_json::from_value(broken).unwrap()));
        assert!(names(&hub, "j").is_empty());
    }

    #[test]
    fn objects_are_found_by_their_namespace_beside_their_key() {
        let hub = Hub::indexed(|pod: &Pod| pod.labels().get("job-name").cloned());
        let other = serde_json::json!({"metadata": {"name": "a", "namespace": "m", "labels": {"job-name": "j"}}});
        hub.take(Event::Apply(Guarded(Ok(pod("a", "j")))));
        hub.take(Event::Apply(Guarded(Ok(pod("b", "k")))));
        hub.take(Event::Apply(Guarded(Ok(serde_json::from_value(other).unwrap()))));
        let places = hub.by_namespace();
        assert_eq!(
            (places.count("n"), places.count("m"), names(&hub, "j").len()),
            (2, 1, 2)
        );
        hub.take(Event::Init);
        hub.take(Event::InitApply(Guarded(Ok(pod("a", "j")))));
        hub.take(Event::InitDone);
        assert_eq!((places.count("n"), places.count("m")), (1, 0), "as after a restart");
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
