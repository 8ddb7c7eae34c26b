//! How often what happened, from what is stored: entries of the chain and folds that are still open.

use std::collections::BTreeMap;

use imagefactory_crds::audit::{AuditEvent, EventKind};

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
}

/// How often.
pub type Counts = BTreeMap<CountKey, u64>;

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
        };
        add(&mut counts, Counts::from([(key, event.count)]));
    }
    counts
}

/// Of entries after one, up to another.
pub(super) async fn of_entries(tx: &mut Tx, after: i64, upto: i64) -> Result<Counts, StoreError> {
    // Everything, by the index that has all of it: at start.
    const ALL: &str = "SELECT kind, tenant, capability, code, CAST(SUM(count) AS BIGINT) FROM audit \
                       GROUP BY kind, tenant, capability, code";
    const SOME: &str = "SELECT kind, tenant, capability, code, CAST(SUM(count) AS BIGINT) FROM audit \
                        WHERE seq > $1 AND seq <= $2 GROUP BY kind, tenant, capability, code";
    let rows: Vec<Row> = if after == 0 {
        on_tx!(tx, c => sqlx::query_as(ALL).fetch_all(c).await?)
    } else {
        on_tx!(tx, c => sqlx::query_as(SOME).bind(after).bind(upto).fetch_all(c).await?)
    };
    Ok(keyed(rows))
}

/// Of folds that are open.
pub(super) async fn of_folds(tx: &mut Tx) -> Result<Counts, StoreError> {
    const OPEN: &str = "SELECT 'denial', tenant, capability, code, CAST(SUM(count) AS BIGINT) FROM folds \
                        GROUP BY tenant, capability, code";
    Ok(keyed(on_tx!(tx, c => sqlx::query_as(OPEN).fetch_all(c).await?)))
}

fn keyed(rows: Vec<Row>) -> Counts {
    let known = rows.into_iter().filter_map(|(kind, tenant, capability, code, count)| {
        let kind = EventKind::parse(&kind)?.as_str();
        let key = CountKey {
            kind,
            tenant,
            capability,
            code,
        };
        Some((key, u64::try_from(count).ok()?))
    });
    known.collect()
}
