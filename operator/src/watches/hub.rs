//! One watched kind: a store, and any number of subscribers that hear of every object that was touched.
//!
//! The store holds what parses. An object that does not parse is taken out of it (nobody acts on a stale version),
//! kept apart in [`Hub::malformed`], and told to [`Hub::malformed_objects`].

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::core::{DeserializeGuard, error_boundary::InvalidObject};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What a watched kind must be. Every typed Kubernetes object is.
pub trait Watched: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static {}

impl<K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static> Watched for K {}

/// One watched kind. Cloning gives another handle to the same one.
pub struct Hub<K: Watched> {
    store: Store<K>,
    synced: Arc<AtomicBool>,
    feed: Arc<Mutex<Feed<K>>>,
}

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

struct Feed<K: Watched> {
    writer: Writer<K>,
    subscribers: Vec<UnboundedSender<Arc<K>>>,
    malformed: HashMap<ObjectRef<K>, Malformed>,
    /// What the list that is being read has shown so far that does not parse.
    malformed_in_list: HashMap<ObjectRef<K>, Malformed>,
    malformed_subscribers: Vec<UnboundedSender<Malformed>>,
}

impl<K: Watched> Clone for Hub<K> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), synced: self.synced.clone(), feed: self.feed.clone() }
    }
}

impl<K: Watched> Default for Hub<K> {
    fn default() -> Self {
        let writer = Writer::<K>::new(());
        let store = writer.as_reader();
        let feed = Feed {
            writer,
            subscribers: Vec::new(),
            malformed: HashMap::new(),
            malformed_in_list: HashMap::new(),
            malformed_subscribers: Vec::new(),
        };
        Self { store, synced: Arc::default(), feed: Arc::new(Mutex::new(feed)) }
    }
}

