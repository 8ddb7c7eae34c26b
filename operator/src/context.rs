//! What a reconciler may touch. Nothing else is reachable from a controller: no environment, no files, no clock of its own.

use std::sync::Arc;

use imagefactory_core::settings::Settings;
use jiff::Timestamp;
use kube::Client;
use kube::runtime::events::Recorder;

use crate::dispatcher::Dispatcher;
use crate::keeper::Keeper;
use crate::metrics::Metrics;
use crate::watches::Stores;

/// What a reconciler may touch.
#[derive(Clone)]
pub struct Context {
    /// The API server. Writes go through [`crate::apply`].
    pub client: Client,
    /// What the platform decided when it installed the factory.
    pub settings: Arc<Settings>,
    /// Everything that is watched.
    pub stores: Stores,
    /// Who may start.
    pub dispatcher: Arc<Dispatcher>,
    /// Kubernetes events.
    pub recorder: Recorder,
    /// Counters and histograms.
    pub metrics: Arc<Metrics>,
    /// Logs, and the store that they are kept in.
    pub keeper: Keeper,
    /// The clock, which tests replace.
    pub clock: fn() -> Timestamp,
}

impl Context {
    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }
}
