//! Fetches records from an HTTP system of record, in the process that leads: fetch → plan → apply, again and again.
//!
//! That a record was fetched is not written here: [`Confirmed`] tells the controller of SorRecords, which writes it into
//! the record's status when it is time to.

mod error;
mod http;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use imagefactory_core::sor_record::fetch::{Action, plan};
use imagefactory_core::sor_record::listing::Listing;
use imagefactory_core::sor_record::settings::SorHttpSettings;
use imagefactory_crds::SorRecord;
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::apply::{self, ApplyError, Write};
use crate::context::Context;
use crate::runner::{chain, delay};
use error::SorError;
use http::SystemOfRecord;

/// Bad records that are told of, each by itself; of the rest the number.
const TOLD: usize = 20;

/// When each record, by its name, was last fetched as it is. Lost with the process: then everything is fetched.
#[derive(Clone, Default)]
pub(super) struct Confirmed(Arc<Mutex<HashMap<String, Timestamp>>>);

impl Confirmed {
    /// When the record was last fetched as it is.
    pub(super) fn at(&self, name: &str) -> Option<Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    fn add(&self, name: String, now: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, now);
    }

    fn replace(&self, names: &[String], now: Timestamp) {
        let confirmed = names.iter().map(|name| (name.clone(), now)).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = confirmed;
    }
}

/// Fetches until `stop`, where the settings name a system of record. `wake` is told which records were.
pub(super) async fn run(
    context: Arc<Context>,
    confirmed: Confirmed,
    wake: UnboundedSender<ObjectRef<SorRecord>>,
    stop: CancellationToken,
) {
    let Some(settings) = context.settings.sor.http.clone() else {
        return stop.cancelled().await;
    };
    let mut fetcher = Fetcher {
        source: None,
        settings,
        context,
        confirmed,
        wake,
    };
    let mut failures = 0_u32;
    loop {
        let pause = tokio::select! {
            () = stop.cancelled() => return,
            pause = fetcher.round(&mut failures) => pause,
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

struct Fetcher {
    source: Option<SystemOfRecord>,
    settings: SorHttpSettings,
    context: Arc<Context>,
    confirmed: Confirmed,
    wake: UnboundedSender<ObjectRef<SorRecord>>,
}

impl Fetcher {
    /// Fetches once. How long to wait for the next time: after a failure less than the interval, and longer each time.
    async fn round(&mut self, failures: &mut u32) -> Duration {
        let interval = self.settings.interval().unsigned_abs();
        match self.pass().await {
            Ok(outcome) => {
                *failures = 0;
                self.context.metrics.sor_fetched(outcome);
                self.context.metrics.sor_heard(self.context.now().as_second());
                interval
            }
            Err(error) => {
                self.context.metrics.sor_fetched("failed");
                warn!(
                    error = chain(&error),
                    "records could not be fetched from the system of record"
                );
                *failures = failures.saturating_add(1);
                delay(*failures, rand::random()).min(interval)
            }
        }
    }

    async fn pass(&mut self) -> Result<&'static str, SorError> {
        let source = match &mut self.source {
            Some(source) => source,
            none => none.insert(SystemOfRecord::new(
                &self.settings,
                self.context.settings.ca_bundle.as_deref(),
            )?),
        };
        let (asked, was_new) = (self.context.now(), source.fetch().await?);
        let listing = source.listing();
        if was_new {
            tell(listing);
        }
        self.context.metrics.sor_rejected(listing.rejected.len());
        let told = Told {
            confirmed: &self.confirmed,
            wake: &self.wake,
            asked,
        };
        carry_out(listing, &self.context, &told).await;
        Ok(if was_new { "fetched" } else { "unmodified" })
    }
}

/// Says which records are bad, once for each answer.
fn tell(listing: &Listing) {
    info!(
        records = listing.records.len(),
        rejected = listing.rejected.len(),
        "records fetched from the system of record"
    );
    for rejected in listing.rejected.iter().take(TOLD) {
        let (place, id, why) = (rejected.place, rejected.id.as_deref(), &rejected.why);
        warn!(
            place,
            id, why, "record of the system of record is bad and not taken over"
        );
    }
}

/// Who is told that a record is what was fetched.
struct Told<'a> {
    confirmed: &'a Confirmed,
    wake: &'a UnboundedSender<ObjectRef<SorRecord>>,
    /// When it was asked: what was true then.
    asked: Timestamp,
}

impl Told<'_> {
    fn wake(&self, name: &str) {
        // Nobody listens only while the process ends.
        let _ = self.wake.send(ObjectRef::new(name));
    }
}

/// Does what follows from a fetch. A record that could not be written is not confirmed, and the next fetch tries again.
async fn carry_out(listing: &Listing, context: &Context, told: &Told<'_>) {
    let existing = context.stores.sor_records.state();
    let plan = plan(listing, &existing.iter().map(AsRef::as_ref).collect::<Vec<_>>());
    for name in &plan.in_the_way {
        warn!(
            name,
            "a SorRecord that was not fetched has the name of one that was; it is left alone"
        );
    }
    let records: Api<SorRecord> = Api::all(context.client.clone());
    let mut applied = Vec::new();
    for action in &plan.actions {
        match action {
            Action::Apply(record) | Action::Change(record, _) => match write(&records, action, record).await {
                Ok(()) => {
                    applied.push(record.name_any());
                    told.confirmed.add(record.name_any(), told.asked);
                    told.wake(&record.name_any());
                }
                Err(error) => warn!(
                    error = chain(&error),
                    record = record.name_any(),
                    "record was not written"
                ),
            },
            Action::Remove(record) => remove(&records, record).await,
        }
    }
    let names: Vec<_> = plan.confirmed.iter().cloned().chain(applied).collect();
    told.confirmed.replace(&names, told.asked);
    plan.confirmed.iter().for_each(|name| told.wake(name));
}

async fn write(records: &Api<SorRecord>, action: &Action, record: &SorRecord) -> Result<(), ApplyError> {
    if let Action::Change(_, patch) = action {
        // One that is gone meanwhile is made at the next fetch.
        return apply::change(records, &record.name_any(), patch).await.map(|_| ());
    }
    apply::apply(records, record).await.map(|_| ())
}

async fn remove(records: &Api<SorRecord>, record: &SorRecord) {
    match apply::delete_if_present(records, record).await {
        Ok(Write::Written) => info!(record = record.name_any(), "the system of record has it no more"),
        Ok(Write::Unchanged | Write::Gone | Write::Outdated) => {}
        Err(error) => warn!(
            error = chain(&error),
            record = record.name_any(),
            "record was not removed"
        ),
    }
}
