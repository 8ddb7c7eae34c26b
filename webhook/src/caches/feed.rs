//! Carries one watch into its cache, for as long as the process lives.

use futures::{StreamExt, pin_mut};
use imagefactory_serving::Guarded;
use k8s_openapi::serde::de::DeserializeOwned;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use tracing::{info, warn};

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

/// Watches all objects, or those that `labels` selects, and never ends: what fails is tried again with back-off.
pub fn feed<K: Watched>(
    client: &Client,
    cache: Cache<K>,
    labels: Option<&str>,
    trim: fn(&mut K),
) -> impl Future<Output = ()> + use<K> {
    let api = Api::<Guarded<K>>::all(client.clone());
    let config = watcher::Config {
        label_selector: labels.map(str::to_owned),
        ..watcher::Config::default()
    };
    let events = watcher(api, config).backoff(Pauses::default());
    async move {
        pin_mut!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => take(&cache, event, trim),
                Err(error) => warn!(watch = cache.resource(), %error, "watch failed, will be tried again"),
            }
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
