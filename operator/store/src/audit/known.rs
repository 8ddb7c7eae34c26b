//! Looks up what is stored that matters for a batch: few queries, however many events.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use imagefactory_crds::audit::{AuditEvent, EventKind, WRITE_WINDOW_SECONDS};
use sqlx::{Database, Encode, QueryBuilder, Type};

use super::check::is_key;
use super::decide::Known;
use super::fold::{Fold, Rules, Window, window_of};
use crate::db::{Tx, on_pool, on_tx};
use crate::error::StoreError;
use crate::store::Reader;

/// A row of `folds`: key, start of the window, sample, count, first and last time, when it closes.
pub(super) type FoldRow = (String, i64, String, i64, i64, i64, i64);

/// Where ids are: of entries, and of what was folded.
const IDS: [&str; 2] = ["SELECT id FROM audit WHERE id", "SELECT id FROM folded WHERE id"];

/// Columns of a [`FoldRow`].
pub(super) const FOLD_COLUMNS: &str = "fold_key, window_start, sample, count, first_time, last_time, closes";

impl Reader {
    /// Which of these ids are of events that are stored: as an entry, or counted in one.
    ///
    /// # Errors
    /// When the database can't be asked.
    pub async fn known(&self, ids: &[String]) -> Result<Vec<String>, StoreError> {
        // What can be no id is stored nowhere, and not every database takes it as text.
        let ids: BTreeSet<&str> = ids.iter().map(String::as_str).filter(|id| is_key(id)).collect();
        let mut known = Vec::new();
        if ids.is_empty() {
            return Ok(known);
        }
        for table in IDS {
            let rows: Vec<(String,)> =
                on_pool!(&self.pool, pool => listed(table, &ids, None).build_query_as().fetch_all(pool).await?);
            known.extend(rows.into_iter().map(|(id,)| id));
        }
        Ok(known)
    }
}

pub(super) async fn load(tx: &mut Tx, events: &[AuditEvent], rules: Rules) -> Result<Known, StoreError> {
    let mut known = Known::default();
    let ids: BTreeSet<&str> = events.iter().map(|event| event.id.as_str()).collect();
    if ids.is_empty() {
        return Ok(known);
    }
    for table in IDS {
        let rows: Vec<(String,)> = on_tx!(tx, c => listed(table, &ids, None).build_query_as().fetch_all(c).await?);
        known.ids.extend(rows.into_iter().map(|(id,)| id));
    }
    let fresh = || events.iter().filter(|event| !known.ids.contains(&event.id));
    let writes: BTreeSet<&str> = fresh()
        .map(|event| event.write_key.as_str())
        .filter(|key| !key.is_empty())
        .collect();
    let windows: HashSet<Window> = fresh().filter_map(|event| window_of(event, rules)).collect();
    let (earliest, latest) = times(events);
    load_writes(tx, &mut known, &writes, (earliest, latest)).await?;
    load_folds(tx, &mut known, &windows, rules).await?;
    Ok(known)
}

async fn load_writes(
    tx: &mut Tx,
    known: &mut Known,
    keys: &BTreeSet<&str>,
    (earliest, latest): (i64, i64),
) -> Result<(), StoreError> {
    if keys.is_empty() {
        return Ok(());
    }
    let around = WRITE_WINDOW_SECONDS * 1_000_000;
    // Keys are nearly unique, and much may lie in that time: added to, it can't be what is looked up by.
    let within = Some([
        (" AND write_key <> '' AND time + 0 >= ", earliest - around),
        (" AND time + 0 <= ", latest + around),
    ]);
    let select = "SELECT kind, write_key, time FROM audit WHERE write_key";
    let rows: Vec<(String, String, i64)> =
        on_tx!(tx, c => listed(select, keys, within).build_query_as().fetch_all(c).await?);
    for (kind, key, time) in rows {
        if let Some(kind) = EventKind::parse(&kind) {
            known.writes.entry((kind, key)).or_default().push(time);
        }
    }
    // Only denials are folded.
    let select = "SELECT write_key, time FROM folded WHERE write_key";
    let rows: Vec<(String, i64)> = on_tx!(tx, c => listed(select, keys, within).build_query_as().fetch_all(c).await?);
    for (key, time) in rows {
        known.writes.entry((EventKind::Denial, key)).or_default().push(time);
    }
    Ok(())
}

async fn load_folds(tx: &mut Tx, known: &mut Known, windows: &HashSet<Window>, rules: Rules) -> Result<(), StoreError> {
    let keys: BTreeSet<&str> = windows.iter().map(|(key, _)| key.as_str()).collect();
    let starts = || windows.iter().map(|(_, start)| *start);
    let (Some(from), Some(to)) = (starts().min(), starts().max()) else {
        return Ok(());
    };
    let end = to.saturating_add(rules.window);
    let within = Some([(" AND fold_key <> '' AND time >= ", from), (" AND time < ", end)]);
    let select = "SELECT fold_key, time FROM audit WHERE fold_key";
    let rows: Vec<(String, i64)> = on_tx!(tx, c => listed(select, &keys, within).build_query_as().fetch_all(c).await?);
    for (key, time) in rows {
        *known
            .singles
            .entry((key, time - time.rem_euclid(rules.window)))
            .or_default() += 1;
    }
    let within = Some([(" AND window_start >= ", from), (" AND window_start <= ", to)]);
    let select = format!("SELECT {FOLD_COLUMNS} FROM folds WHERE fold_key");
    let rows: Vec<FoldRow> = on_tx!(tx, c => listed(&select, &keys, within).build_query_as().fetch_all(c).await?);
    known.folds = folds(rows)?;
    Ok(())
}

pub(super) fn folds(rows: Vec<FoldRow>) -> Result<BTreeMap<Window, Fold>, StoreError> {
    rows.into_iter()
        .map(|(key, start, sample, count, first, last, closes)| {
            let window = (key, start);
            let fold = Fold {
                window: window.clone(),
                sample: serde_json::from_str(&sample)?,
                count: u64::try_from(count).unwrap_or(1),
                first,
                last,
                closes,
            };
            Ok((window, fold))
        })
        .collect()
}

fn times(events: &[AuditEvent]) -> (i64, i64) {
    let times = || events.iter().map(|event| event.time.as_microsecond());
    (times().min().unwrap_or_default(), times().max().unwrap_or_default())
}

/// What else is asked of a row: text, and the number that follows it.
type Rest<'a> = [(&'a str, i64); 2];

/// `<select> IN (…)<rest>`. The list is filled up to a power of two, and numbers are parameters too, so that there are few
/// statements to prepare.
fn listed<DB>(select: &str, values: &BTreeSet<&str>, rest: Option<Rest<'_>>) -> QueryBuilder<DB>
where
    DB: Database,
    DB::Arguments: Default,
    String: for<'q> Encode<'q, DB> + Type<DB>,
    i64: for<'q> Encode<'q, DB> + Type<DB>,
{
    let mut query = QueryBuilder::new(format!("{select} IN ("));
    let size = values.len().next_power_of_two();
    let last = values.last().copied().unwrap_or_default();
    let mut list = query.separated(", ");
    for value in values.iter().copied().chain(std::iter::repeat(last)).take(size) {
        list.push_bind(value.to_owned());
    }
    query.push(")");
    for (text, number) in rest.into_iter().flatten() {
        query.push(text).push_bind(number);
    }
    query
}
