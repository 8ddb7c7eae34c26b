//! What is known of one kind, and how old that knowledge may be.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::watcher::Event;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use super::beats::Beat;

/// Objects by namespace (empty for kinds without one) and name.
type Objects<K> = HashMap<String, HashMap<String, Arc<K>>>;

/// Objects of one kind. Cloning gives another handle to the same.
pub struct Cache<K> {
    resource: &'static str,
    beat: Beat,
    state: Arc<RwLock<State<K>>>,
}

struct State<K> {
    objects: Objects<K>,
    listing: Option<Listing<K>>,
    filled: bool,
}

/// A list that is being read. What it brings counts when it has ended, so until then knowledge is as old as its begin.
struct Listing<K> {
    objects: Objects<K>,
    began: Instant,
}

/// How well a kind is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// No list has ended yet.
    None,
    /// So old.
    Of(Duration),
}

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self {
            resource: self.resource,
            beat: self.beat.clone(),
            state: self.state.clone(),
        }
    }
}

impl<K: ResourceExt> Cache<K> {
    /// An empty one for a resource, by its plural name.
    #[must_use]
    pub fn of(resource: &'static str) -> Self {
        Self {
            resource,
            beat: Beat::default(),
            state: Arc::new(RwLock::new(State {
                objects: HashMap::new(),
                listing: None,
                filled: false,
            })),
        }
    }

    /// Plural name of the resource.
    #[must_use]
    pub fn resource(&self) -> &'static str {
        self.resource
    }

    /// When its watch was last heard of.
    #[must_use]
    pub fn beat(&self) -> &Beat {
        &self.beat
    }

    /// One object; `namespace` is empty for kinds without one.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.read().objects.get(namespace)?.get(name).cloned()
    }

    /// The objects in a namespace that are so; all are looked at.
    #[must_use]
    pub fn find(&self, namespace: &str, is_it: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        let state = self.read();
        let objects = state.objects.get(namespace).into_iter().flat_map(HashMap::values);
        objects.filter(|object| is_it(object)).cloned().collect()
    }

    /// How many objects are in a namespace.
    #[must_use]
    pub fn count(&self, namespace: &str) -> usize {
        self.read().objects.get(namespace).map_or(0, HashMap::len)
    }

    /// How well the kind is known now.
    #[must_use]
    pub fn knowledge(&self) -> Knowledge {
        let state = self.read();
        let began = state.listing.as_ref().map(|listing| listing.began);
        let heard = match (self.beat.last(), began) {
            (Some(heard), Some(began)) => Some(heard.min(began)),
            (heard, _) => heard,
        };
        match heard {
            Some(heard) if state.filled => Knowledge::Of(heard.elapsed()),
            _ => Knowledge::None,
        }
    }

    /// Takes what the watch brings.
    pub fn take(&self, event: Event<K>) {
        let mut state = self.write();
        match event {
            Event::Init => {
                // Lists that break off one after the other make nothing younger.
                let began = state.listing.take().map_or_else(Instant::now, |broken| broken.began);
                state.listing = Some(Listing {
                    objects: HashMap::new(),
                    began,
                });
            }
            Event::InitApply(object) => {
                if let Some(listing) = &mut state.listing {
                    put(&mut listing.objects, object);
                }
            }
            Event::InitDone => {
                if let Some(listing) = state.listing.take() {
                    state.objects = listing.objects;
                    state.filled = true;
                }
            }
            Event::Apply(object) => put(&mut state.objects, object),
            Event::Delete(object) => remove(&mut state.objects, &object),
        }
    }

    /// Takes a whole list, as a watch would bring it just now.
    pub(super) fn fill(&self, objects: &Value) -> Result<(), serde_json::Error>
    where
        K: DeserializeOwned,
    {
        self.take(Event::Init);
        for object in objects.as_array().into_iter().flatten() {
            self.take(Event::InitApply(serde_json::from_value(object.clone())?));
        }
        self.beat.now();
        self.take(Event::InitDone);
        Ok(())
    }

    /// Drops one object, of which the watch says that it is gone or makes no sense.
    pub fn forget(&self, namespace: &str, name: &str) {
        let mut state = self.write();
        if let Some(names) = state.objects.get_mut(namespace) {
            names.remove(name);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State<K>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State<K>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put<K: ResourceExt>(objects: &mut Objects<K>, object: K) {
    let namespace = object.namespace().unwrap_or_default();
    objects
        .entry(namespace)
        .or_default()
        .insert(object.name_any(), Arc::new(object));
}

fn remove<K: ResourceExt>(objects: &mut Objects<K>, object: &K) {
    let namespace = object.namespace().unwrap_or_default();
    if let Some(names) = objects.get_mut(&namespace) {
        names.remove(&object.name_any());
        if names.is_empty() {
            objects.remove(&namespace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use imagefactory_crds::Project;
    use serde_json::json;

    fn project(name: &str) -> Project {
        serde_json::from_value(json!({
            "apiVersion": "imagefactory.dev/v1alpha1", "kind": "Project",
            "metadata": {"namespace": "tenant-acme", "name": name}, "spec": {},
        }))
        .unwrap()
    }

    fn filled(names: &[&str]) -> Cache<Project> {
        let cache = Cache::of("projects");
        cache.take(Event::Init);
        names
            .iter()
            .for_each(|name| cache.take(Event::InitApply(project(name))));
        cache.beat().now();
        cache.take(Event::InitDone);
        cache
    }

    #[test]
    fn objects_are_found_and_counted_by_namespace() {
        let cache = filled(&["web", "app"]);
        assert!(cache.get("tenant-acme", "web").is_some() && cache.get("tenant-other", "web").is_none());
        assert_eq!(cache.count("tenant-acme"), 2);
        cache.take(Event::Delete(project("web")));
        cache.take(Event::Delete(project("app")));
        assert_eq!((cache.count("tenant-acme"), cache.get("tenant-acme", "web")), (0, None));
    }

    #[test]
    fn nothing_is_known_before_the_first_list_has_ended() {
        let cache = Cache::<Project>::of("projects");
        cache.take(Event::Init);
        cache.take(Event::InitApply(project("web")));
        cache.beat().now();
        assert_eq!(cache.knowledge(), Knowledge::None);
        assert_eq!(cache.get("tenant-acme", "web"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bookmark_makes_knowledge_young_and_a_list_that_does_not_end_does_not() {
        let cache = filled(&["web"]);
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(cache.knowledge(), Knowledge::Of(Duration::from_secs(100)));
        cache.beat().now();
        assert_eq!(cache.knowledge(), Knowledge::Of(Duration::ZERO));
        cache.take(Event::Init);
        tokio::time::advance(Duration::from_secs(200)).await;
        cache.beat().now();
        cache.take(Event::Init);
        cache.beat().now();
        assert_eq!(cache.knowledge(), Knowledge::Of(Duration::from_secs(200)));
        assert!(
            cache.get("tenant-acme", "web").is_some(),
            "the old list serves until the new one is whole"
        );
        cache.take(Event::InitDone);
        assert_eq!(cache.knowledge(), Knowledge::Of(Duration::ZERO));
        assert_eq!(cache.get("tenant-acme", "web"), None);
    }
}
