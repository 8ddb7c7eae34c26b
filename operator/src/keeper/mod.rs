//! Keeps logs: of every container of a build's pods, when the container ends, whatever became of it.
//!
//! [`Keeper::look`] is told of pods, by their watch and by the reconciler, and takes in what has ended; a few tasks copy.
//! A store that is down costs builds nothing: they go on and settle, their pods stay, and when the store is back the
//! rest is kept. Keeping a log twice writes the same object, so that a crash at any point costs a repetition.

mod book;
mod task;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use imagefactory_core::build::logs::{EndedContainer, ended_containers};
use imagefactory_core::build::status::is_settled;
use imagefactory_core::image_scan;
use imagefactory_core::partial::Pod;
use imagefactory_crds::build::{KeptLog, KeptLogs};
use imagefactory_crds::{Build, ImageScan};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::archive::Archive;
use crate::context::Context;
use crate::watches::{Hubs, Stores};
use book::{Book, Run, State, Told};

/// Logs that are copied at a time: what each holds in memory is bounded, see [`crate::archive`].
const AT_A_TIME: usize = 4;
/// How often it is forgotten what nobody asks for any more.
const TIDY: Duration = Duration::from_secs(60);

/// Keeps logs. Cloning gives another handle to the same one.
#[derive(Clone)]
pub struct Keeper(Arc<Inner>);

struct Inner {
    archive: Archive,
    book: Mutex<Book>,
    permits: Semaphore,
    store_fails: AtomicBool,
    queue: Channel<EndedContainer>,
    woken: Channel<ObjectRef<Build>>,
    woken_scans: Channel<ObjectRef<ImageScan>>,
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

    fn send(&self, item: T) {
        // Nobody listens only while the process ends.
        let _ = self.sender.send(item);
    }

    fn listen(&self) -> Option<UnboundedReceiver<T>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn stream(&self) -> BoxStream<'static, T> {
        match self.listen() {
            Some(mut receiver) => futures::stream::poll_fn(move |cx| receiver.poll_recv(cx)).boxed(),
            None => futures::stream::empty().boxed(),
        }
    }
}

impl Keeper {
    /// A keeper on that store.
    #[must_use]
    pub fn new(archive: Archive) -> Self {
        Self(Arc::new(Inner {
            archive,
            book: Mutex::default(),
            permits: Semaphore::new(AT_A_TIME),
            store_fails: AtomicBool::new(false),
            queue: Channel::new(),
            woken: Channel::new(),
            woken_scans: Channel::new(),
        }))
    }

    /// The store.
    #[must_use]
    pub fn archive(&self) -> &Archive {
        &self.0.archive
    }

    /// Takes in what has ended of a pod, but what `recorded`, the status of its build, says is kept.
    pub fn look(&self, pod: &Pod, recorded: Option<&KeptLogs>) {
        for container in ended_containers(pod) {
            if !container.is_in(recorded) && self.book().note(&container, Instant::now()) {
                self.0.queue.send(container);
            }
        }
    }

    /// Logs of a build that are kept, as far as they may not stand in status yet.
    #[must_use]
    pub fn kept(&self, build_uid: &str) -> Vec<KeptLog> {
        self.book().kept(build_uid)
    }

    /// Whether the end of a build is better written in a moment, with its logs.
    #[must_use]
    pub fn is_busy(&self, build_uid: &str) -> bool {
        !self.0.store_fails.load(Ordering::Relaxed) && self.book().is_busy(build_uid, Instant::now())
    }

    /// Whether logs of a build are still to be kept. If so, the build is woken when they are.
    #[must_use]
    pub fn await_all(&self, build_uid: &str) -> bool {
        self.book().await_all(build_uid)
    }

    /// Whether a pod may go: every log of its containers is kept, or there is none to keep. `recorded` is the status
    /// of its build.
    #[must_use]
    pub fn is_safe(&self, pod: &Pod, recorded: Option<&KeptLogs>) -> bool {
        let ended = ended_containers(pod);
        let book = self.book();
        ended
            .iter()
            .all(|container| container.is_in(recorded) || book.is_safe(container))
    }