impl<K: Watched> Hub<K> {
    /// The objects that parse, as last heard.
    #[must_use]
    pub fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// Whether the first list was read to its end.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    /// Every object: first those that are there, then each one that is applied or deleted.
    pub fn subscribe(&self) -> BoxStream<'static, Arc<K>> {
        let mut feed = self.lock();
        let present = self.store.state();
        let receiver = feed.subscribe();
        drop(feed);
        futures::stream::iter(present).chain(stream_of(receiver)).boxed()
    }

    /// Each object that is applied or deleted from now on.
    pub fn changes(&self) -> BoxStream<'static, Arc<K>> {
        stream_of(self.lock().subscribe()).boxed()
    }

    /// References to objects of another kind that each touched object leads to. For [`crate::runner::Wiring::also_on`].
    pub fn leads_to<T, I>(&self, map: impl Fn(Arc<K>) -> I + Send + 'static) -> BoxStream<'static, ObjectRef<T>>
    where
        T: Watched,
        I: IntoIterator<Item = ObjectRef<T>> + 'static,
        I::IntoIter: Send,
    {
        self.changes().flat_map(move |object| futures::stream::iter(map(object))).boxed()
    }

    /// Objects that do not parse, now.
    #[must_use]
    pub fn malformed(&self) -> Vec<Malformed> {
        self.lock().malformed.values().cloned().collect()
    }

    /// Objects that do not parse: first those that are there, then each new one, once per generation.
    pub fn malformed_objects(&self) -> BoxStream<'static, Malformed> {
        let mut feed = self.lock();
        let present: Vec<_> = feed.malformed.values().cloned().collect();
        let (sender, receiver) = unbounded_channel();
        feed.malformed_subscribers.push(sender);
        drop(feed);
        futures::stream::iter(present).chain(stream_of(receiver)).boxed()
    }

    /// Takes in what a watch says. Returns objects that do not parse and were not known to at this generation.
    pub fn take(&self, event: Event<DeserializeGuard<K>>) -> Option<Malformed> {
        let mut feed = self.lock();
        match event {
            Event::Init => {
                feed.malformed_in_list.clear();
                feed.writer.apply_watcher_event(&Event::Init);
                None
            }
            Event::InitApply(DeserializeGuard(Ok(object))) => {
                feed.writer.apply_watcher_event(&Event::InitApply(object));
                None
            }
            Event::InitApply(DeserializeGuard(Err(invalid))) => {
                let (key, malformed) = describe::<K>(invalid);
                feed.malformed_in_list.insert(key.clone(), malformed.clone());
                feed.is_news(&key, &malformed).then_some(malformed)
            }
            Event::InitDone => {
                feed.finish_list(&self.store);
                self.synced.store(true, Ordering::Release);
                None
            }
            Event::Apply(DeserializeGuard(Ok(object))) => {
                feed.apply(object, &self.store);
                None
            }
            Event::Apply(DeserializeGuard(Err(invalid))) => feed.apply_malformed(invalid, &self.store),
            Event::Delete(DeserializeGuard(object)) => {
                feed.delete(object, &self.store);
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Feed<K>> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Watched> Feed<K> {
    fn subscribe(&mut self) -> UnboundedReceiver<Arc<K>> {
        let (sender, receiver) = unbounded_channel();
        self.subscribers.push(sender);
        receiver
    }

    fn tell(&mut self, object: &Arc<K>) {
        self.subscribers.retain(|subscriber| subscriber.send(object.clone()).is_ok());
    }

    fn apply(&mut self, object: K, store: &Store<K>) {
        let key = ObjectRef::from_obj(&object);
        self.malformed.remove(&key);
        self.writer.apply_watcher_event(&Event::Apply(object));
        if let Some(object) = store.get(&key) {
            self.tell(&object);
        }
    }

    fn apply_malformed(&mut self, invalid: InvalidObject, store: &Store<K>) -> Option<Malformed> {
        let (key, malformed) = describe::<K>(invalid);
        if let Some(last_good) = store.get(&key) {
            self.writer.apply_watcher_event(&Event::Delete((*last_good).clone()));
            self.tell(&last_good);
        }
        let news = self.is_news(&key, &malformed);
        self.malformed.insert(key, malformed.clone());
        if news {
            self.tell_malformed(&malformed);
        }
        news.then_some(malformed)
    }

    fn delete(&mut self, object: Result<K, InvalidObject>, store: &Store<K>) {
        let (key, last_known) = match object {
            Ok(object) => (ObjectRef::from_obj(&object), Some(Arc::new(object))),
            Err(invalid) => {
                let key = describe::<K>(invalid).0;
                let last_known = store.get(&key);
                (key, last_known)
            }
        };
        self.malformed.remove(&key);
        if let Some(last_known) = last_known {
            self.writer.apply_watcher_event(&Event::Delete((*last_known).clone()));
            self.tell(&last_known);
        }
    }

    /// Swaps in the list, and tells of what came, changed or went while nobody was listening.
    fn finish_list(&mut self, store: &Store<K>) {
        let before: HashMap<_, _> = store.state().into_iter().map(|object| (ObjectRef::from_obj(&*object), object)).collect();
        self.writer.apply_watcher_event(&Event::InitDone);
        let mut gone = before.clone();
        for object in store.state() {
            let key = ObjectRef::from_obj(&*object);
            gone.remove(&key);
            let version = |object: &Arc<K>| (object.uid(), object.resource_version());
            if before.get(&key).map(version) != Some(version(&object)) {
                self.tell(&object);
            }
        }
        gone.values().for_each(|object| self.tell(object));
        let listed = std::mem::take(&mut self.malformed_in_list);
        for (key, malformed) in &listed {
            if self.is_news(key, malformed) {
                self.tell_malformed(malformed);
            }
        }
        self.malformed = listed;
    }

    fn tell_malformed(&mut self, malformed: &Malformed) {
        self.malformed_subscribers.retain(|subscriber| subscriber.send(malformed.clone()).is_ok());
    }

    fn is_news(&self, key: &ObjectRef<K>, malformed: &Malformed) -> bool {
        self.malformed.get(key).is_none_or(|known| {
            (&known.reference.uid, known.generation) != (&malformed.reference.uid, malformed.generation)
        })
    }
}

/// Longest parser message that is kept, in characters: it can quote what a tenant wrote.
const MAX_PARSE_ERROR: usize = 512;

fn describe<K: Watched>(invalid: InvalidObject) -> (ObjectRef<K>, Malformed) {
    let InvalidObject { error, metadata } = invalid;
    let guard = DeserializeGuard::<K>(Err(InvalidObject { error: String::new(), metadata }));
    let reference = guard.object_ref(&());
    let mut key = ObjectRef::new(&guard.name_any());
    key.namespace = guard.namespace();
    let generation = guard.meta().generation.unwrap_or_default();
    (key, Malformed { reference, generation, error: error.chars().take(MAX_PARSE_ERROR).collect() })
}

fn stream_of<T>(mut receiver: UnboundedReceiver<T>) -> impl Stream<Item = T> {
    futures::stream::poll_fn(move |cx| receiver.poll_recv(cx))
}
