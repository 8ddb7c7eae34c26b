//! What lies behind a hub's lock: the store's writer, who is told, and what does not parse.

use std::collections::HashMap;
use std::sync::Arc;

use imagefactory_serving::Guarded;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::core::error_boundary::InvalidObject;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::hub::Watched;
use super::index::Index;

/// An object that does not parse.
#[derive(Clone, Debug, PartialEq)]
pub struct Malformed {
    /// The object, as events name it.
    pub reference: ObjectReference,
    /// Its metadata.generation.
    pub generation: i64,
    /// What the parser said.
    pub error: String,
}

/// What lies behind a [`super::Hub`]'s lock.
pub(super) struct Feed<K: Watched> {
    pub(super) writer: Writer<K>,
    indexes: Vec<Index<K>>,
    subscribers: Vec<UnboundedSender<Arc<K>>>,
    pub(super) malformed: HashMap<ObjectRef<K>, Malformed>,
    /// What the list that is being read has shown so far that does not parse.
    pub(super) malformed_in_list: HashMap<ObjectRef<K>, Malformed>,
    pub(super) malformed_subscribers: Vec<UnboundedSender<Malformed>>,
}

/// What a list brought.
pub(super) struct News<K> {
    touched: Vec<Arc<K>>,
    malformed: Vec<Malformed>,
}

impl<K: Watched> Feed<K> {
    pub(super) fn new(writer: Writer<K>, index: Index<K>) -> Self {
        Self {
            writer,
            indexes: vec![index],
            subscribers: Vec::new(),
            malformed: HashMap::new(),
            malformed_in_list: HashMap::new(),
            malformed_subscribers: Vec::new(),
        }
    }

    /// Keeps one more index, of what is there and of all that comes.
    pub(super) fn keep(&mut self, index: Index<K>, store: &Store<K>) {
        index.fill(store.state().iter());
        self.indexes.push(index);
    }

    pub(super) fn subscribe(&mut self) -> UnboundedReceiver<Arc<K>> {
        let (sender, receiver) = unbounded_channel();
        self.subscribers.push(sender);
        receiver
    }

    fn tell(&mut self, object: &Arc<K>) {
        self.subscribers
            .retain(|subscriber| subscriber.send(object.clone()).is_ok());
    }

    pub(super) fn apply(&mut self, object: K, store: &Store<K>) {
        let key = ObjectRef::from_obj(&object);
        self.malformed.remove(&key);
        let before = store.get(&key);
        self.writer.apply_watcher_event(&Event::Apply(object));
        if let Some(object) = store.get(&key) {
            self.indexes
                .iter()
                .for_each(|index| index.put(before.as_ref(), &object));
            if let Some(replaced) = before.filter(|before| before.uid() != object.uid()) {
                self.tell(&replaced);
            }
            self.tell(&object);
        }
    }

    pub(super) fn apply_malformed(&mut self, invalid: InvalidObject, store: &Store<K>) -> Option<Malformed> {
        let (key, malformed) = describe::<K>(invalid);
        if let Some(last_good) = store.get(&key) {
            self.writer.apply_watcher_event(&Event::Delete((*last_good).clone()));
            self.indexes.iter().for_each(|index| index.remove(&last_good));
            self.tell(&last_good);
        }
        let news = self.is_news(&key, &malformed);
        self.malformed.insert(key, malformed.clone());
        if news {
            self.tell_malformed(&malformed);
        }
        news.then_some(malformed)
    }

    pub(super) fn delete(&mut self, object: Result<K, InvalidObject>, store: &Store<K>) {
        let (key, last_state) = match object {
            Ok(object) => (ObjectRef::from_obj(&object), Some(Arc::new(object))),
            Err(invalid) => (describe::<K>(invalid).0, None),
        };
        self.malformed.remove(&key);
        let stored = store.get(&key);
        if let Some(last_known) = last_state.or_else(|| stored.clone()) {
            self.writer.apply_watcher_event(&Event::Delete((*last_known).clone()));
            // By what it was put in by, which its last state need not have.
            if let Some(stored) = &stored {
                self.indexes.iter().for_each(|index| index.remove(stored));
            }
            self.tell(&last_known);
        }
    }

    /// Swaps in the list. What came, changed or went while nobody was listening is news.
    pub(super) fn finish_list(&mut self, store: &Store<K>) -> News<K> {
        let mut before = by_key(store);
        self.writer.apply_watcher_event(&Event::InitDone);
        let mut touched = store.state();
        self.indexes.iter().for_each(|index| index.fill(touched.iter()));
        let version = |object: &Arc<K>| (object.uid(), object.resource_version());
        // Of the first list all is news, and no key is made for it: there may be very many.
        if !before.is_empty() {
            let mut replaced = Vec::new();
            touched.retain(|object| {
                let known = before.remove(&ObjectRef::from_obj(&**object));
                let is_news = known.as_ref().map(version) != Some(version(object));
                replaced.extend(known.filter(|known| known.uid() != object.uid()));
                is_news
            });
            // One that another has the name of is gone as well.
            touched.extend(replaced);
            touched.extend(before.into_values());
        }
        let listed = std::mem::take(&mut self.malformed_in_list);
        let news = listed.iter().filter(|(key, malformed)| self.is_news(key, malformed));
        let malformed = news.map(|(_, malformed)| malformed.clone()).collect();
        self.malformed = listed;
        News { touched, malformed }
    }

    pub(super) fn tell_news(&mut self, news: &News<K>) {
        news.touched.iter().for_each(|object| self.tell(object));
        news.malformed
            .iter()
            .for_each(|malformed| self.tell_malformed(malformed));
    }

    fn tell_malformed(&mut self, malformed: &Malformed) {
        self.malformed_subscribers
            .retain(|subscriber| subscriber.send(malformed.clone()).is_ok());
    }

    pub(super) fn is_news(&self, key: &ObjectRef<K>, malformed: &Malformed) -> bool {
        self.malformed.get(key).is_none_or(|known| {
            (&known.reference.uid, known.generation) != (&malformed.reference.uid, malformed.generation)
        })
    }
}

/// Longest parser message that is kept, in characters: it can quote what a tenant wrote.
const MAX_PARSE_ERROR: usize = 512;

pub(super) fn describe<K: Watched>(invalid: InvalidObject) -> (ObjectRef<K>, Malformed) {
    let InvalidObject { error, metadata } = invalid;
    let guard = Guarded::<K>(Err(InvalidObject {
        error: String::new(),
        metadata,
    }));
    let reference = guard.object_ref(&());
    let mut key = ObjectRef::new(&guard.name_any());
    key.namespace = guard.namespace();
    let generation = guard.meta().generation.unwrap_or_default();
    (
        key,
        Malformed {
            reference,
            generation,
            error: error.chars().take(MAX_PARSE_ERROR).collect(),
        },
    )
}

fn by_key<K: Watched>(store: &Store<K>) -> HashMap<ObjectRef<K>, Arc<K>> {
    store
        .state()
        .into_iter()
        .map(|object| (ObjectRef::from_obj(&*object), object))
        .collect()
}
