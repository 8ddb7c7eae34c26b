//! Gives builds, and scans beside them, their slots: the edge of [`imagefactory_core::dispatch`], which decides.
//!
//! The queue lives in memory and is rebuilt when a process becomes leader ([`seed`]). From then on builds apply when
//! they are reconciled, events give slots back ([`feed`]), and whoever is granted one, or stands otherwise than it was
//! told, is woken by a stream beside the watches' triggers. A slot that was granted stays reserved until the watch
//! shows that its build has ended, or waits for its next attempt; a store that lags only keeps a slot longer.

mod feed;
mod passes;
mod scans;
mod seed;

#[cfg(test)]
mod tests;

pub use feed::run;
pub use passes::Pass;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use futures::stream::BoxStream;
use imagefactory_core::build::plan::{Situation, Wish, wish};
use imagefactory_core::dispatch::{Application, BuildId, Doubt, Queue, Slot, application, id_of};
use imagefactory_core::image_scan;
use imagefactory_core::settings::Settings;
use imagefactory_core::work::Work;
use imagefactory_crds::names::tenant_namespace;
use imagefactory_crds::{Build, ImageScan};
use jiff::SignedDuration;
use kube::Resource;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::watches::Stores;

/// The queue, and who listens to it.
pub struct Dispatcher {
    queue: Mutex<Queue>,
    wakes: Channel<ObjectRef<Build>>,
    scan_wakes: Channel<ObjectRef<ImageScan>>,
    doubts: Channel<Doubt>,
    passes: passes::Passes,
}

struct Channel<T> {
    sender: UnboundedSender<T>,
    receiver: Mutex<Option<UnboundedReceiver<T>>>,
}

impl<T: Send + 'static> Channel<T> {
    fn new() -> Self {
        let (sender, receiver) = unbounded_channel();
        Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
        }
    }

    /// What is sent; the first who asks hears it.
    fn stream(&self) -> BoxStream<'static, T> {
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
        match receiver {
            Some(mut receiver) => futures::stream::poll_fn(move |cx| receiver.poll_recv(cx)).boxed(),
            None => futures::stream::pending().boxed(),
        }
    }

    fn send(&self, item: T) {
        // Nobody listens any more: the process ends, or is a test that does not care.
        let _ = self.sender.send(item);
    }
}

impl Dispatcher {
    /// A queue that is not open yet.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let dispatch = settings.dispatch;
        let ageing = SignedDuration::from_secs(dispatch.ageing_seconds);
        Self {
            queue: Mutex::new(Queue::new(dispatch.max_builds, ageing)),
            wakes: Channel::new(),
            scan_wakes: Channel::new(),
            doubts: Channel::new(),
            passes: passes::Passes::default(),
        }
    }

    /// Builds to be reconciled because of the queue. To be called once.
    pub fn wakes(&self) -> BoxStream<'static, ObjectRef<Build>> {
        self.wakes.stream()
    }

    /// The same of ImageScans.
    pub fn scan_wakes(&self) -> BoxStream<'static, ObjectRef<ImageScan>> {
        self.scan_wakes.stream()
    }

    /// A pass over that build or scan begins, and goes on until the result is dropped: nobody takes its slot for free meanwhile.
    pub fn pass<K: kube::ResourceExt>(&self, build: &K) -> Pass {
        self.passes.begin(build.uid().unwrap_or_default())
    }

    /// What the queue says to a build that is looked at.
    pub fn ask(&self, situation: &Situation<'_>, stores: &Stores) -> Slot {
        match wish(situation) {
            Wish::Slot(validated) => application(situation.build, validated, situation.settings)
                .map_or(Slot::NotYet, |application| {
                    self.apply(&application, || is_there(&stores.builds, situation.build))
                }),
            Wish::Nothing => {
                if let Some(id) = id_of(situation.build) {
                    self.withdraw(&id);
                }
                Slot::NotYet
            }
            Wish::Runs => Slot::NotYet,
        }
    }

    /// What the queue says to a scan that is looked at.
    pub fn ask_for_scan(&self, situation: image_scan::Situation<'_>, stores: &Stores) -> Slot {
        match image_scan::wish(situation) {
            image_scan::Wish::Slot(application) => {
                self.apply(&application, || is_there(&stores.image_scans, situation.scan))
            }
            image_scan::Wish::Nothing => {
                if let Some(id) = image_scan::id_of(situation.scan) {
                    self.withdraw(&id);
                }
                Slot::NotYet
            }
            image_scan::Wish::Runs => Slot::NotYet,
        }
    }

    /// The API server had no room in the tenant's quota for the pod of a build that has a slot.
    pub fn refused(&self, build: &Build) -> Slot {
        id_of(build).map_or(Slot::NotYet, |id| self.with(|queue| queue.refuse(&id)))
    }

    /// Slots that a tenant's builds have; none before the queue is open.
    #[must_use]
    pub fn slots_of(&self, tenant: &str) -> Option<u32> {
        self.lock().slots_of(tenant)
    }

    /// Opens the queue as it is, for tests of others.
    #[cfg(test)]
    pub(crate) fn open_empty(&self) {
        self.with(Queue::open);
    }

    /// Tenants with the number of their builds that wait and that run.
    #[must_use]
    pub fn counts(&self) -> Vec<(String, usize, u32)> {
        let queue = self.lock();
        let counts = queue.counts();
        counts
            .map(|(tenant, waiting, running)| (tenant.to_owned(), waiting, running))
            .collect()
    }

    /// Applies for whom a pass looks at. A pass may outlive its object: of one that went meanwhile the queue was told before
    /// it applied, and is told by nobody again. One that goes later, the watch tells.
    fn apply(&self, application: &Application, is_there: impl FnOnce() -> bool) -> Slot {
        let slot = self.with(|queue| queue.apply(application));
        if is_there() {
            return slot;
        }
        self.withdraw(&application.id);
        Slot::NotYet
    }

    fn withdraw(&self, id: &BuildId) {
        if let Some(doubt) = self.with(|queue| queue.withdraw(id)) {
            self.doubts.send(doubt);
        }
    }

    /// Changes the queue and wakes whom that concerns.
    fn with<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let mut queue = self.lock();
        let result = change(&mut queue);
        let woken = queue.woken();
        drop(queue);
        for id in woken {
            match id.work {
                Work::Build => self.wakes.send(reference(&id)),
                Work::Scan => self.scan_wakes.send(scan_reference(&id)),
            }
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the store still shows this very object.
fn is_there<K>(store: &Store<K>, object: &K) -> bool
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let found = store.get(&ObjectRef::from_obj(object));
    found.is_some_and(|found| found.meta().uid == object.meta().uid)
}

fn reference(id: &Arc<BuildId>) -> ObjectRef<Build> {
    ObjectRef::new(&id.name).within(&tenant_namespace(&id.tenant))
}

fn scan_reference(id: &BuildId) -> ObjectRef<ImageScan> {
    ObjectRef::new(&id.name).within(&tenant_namespace(&id.tenant))
}
