//! SorRecords: plan → status. Nothing is made for a record; it is told where it stands, at the very moment when that
//! changes.

mod error;
mod fetch;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use imagefactory_core::sor_record::{Situation, look_again, status};
use imagefactory_crds::SorRecord;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

use super::tenant::halt;
use crate::apply::Write;
use crate::context::Context;
use crate::runner::{self, Outcome, Wiring};
use crate::watches::{Hubs, Index};

pub use error::SorRecordError;
use fetch::Confirmed;

/// How soon to look again after the record turned out to have changed since it was read.
const SOON: Duration = Duration::from_secs(1);

/// Runs the controller until `stop`, and beside it what fetches records. A record is woken by itself, when it was
/// fetched, and by those that have its id: of them one counts.
pub async fn run(context: Arc<Context>, hubs: Hubs, stop: CancellationToken) {
    let by_id = hubs.sor_records.index();
    let doubles = hubs.sor_records.leads_to(move |record| doubles(&record, &by_id));
    let (wake, mut woken) = unbounded_channel();
    let fetched = futures::stream::poll_fn(move |cx| woken.poll_recv(cx)).boxed();
    let wiring = Wiring::new("sor-record", &hubs.sor_records)
        .also_on(doubles)
        .also_on(fetched);
    let confirmed = Confirmed::default();
    let fetching = fetch::run(context.clone(), confirmed.clone(), wake, stop.clone());
    let reconcile = move |record, context| reconcile(record, context, confirmed.clone());
    tokio::join!(runner::run(wiring, context, stop, reconcile), fetching);
}

/// The other records that have the id of this one.
fn doubles(record: &SorRecord, by_id: &Index<SorRecord>) -> Vec<ObjectRef<SorRecord>> {
    let name = record.name_any();
    let same_id = by_id.get(&record.spec.record_id);
    let others = same_id.iter().filter(|other| other.name_any() != name);
    others.map(|other| ObjectRef::from_obj(&**other)).collect()
}

async fn reconcile(
    record: Arc<SorRecord>,
    context: Arc<Context>,
    confirmed: Confirmed,
) -> Result<Outcome, SorRecordError> {
    // Reads: stores alone.
    let same_id = context.stores.sor_records_by_id.get(&record.spec.record_id);
    let elder = same_id
        .iter()
        .filter(|other| other.seniority() < record.seniority())
        .min_by(|one, other| one.seniority().cmp(&other.seniority()))
        .map(|elder| elder.name_any());
    let situation = Situation {
        record: &record,
        elder: elder.as_deref(),
        confirmed: confirmed.at(&record.name_any()),
        window: context.settings.sor.window(),
        greatest_age: context.settings.sor.greatest_age(),
        now: context.now(),
    };
    let Some(status) = status(situation) else {
        return Ok(Outcome::unchanged());
    };
    // Writes.
    let records: Api<SorRecord> = Api::all(context.client.clone());
    let outcome = match halt::write_status(&records, &record, record.status.as_ref(), &status, &context).await? {
        Write::Written => Outcome::changed(),
        Write::Unchanged => Outcome::unchanged(),
        Write::Gone => return Ok(Outcome::unchanged()),
        Write::Outdated => return Ok(Outcome::waiting().again_after(SOON)),
    };
    Ok(look_again(situation, &status).map_or(outcome, |delay| outcome.again_after(delay)))
}
