//! The registry of what a process counts, and its text. Cloning gives another handle to the same one.

use std::fmt::{Debug, Formatter};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// Content type of what [`Exposition::encode`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a process counts, under the prefix that all of ours have.
#[derive(Clone)]
pub struct Exposition(Arc<Mutex<Registry>>);

impl Exposition {
    /// A registry with the version of the program.
    #[must_use]
    pub fn new(version: &'static str) -> Self {
        let mut registry = Registry::with_prefix("imagefactory");
        let version = Info::new(vec![("version", version)]);
        registry.register("build", "Version of the running program", version);
        Self(Arc::new(Mutex::new(registry)))
    }

    /// Adds families that code counts into.
    pub fn register(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.lock());
    }

    /// Adds what is computed on scrape.
    pub fn add_collector(&self, collector: impl Collector) {
        self.lock().register_collector(Box::new(collector));
    }

    /// Everything in OpenMetrics' text form.
    ///
    /// # Errors
    /// When a collector fails, which none of ours does.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.lock())?;
        Ok(text)
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debug for Exposition {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exposition")
    }
}
