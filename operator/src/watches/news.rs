//! Which events about an object are news: those after which it differs in something that a listener reads.
//!
//! What a tenant uses is written into its status every few seconds while builds run. Whoever does not read that shall not
//! be woken by it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};

use super::hub::Watched;

/// Remembers of each object of a store what a listener reads of it.
pub struct News<K: Watched> {
    store: Store<K>,
    digest: fn(&K) -> u64,
    told: Mutex<HashMap<String, u64>>,
}

impl<K: Watched> News<K> {
    /// News of the objects of a store, where `digest` differs with what the listener reads.
    #[must_use]
    pub fn of(store: Store<K>, digest: fn(&K) -> u64) -> Self {
        Self {
            store,
            digest,
            told: Mutex::default(),
        }
    }

    /// Whether this is news. That an object is gone always is, and nothing is remembered of it.
    pub fn is_news(&self, object: &K) -> bool {
        let Some(uid) = object.uid() else { return true };
        let known = self.store.get(&ObjectRef::from_obj(object));
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none_or(|known| known.uid().as_deref() != Some(&uid)) {
            told.remove(&uid);
            return true;
        }
        let digest = (self.digest)(object);
        told.insert(uid, digest) != Some(digest)
    }
}

#[cfg(test)]
mod tests {
    use imagefactory_crds::Project;
    use kube::runtime::watcher::Event;

    use super::super::Hub;
    use super::*;
    use crate::testing::{object, project};
    use crate::watches::Guarded;

    #[test]
    fn an_object_is_news_when_it_comes_when_it_differs_and_when_it_goes() {
        let hub = Hub::<Project>::default();
        let news = News::of(hub.store(), |project| u64::from(project.spec.archived));
        let one = |version: u32, archived: bool| -> Project {
            let mut value = project("web", version);
            value["spec"]["archived"] = archived.into();
            object(value)
        };
        let shown = |project: Project| {
            hub.take(Event::Apply(Guarded(Ok(project.clone()))));
            news.is_news(&project)
        };
        assert!(shown(one(1, false)));
        assert!(!shown(one(2, false)));
        assert!(shown(one(3, true)));
        assert!(!shown(one(4, true)));
        hub.take(Event::Delete(Guarded(Ok(one(5, true)))));
        assert!(news.is_news(&one(5, true)), "it is gone");
        assert!(news.told.lock().unwrap().is_empty());
        assert!(shown(one(6, true)), "and comes again");
    }
}
