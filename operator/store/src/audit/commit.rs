//! One transaction of the writer: the chain's end is locked, due folds become entries, the batch is decided and written.

use imagefactory_crds::audit::AuditEvent;
use sqlx::{Database, Encode, QueryBuilder, Type};

use super::counts::{self, Counter};
use super::decide::{Folded, decide};
use super::fold::{At, Fold, Rules};
use super::known::{self, FOLD_COLUMNS, FoldRow};
use super::row::Columns;
use super::{canonical, chain};
use crate::db::{Pool, Tx, on_tx};
use crate::error::StoreError;

/// Rows of one INSERT.
const ROWS: usize = 32;
/// Folds that are closed at a time.
const DUE: i64 = 256;

/// What a transaction goes by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) rules: Rules,
    /// Now, in microseconds.
    pub(super) now: i64,
    /// Forget folded ids that were seen before; none: not this time.
    pub(super) forget: Option<i64>,
}

/// What a transaction did.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) is_new: Vec<bool>,
    pub(super) counter: Counter,
    /// Whether more folds are due.
    pub(super) more: bool,
}

pub(super) async fn commit(
    pool: &Pool,
    events: Vec<AuditEvent>,
    terms: Terms,
    mut counter: Counter,
) -> Result<Done, StoreError> {
    let mut tx = pool.begin().await?;
    let (seq, hash) = lock_end(&mut tx).await?;
    let others_wrote = counter.upto != seq;
    if others_wrote {
        let others = counts::of_entries(&mut tx, counter.upto, seq).await?;
        counts::add(&mut counter.entries, others);
    }
    let due = due_folds(&mut tx, terms.now).await?;
    let known = known::load(&mut tx, &events, terms.rules).await?;
    let plan = decide(
        events,
        known,
        At {
            rules: terms.rules,
            now: terms.now,
        },
    );
    let mut entries: Vec<_> = due.iter().map(Fold::entry).collect();
    entries.extend(plan.entries);
    close(&mut tx, &due).await?;
    let end = append(&mut tx, &entries, (seq, hash)).await?;
    for fold in plan.folds.values() {
        keep_fold(&mut tx, fold).await?;
    }
    remember(&mut tx, &plan.folded, terms.now).await?;
    if let Some(before) = terms.forget {
        on_tx!(&mut tx, c => sqlx::query("DELETE FROM folded WHERE seen < $1").bind(before).execute(c).await.map(drop)?);
    }
    counts::add(&mut counter.entries, counts::of_events(&entries));
    counter.upto = end;
    if others_wrote || !due.is_empty() || !plan.folds.is_empty() || terms.forget.is_some() {
        counter.folds = counts::of_folds(&mut tx).await?;
    }
    tx.commit().await?;
    Ok(Done {
        is_new: plan.is_new,
        counter,
        more: due.len() as i64 == DUE,
    })
}

/// Whoever has the chain's end appends alone, also of several processes on PostgreSQL. SQLite has locked it already.
async fn lock_end(tx: &mut Tx) -> Result<(i64, String), StoreError> {
    const END: &str = "SELECT seq, hash FROM chain WHERE id = 1";
    const END_LOCKED: &str = "SELECT seq, hash FROM chain WHERE id = 1 FOR UPDATE";
    Ok(match tx {
        Tx::Sqlite(tx) => sqlx::query_as(END).fetch_one(&mut **tx).await?,
        Tx::Postgres(tx) => sqlx::query_as(END_LOCKED).fetch_one(&mut **tx).await?,
    })
}

async fn due_folds(tx: &mut Tx, now: i64) -> Result<Vec<Fold>, StoreError> {
    let mut query = format!("SELECT {FOLD_COLUMNS} FROM folds WHERE closes <= ");
    query.push_str("$1 ORDER BY closes, fold_key, window_start LIMIT $2");
    let query = || sqlx::AssertSqlSafe(query.as_str());
    let rows: Vec<FoldRow> = on_tx!(tx, c => sqlx::query_as(query()).bind(now).bind(DUE).fetch_all(c).await?);
    let mut due: Vec<_> = known::folds(rows)?.into_values().collect();
    due.sort_by_key(|fold| fold.closes);
    Ok(due)
}

async fn close(tx: &mut Tx, folds: &[Fold]) -> Result<(), StoreError> {
    const CLOSE: &str = "DELETE FROM folds WHERE fold_key = $1 AND window_start = $2";
    for fold in folds {
        let (key, start) = (&fold.window.0, fold.window.1);
        on_tx!(tx, c => sqlx::query(CLOSE).bind(key).bind(start).execute(c).await.map(drop)?);
    }
    Ok(())
}

