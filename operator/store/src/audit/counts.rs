//! How often what happened, from what is stored: entries of the chain and folds that are still open.

use std::collections::BTreeMap;

use imagefactory_crds::audit::{AuditEvent, EventKind};
use imagefactory_crds::denial::Code;
use imagefactory_crds::sor_record::NotRegistered;

use super::row::Columns;
use crate::db::{Tx, on_tx};
use crate::error::StoreError;

/// What is counted apart. All but the tenant are words of fixed sets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountKey {
    /// [`EventKind::as_str`].
    pub kind: &'static str,
    /// Tenant; empty where there is none.
    pub tenant: String,
    /// Capability; empty where there is none.
    pub capability: String,
    /// Code; empty where there is none.
    pub code: String,
    /// What is wrong with a registration ([`NotRegistered::as_str`]), of what is refused for want of one; else empty.
    pub cause: &'static str,
}

/// How often.
pub type Counts = BTreeMap<CountKey, u64>;

/// The code whose events are read for what they say, and not counted by their columns alone.
const READ: &str = "sor_registration_required";
/// Events that are read at a time.
const PAGE: i64 = 1000;

type Row = (String, String, String, String, i64);

/// What is counted, in two parts that change together.
#[derive(Clone, Debug, Default)]
pub(super) struct Counter {
    /// The last entry that is counted.
    pub(super) upto: i64,
    pub(super) entries: Counts,
    pub(super) folds: Counts,
}

impl Counter {
    pub(super) fn total(&self) -> Counts {
        let mut total = self.entries.clone();
        add(&mut total, self.folds.clone());
        total
    }
}

pub(super) fn add(to: &mut Counts, more: Counts) {
    for (key, count) in more {
        let known = to.entry(key).or_default();
        *known = known.saturating_add(count);
    }
}

pub(super) fn of_events<'a>(events: impl IntoIterator<Item = &'a AuditEvent>) -> Counts {
    let mut counts = Counts::new();
    for event in events {
        let columns = Columns::of(event);
        let key = CountKey {
            kind: columns.kind,
            tenant: columns.tenant,
            capability: columns.capability.to_owned(),
            code: columns.code.to_owned(),
            cause: cause(event),
        };
        add(&mut counts, Counts::from([(key, event.count)]));
    }
    counts
}

/// A denial for want of a registration says in its message, and nowhere else, what is wrong with the record.
fn cause(event: &AuditEvent) -> &'static str {
    let told = || NotRegistered::told(&event.message);
    let is_so = event.code == Some(Code::SorRegistrationRequired);
    is_so.then(told).flatten().map_or("", NotRegistered::as_str)
}

/// Of entries after one, up to another.
pub(super) async fn of_entries(tx: &mut Tx, after: i64, upto: i64) -> Result<Counts, StoreError> {
    // Everything, by the index that has all of it: at start.
    const ALL: &str = "SELECT kind, tenant, capability, code, CAST(SUM(count) AS BIGINT) FROM audit \
                       WHERE code <> $1 GROUP BY kind, tenant, capability, code";
    const SOME: &str = "SELECT kind, tenant, capability, code, CAST(SUM(count) AS BIGINT) FROM audit \
                        WHERE code <> $1 AND seq > $2 AND seq <= $3 GROUP BY kind, tenant, capability, code";
    let rows: Vec<Row> = if after == 0 {
        on_tx!(tx, c => sqlx::query_as(ALL).bind(READ).fetch_all(c).await?)
    } else {
        on_tx!(tx, c => sqlx::query_as(SOME).bind(READ).bind(after).bind(upto).fetch_all(c).await?)
    };
    let mut counts = keyed(rows);
    add(&mut counts, of_read(tx, after, upto).await?);
    Ok(counts)
}

/// Of entries whose cause stands in the event itself, a page at a time.
async fn of_read(tx: &mut Tx, mut after: i64, upto: i64) -> Result<Counts, StoreError> {
    // The index holds codes that are not empty, and is used by who says so.
    const EVENTS: &str = "SELECT seq, event FROM audit WHERE code <> '' AND code = $1 AND seq > $2 AND seq <= $3 \
                          ORDER BY seq LIMIT $4";
    let mut counts = Counts::new();
    loop {
        let page: Vec<(i64, String)> =
            on_tx!(tx, c => sqlx::query_as(EVENTS).bind(READ).bind(after).bind(upto).bind(PAGE).fetch_all(c).await?);
        let Some((last, _)) = page.last() else {
            return Ok(counts);
        };
        after = *last;
        let events = page.iter().map(|(_, event)| serde_json::from_str(event));
        add(&mut counts, of_events(&events.collect::<Result<Vec<AuditEvent>, _>>()?));
    }
}

/// Of folds that are open.
pub(super) async fn of_folds(tx: &mut Tx) -> Result<Counts, StoreError> {
    const OPEN: &str = "SELECT 'denial', tenant, capability, code, CAST(SUM(count) AS BIGINT) FROM folds \
                        WHERE code <> $1 GROUP BY tenant, capability, code";
    const SAMPLES: &str = "SELECT sample, count FROM folds WHERE code = $1";
    let mut counts = keyed(on_tx!(tx, c => sqlx::query_as(OPEN).bind(READ).fetch_all(c).await?));
    let samples: Vec<(String, i64)> = on_tx!(tx, c => sqlx::query_as(SAMPLES).bind(READ).fetch_all(c).await?);
    for (sample, count) in samples {
        let mut event: AuditEvent = serde_json::from_str(&sample)?;
        event.count = u64::try_from(count).unwrap_or(1);
        add(&mut counts, of_events([&event]));
    }
    Ok(counts)
}

fn keyed(rows: Vec<Row>) -> Counts {
    let known = rows.into_iter().filter_map(|(kind, tenant, capability, code, count)| {
        let kind = EventKind::parse(&kind)?.as_str();
        let key = CountKey {
            kind,
            tenant,
            capability,
            code,
            cause: "",
        };
        Some((key, u64::try_from(count).ok()?))
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_has_causes() {
        assert_eq!(Code::SorRegistrationRequired.as_str(), READ);
    }
}