    /// Logs that are not safe yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.book().waiting()
    }

    /// Builds to look at again, since their logs are kept. For one listener.
    #[must_use]
    pub fn woken(&self) -> BoxStream<'static, ObjectRef<Build>> {
        self.0.woken.stream()
    }

    /// The same of ImageScans.
    #[must_use]
    pub fn woken_scans(&self) -> BoxStream<'static, ObjectRef<ImageScan>> {
        self.0.woken_scans.stream()
    }

    /// Takes a container's log for kept, for tests of others.
    #[cfg(test)]
    pub(crate) fn keep_now(&self, pod: &Pod) {
        for container in ended_containers(pod) {
            let log = KeptLog {
                attempt: container.origin.attempt,
                stage: container.origin.stage.clone(),
                container: container.container.clone(),
                bytes: 7,
                cut: false,
            };
            self.set(&container, State::Kept(log));
        }
    }

    fn set(&self, container: &EndedContainer, state: State) {
        let woken = self.book().set(container, state);
        match woken {
            Some(Run::Build(build)) => self.0.woken.send(build),
            Some(Run::Scan(scan)) => self.0.woken_scans.send(scan),
            None => {}
        }
    }

    fn tidy(&self, stores: &Stores) {
        let known = |run: &Run, uid: &str| told(stores, run, uid);
        self.book().forget(known, |container| has_pod(stores, container));
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the status of a pod's build or scan says is kept.
#[must_use]
pub fn recorded(stores: &Stores, pod: &Pod) -> Option<KeptLogs> {
    let origin = imagefactory_core::build::logs::Origin::of(pod)?;
    told(stores, &Run::of(&origin), &origin.build_uid)?.logs
}

/// What the status of a build or scan of that uid tells; none if it is not known.
fn told(stores: &Stores, run: &Run, uid: &str) -> Option<Told> {
    match run {
        Run::Build(build) => {
            let build = stores
                .builds
                .get(build)
                .filter(|build| build.uid().as_deref() == Some(uid))?;
            Some(Told {
                is_settled: is_settled(build.status.as_ref()),
                logs: build.status.as_ref().and_then(|status| status.logs.as_deref().cloned()),
            })
        }
        Run::Scan(scan) => {
            let scan = stores
                .image_scans
                .get(scan)
                .filter(|scan| scan.uid().as_deref() == Some(uid))?;
            Some(Told {
                is_settled: image_scan::is_settled(scan.status.as_ref()),
                logs: scan.status.as_ref().and_then(|status| status.logs.as_deref().cloned()),
            })
        }
    }
}

/// Whether the Build or ImageScan of a container is there, whose status says what is kept.
fn has_run(stores: &Stores, container: &EndedContainer) -> bool {
    let origin = &container.origin;
    told(stores, &Run::of(origin), &origin.build_uid).is_some()
}

/// Whether the very pod of a container is there.
fn has_pod(stores: &Stores, container: &EndedContainer) -> bool {
    let pod = ObjectRef::new(&container.pod).within(&container.namespace);
    let pod = stores.pods.get(&pod);
    pod.is_some_and(|pod| pod.uid().as_deref() == Some(container.pod_uid.as_str()))
}

/// Keeps logs until `stop`.
pub async fn run(context: Arc<Context>, hubs: Hubs, stop: CancellationToken) {
    let keeper = &context.keeper;
    let Some(mut queue) = keeper.0.queue.listen() else {
        return;
    };
    let mut pods = hubs.pods.subscribe();
    let mut tasks = JoinSet::new();
    let mut tidy = interval(TIDY);
    tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(pod) = pods.next() => keeper.look(&pod, recorded(&context.stores, &pod).as_ref()),
            Some(container) = queue.recv() => { tasks.spawn(task::keep(context.clone(), container)); }
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            _ = tidy.tick() => keeper.tidy(&context.stores),
        }
    }
}
