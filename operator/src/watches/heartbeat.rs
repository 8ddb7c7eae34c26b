//! When each watch was last heard of: an event, a bookmark or a list. Bookmarks do not leave kube's watcher, so the
//! client's own layer notes every piece of an answer as it comes in (see [`crate::metrics::requests`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When each resource's lists and watches were last heard of. Cloning gives another handle to the same.
#[derive(Clone, Debug, Default)]
pub struct Heartbeats(Arc<Mutex<BTreeMap<&'static str, Instant>>>);

impl Heartbeats {
    /// The API server said something about `resource` just now.
    pub fn beat(&self, resource: &'static str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(resource, Instant::now());
    }

    /// How long `resource` has been silent; none before it was first heard of.
    #[must_use]
    pub fn silence(&self, resource: &str) -> Option<Duration> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(resource)
            .map(Instant::elapsed)
    }

    /// All resources that were heard of, with their silence.
    #[must_use]
    pub fn all(&self) -> Vec<(&'static str, Duration)> {
        let beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        beats
            .iter()
            .map(|(resource, last)| (*resource, last.elapsed()))
            .collect()
    }
}