async fn append(tx: &mut Tx, entries: &[AuditEvent], end: (i64, String)) -> Result<i64, StoreError> {
    if entries.is_empty() {
        return Ok(end.0);
    }
    let (mut seq, mut hash) = end;
    let mut rows = Vec::with_capacity(entries.len());
    for event in entries {
        seq += 1;
        let json = canonical::event(event)?;
        let next = chain::hash(seq, &hash, &json);
        rows.push(Row {
            seq,
            columns: Columns::of(event),
            json,
            previous: std::mem::replace(&mut hash, next.clone()),
            hash: next,
        });
    }
    let mut rest = rows.as_slice();
    while !rest.is_empty() {
        // Powers of two: few statements to prepare.
        let size = ROWS.min(if rest.len() >= ROWS {
            ROWS
        } else {
            1 << rest.len().ilog2()
        });
        let (now, later) = rest.split_at(size);
        on_tx!(tx, c => insert(now).build().execute(c).await.map(drop)?);
        rest = later;
    }
    const MOVE_END: &str = "UPDATE chain SET seq = $1, hash = $2 WHERE id = 1";
    on_tx!(tx, c => sqlx::query(MOVE_END).bind(seq).bind(hash).execute(c).await.map(drop)?);
    Ok(seq)
}

struct Row {
    seq: i64,
    columns: Columns,
    json: String,
    previous: String,
    hash: String,
}

fn insert<DB>(rows: &[Row]) -> QueryBuilder<DB>
where
    DB: Database,
    DB::Arguments: Default,
    i64: for<'q> Encode<'q, DB> + Type<DB>,
    String: for<'q> Encode<'q, DB> + Type<DB>,
    &'static str: for<'q> Encode<'q, DB> + Type<DB>,
{
    let mut query = QueryBuilder::new(
        "INSERT INTO audit (seq, id, time, kind, actor, action, resource_kind, namespace, name, uid, tenant, project, \
         code, capability, count, write_key, fold_key, wants, shows, event, prev_hash, hash) ",
    );
    query.push_values(rows, |mut row, entry| {
        let columns = &entry.columns;
        row.push_bind(entry.seq)
            .push_bind(columns.id.clone())
            .push_bind(columns.time)
            .push_bind(columns.kind);
        for text in [
            &columns.actor,
            &columns.action,
            &columns.resource_kind,
            &columns.namespace,
            &columns.name,
        ] {
            row.push_bind(text.clone());
        }
        for text in [&columns.uid, &columns.tenant, &columns.project] {
            row.push_bind(text.clone());
        }
        row.push_bind(columns.code)
            .push_bind(columns.capability)
            .push_bind(columns.count);
        for text in [&columns.write_key, &columns.fold_key, &columns.wants, &columns.shows] {
            row.push_bind(text.clone());
        }
        for text in [&entry.json, &entry.previous, &entry.hash] {
            row.push_bind(text.clone());
        }
    });
    query
}

async fn keep_fold(tx: &mut Tx, fold: &Fold) -> Result<(), StoreError> {
    const KEEP: &str = "INSERT INTO folds (fold_key, window_start, sample, count, first_time, last_time, closes, tenant, \
                        capability, code) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
                        ON CONFLICT (fold_key, window_start) DO UPDATE SET sample = excluded.sample, \
                        count = excluded.count, first_time = excluded.first_time, last_time = excluded.last_time";
    let sample = canonical::event(&fold.sample)?;
    let columns = Columns::of(&fold.sample);
    let count = i64::try_from(fold.count).unwrap_or(i64::MAX);
    on_tx!(tx, c => {
        let query = sqlx::query(KEEP).bind(&fold.window.0).bind(fold.window.1).bind(sample).bind(count);
        let query = query.bind(fold.first).bind(fold.last).bind(fold.closes);
        query.bind(columns.tenant).bind(columns.capability).bind(columns.code).execute(c).await.map(drop)?;
    });
    Ok(())
}

async fn remember(tx: &mut Tx, folded: &[Folded], now: i64) -> Result<(), StoreError> {
    for some in folded.chunks(ROWS * 8) {
        on_tx!(tx, c => remembered(some, now).build().execute(c).await.map(drop)?);
    }
    Ok(())
}

fn remembered<DB>(folded: &[Folded], now: i64) -> QueryBuilder<DB>
where
    DB: Database,
    DB::Arguments: Default,
    i64: for<'q> Encode<'q, DB> + Type<DB>,
    String: for<'q> Encode<'q, DB> + Type<DB>,
{
    let mut query = QueryBuilder::new("INSERT INTO folded (id, write_key, time, seen) ");
    query.push_values(folded, |mut row, one| {
        row.push_bind(one.id.clone())
            .push_bind(one.write_key.clone())
            .push_bind(one.time)
            .push_bind(now);
    });
    query
}
