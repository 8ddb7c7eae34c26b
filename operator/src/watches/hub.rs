//! One watched kind: a store, and any number of subscribers that hear of every object that was touched.
//!
//! The store holds what parses. An object that does not parse is taken out of it (nobody acts on a stale version),
//! kept apart in [`Hub::malformed`], and told to [`Hub::malformed_objects`].

use std::fmt::Debug;
use std::future::{Ready, ready};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use imagefactory_serving::Guarded;
use kube::Resource;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::sleep;

use super::feed::{Feed, Malformed, describe};
use super::index::{Index, Key};

/// What a watched kind must be. Every typed Kubernetes object is.
pub trait Watched: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static {}

impl<K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static> Watched for K {}

/// One watched kind. Cloning gives another handle to the same one.
pub struct Hub<K: Watched> {
    store: Store<K>,
    index: Index<K>,
    places: Arc<OnceLock<Index<K>>>,
    synced: Arc<AtomicBool>,
    feed: Arc<Mutex<Feed<K>>>,
}

impl<K: Watched> Clone for Hub<K> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            index: self.index.clone(),
            places: self.places.clone(),
            synced: self.synced.clone(),
            feed: self.feed.clone(),
        }
    }
}

impl<K: Watched> Default for Hub<K> {
    fn default() -> Self {
        Self::indexed(|_| None)
    }
}

impl<K: Watched> Hub<K> {
    /// A hub whose objects are also found by that key.
    #[must_use]
    pub fn indexed(key: Key<K>) -> Self {
        let writer = Writer::<K>::new(());
        let store = writer.as_reader();
        let index = Index::new(key);
        let feed = Feed::new(writer, index.clone());
        Self {
            store,
            index,
            places: Arc::default(),
            synced: Arc::default(),
            feed: Arc::new(Mutex::new(feed)),
        }
    }

    /// The objects that parse, by their key.
    #[must_use]
    pub fn index(&self) -> Index<K> {
        self.index.clone()
    }

    /// The objects that parse, by their namespace: what one tenant has is counted without a look at all the others'. Kept
    /// from the first time on that it is asked for.
    #[must_use]
    pub fn by_namespace(&self) -> Index<K> {
        let places = self.places.get_or_init(|| {
            let places = Index::new(|object: &K| object.meta().namespace.clone());
            self.lock().keep(places.clone(), &self.store);
            places
        });
        places.clone()
    }

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

    /// Every object: those that are there, page by page, and meanwhile and from then on each one that is applied or deleted.
    pub fn subscribe(&self) -> BoxStream<'static, Arc<K>> {
        let mut feed = self.lock();
        let present = self.store.state();
        let receiver = feed.subscribe();
        drop(feed);
        let present = paged(present).filter_map(current(self.store.clone()));
        futures::stream::select(present, stream_of(receiver)).boxed()
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
        self.changes()
            .flat_map(move |object| futures::stream::iter(map(object)))
            .boxed()
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
    pub fn take(&self, event: Event<Guarded<K>>) -> Option<Malformed> {
        let mut feed = self.lock();
        match event {
            Event::Init => {
                feed.malformed_in_list.clear();
                feed.writer.apply_watcher_event(&Event::Init);
                None
            }
            Event::InitApply(Guarded(Ok(object))) => {
                feed.writer.apply_watcher_event(&Event::InitApply(object));
                None
            }
            Event::InitApply(Guarded(Err(invalid))) => {
                let (key, malformed) = describe::<K>(invalid);
                feed.malformed_in_list.insert(key.clone(), malformed.clone());
                feed.is_news(&key, &malformed).then_some(malformed)
            }
            Event::InitDone => {
                let news = feed.finish_list(&self.store);
                // Before anybody is told: who is woken may look.
                self.synced.store(true, Ordering::Release);
                feed.tell_news(&news);
                None
            }
            Event::Apply(Guarded(Ok(object))) => {
                feed.apply(object, &self.store);
                None
            }
            Event::Apply(Guarded(Err(invalid))) => feed.apply_malformed(invalid, &self.store),
            Event::Delete(Guarded(object)) => {
                feed.delete(object, &self.store);
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Feed<K>> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Most objects that are handed out at once, and the pause before the next. A controller makes entries of each before it looks
/// at the first, and never gives the room for them back: a start over 10,000 builds that need nothing took 1.4 KiB for each
/// (docs/decisions/0031).
const PAGE: usize = 250;
const PAUSE: Duration = Duration::from_millis(10);

fn paged<T>(all: Vec<T>) -> impl Stream<Item = T> {
    let pages = futures::stream::unfold((all.into_iter(), Duration::ZERO), async |(mut rest, pause)| {
        let page: Vec<T> = rest.by_ref().take(PAGE).collect();
        if !page.is_empty() && !pause.is_zero() {
            sleep(pause).await;
        }
        (!page.is_empty()).then(|| (futures::stream::iter(page), (rest, PAUSE)))
    });
    pages.flatten()
}

/// An object as it is by now, for one that waited for its page. What is gone by then was told when it went.
fn current<K: Watched>(store: Store<K>) -> impl FnMut(Arc<K>) -> Ready<Option<Arc<K>>> {
    move |object| ready(store.get(&ObjectRef::from_obj(&*object)))
}

fn stream_of<T>(mut receiver: UnboundedReceiver<T>) -> impl Stream<Item = T> {
    futures::stream::poll_fn(move |cx| receiver.poll_recv(cx))
}
