//! Carries one watch into its hub, for as long as the process lives.

use std::sync::Arc;

use futures::{StreamExt, pin_mut};
use imagefactory_serving::Guarded;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use tracing::{debug, info, warn};

use super::feed::Malformed;
use super::hub::{Hub, Watched};
use crate::metrics::Metrics;
use crate::runner::chain;

/// How long a watch is asked for, in seconds. One that is silent for five seconds more is opened anew: its connection died and
/// nobody said so. With kube's own measure it would take five minutes to find out.
const WATCH_SECONDS: u32 = 85;

/// Which objects of a kind are watched, and what of them is kept.
pub struct Selection<K> {
    labels: Option<String>,
    trim: fn(&mut K),
}

impl<K> Selection<K> {
    /// All objects.
    #[must_use]
    pub fn all(trim: fn(&mut K)) -> Self {
        Self { labels: None, trim }
    }

    /// Objects with these labels.
    #[must_use]
    pub fn labelled(labels: impl Into<String>, trim: fn(&mut K)) -> Self {
        Self {
            labels: Some(labels.into()),
            trim,
        }
    }
}

/// Watches a kind in all namespaces and never ends: errors are logged and tried again with back-off. A kind whose
/// CustomResourceDefinition is missing is asked for until it is there.
pub fn watch<K>(
    client: &Client,
    hub: Hub<K>,
    what: Selection<K>,
    metrics: Arc<Metrics>,
) -> impl Future<Output = ()> + use<K>
where
    K: Watched + DeserializeOwned,
{
    let api = Api::<Guarded<K>>::all(client.clone());
    let config = watcher::Config {
        label_selector: what.labels,
        timeout: Some(WATCH_SECONDS),
        ..watcher::Config::default()
    };
    let events = watcher(api, config).default_backoff();
    async move {
        pin_mut!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => take(&hub, event, what.trim, &metrics),
                Err(error) => report_error(&K::plural(&()), error),
            }
        }
    }
}

fn take<K: Watched>(hub: &Hub<K>, event: watcher::Event<Guarded<K>>, trim: fn(&mut K), metrics: &Metrics) {
    let event = event.modify(|object| {
        if let Ok(object) = &mut object.0 {
            trim(object);
        }
    });
    let first_list_ends = matches!(event, watcher::Event::InitDone) && !hub.is_synced();
    if let Some(malformed) = hub.take(event) {
        report_malformed::<K>(&malformed, metrics);
    }
    if first_list_ends {
        info!(watch = &*K::plural(&()), objects = hub.store().len(), "cache filled");
    } else {
        debug!(watch = &*K::plural(&()), "event");
    }
}

fn report_error(kind: &str, error: watcher::Error) {
    match error {
        // Happens to every watch now and then: the list is read again.
        watcher::Error::WatchError(status) if status.code == 410 => info!(watch = kind, "watch starts anew"),
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => {
            warn!(watch = kind, error = chain(&error), "watch failed, will be tried again");
        }
        error => warn!(watch = kind, %error, "watch failed, will be tried again"),
    }
}

fn report_malformed<K: Watched>(malformed: &Malformed, metrics: &Metrics) {
    let Malformed {
        reference,
        generation,
        error,
    } = malformed;
    warn!(
        kind = &*K::kind(&()),
        namespace = reference.namespace.as_deref(),
        name = reference.name.as_deref(),
        generation,
        // Quotes what a tenant may have written, so control characters are escaped.
        error = %error.escape_debug(),
        "object does not parse, waiting for a change"
    );
    metrics.malformed_object(&K::plural(&()));
}
