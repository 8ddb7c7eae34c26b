//! Carries one watch into its cache, for as long as the process lives.
//!
//! A watch that is silent need not be alive: nobody says so when a node goes, or when a firewall forgets a connection. So one
//! that nothing was heard of for long is dropped with its connection, and all is listed anew: what an answer makes young is
//! known as well as it can be, at once, and not with the next bookmark.

use std::time::Duration;

use futures::{Stream, StreamExt, pin_mut};
use imagefactory_serving::Guarded;
use k8s_openapi::serde::de::DeserializeOwned;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::beats::Beat;
use super::cache::{Cache, Knowledge};
use super::pause::Pauses;

/// Annotation of `kubectl apply` with a copy of the whole object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What can be watched.
pub trait Watched:
    Resource<DynamicType = ()> + DeserializeOwned + Clone + std::fmt::Debug + Send + Sync + 'static
{
}
impl<K> Watched for K where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + std::fmt::Debug + Send + Sync + 'static
{
}

/// Which objects are watched, what of them is kept, and how long a watch may be silent.
pub struct Watching<K> {
    /// Labels that select them, where not all are wanted.
    pub labels: Option<&'static str>,
    /// Takes away what is not kept.
    pub trim: fn(&mut K),
    /// Longest silence. Bookmarks come about every minute.
    pub silence: Duration,
}

/// Watches objects and never ends: what fails is tried again with back-off.
pub fn feed<K: Watched>(client: &Client, cache: Cache<K>, watching: &Watching<K>) -> impl Future<Output = ()> + use<K> {
    let Watching { labels, trim, silence } = *watching;
    let api = Api::<Guarded<K>>::all(client.clone());
    let config = watcher::Config {
        label_selector: labels.map(str::to_owned),
        ..watcher::Config::default()
    };
    async move {
        loop {
            let events = watcher(api.clone(), config.clone()).backoff(Pauses::default());
            tokio::select! {
                () = carry(events, &cache, trim) => {}
                () = silent(cache.beat(), silence) => {
                    info!(watch = cache.resource(), seconds = silence.as_secs(), "nothing was heard, listing anew");
                }
            }
        }
    }
}

async fn carry<K: Watched>(
    events: impl Stream<Item = watcher::Result<Event<Guarded<K>>>>,
    cache: &Cache<K>,
    trim: fn(&mut K),
) {
    pin_mut!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => take(cache, event, trim),
            Err(error) => warn!(watch = cache.resource(), %error, "watch failed, will be tried again"),
        }
    }
}

/// Waits until nothing was heard for that long, now included.
async fn silent(beat: &Beat, silence: Duration) {
    let begun = Instant::now();
    loop {
        let heard = beat.last().map_or(begun, |heard| heard.max(begun));
        match silence.checked_sub(heard.elapsed()) {
            Some(rest) if !rest.is_zero() => sleep(rest).await,
            _ => return,
        }
    }
}

fn take<K: Watched>(cache: &Cache<K>, event: Event<Guarded<K>>, trim: fn(&mut K)) {
    let done = matches!(event, Event::InitDone) && cache.knowledge() == Knowledge::None;
    match event {
        Event::Init => cache.take(Event::Init),
        Event::InitDone => cache.take(Event::InitDone),
        Event::InitApply(object) => {
            if let Some(object) = good(object, trim) {
                cache.take(Event::InitApply(object));
            }
        }
        Event::Apply(object) => {
            let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
            match good(object, trim) {
                Some(object) => cache.take(Event::Apply(object)),
                // What does not parse is not known: what was known of it before does not stand for it.
                None => cache.forget(&namespace, &name),
            }
        }
        Event::Delete(object) => cache.forget(&object.namespace().unwrap_or_default(), &object.name_any()),
    }
    if done {
        info!(watch = cache.resource(), "cache filled");
    }
}

fn good<K: Watched>(object: Guarded<K>, trim: fn(&mut K)) -> Option<K> {
    match object.0 {
        Ok(mut object) => {
            object.meta_mut().managed_fields = None;
            object.annotations_mut().remove(LAST_APPLIED);
            trim(&mut object);
            Some(object)
        }
        Err(invalid) => {
            let kind = K::kind(&());
            // Quotes what a tenant may have written, so control characters are escaped.
            let error: String = invalid.error.escape_debug().take(500).collect();
            warn!(
                kind = &*kind,
                namespace = invalid.metadata.namespace,
                name = invalid.metadata.name,
                error,
                "object does not parse"
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use http::{Request, Response};
    use imagefactory_crds::Project;
    use kube::client::Body;
    use tower::{BoxError, service_fn};

    use super::*;

    const SILENCE: Duration = Duration::from_secs(90);

    /// A feed of an API server that takes requests and never answers, and how many it took.
    fn unanswered(cache: &Cache<Project>) -> (impl Future<Output = ()> + use<>, Arc<AtomicU64>) {
        let taken = Arc::new(AtomicU64::new(0));
        let counted = taken.clone();
        let service = service_fn(move |_: Request<Body>| {
            counted.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<Result<Response<Body>, BoxError>>()
        });
        let watching = Watching {
            labels: None,
            trim: |_| (),
            silence: SILENCE,
        };
        (feed(&Client::new(service, "default"), cache.clone(), &watching), taken)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_never_answered_is_asked_for_again_and_what_was_heard_of_is_waited_for() {
        let cache = Cache::of("projects");
        let (feed, taken) = unanswered(&cache);
        let asked = || taken.load(Ordering::Relaxed);
        tokio::spawn(feed);
        sleep(SILENCE - Duration::from_secs(1)).await;
        assert_eq!(asked(), 1);
        cache.beat().now();
        sleep(Duration::from_secs(2)).await;
        assert_eq!(asked(), 1, "something was heard a moment ago");
        sleep(SILENCE).await;
        assert_eq!(asked(), 2);
        sleep(SILENCE * 3).await;
        assert_eq!(asked(), 5, "once in each such time, and without end");
    }
}
