//! Lists entries by filters, newest first, a page at a time.

use imagefactory_crds::audit::{AuditEvent, EventKind};
use imagefactory_crds::denial::Code;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use sqlx::{Database, Encode, QueryBuilder, Type};

use super::row::cut;
use crate::db::on_pool;
use crate::error::StoreError;
use crate::store::Reader;

/// Most entries of one page.
pub const MAX_PAGE: u32 = 1000;
/// How far the clock of who confirms may be behind that of who recorded the attempt, in microseconds.
const SKEW: i64 = 2_000_000;

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A denial.
    Denied,
    /// An attempt that something later shows to have been made.
    Confirmed,
    /// An attempt that nothing shows yet.
    Pending,
    /// An attempt that nothing has shown for longer than the limit: it was refused after us, lost, or undone before
    /// anybody looked.
    Unconfirmed,
    /// A confirmation of what somebody attempted.
    Attempted,
    /// A confirmation of what nobody attempted: made while the webhook was away.
    Unattempted,
    /// A transition of a run.
    Happened,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Denied,
        Self::Confirmed,
        Self::Pending,
        Self::Unconfirmed,
        Self::Attempted,
        Self::Unattempted,
        Self::Happened,
    ];

    /// The word in JSON and in filters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Confirmed => "confirmed",
            Self::Pending => "pending",
            Self::Unconfirmed => "unconfirmed",
            Self::Attempted => "attempted",
            Self::Unattempted => "unattempted",
            Self::Happened => "happened",
        }
    }

    /// The outcome of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }
}

/// What is listed: what all that is set agrees to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// User name.
    pub actor: Option<String>,
    /// `create`, `update`, `delete`, or a phase.
    pub action: Option<String>,
    /// Kind of event.
    pub kind: Option<EventKind>,
    /// Kind of the resource.
    pub resource_kind: Option<String>,
    /// Namespace of the resource.
    pub namespace: Option<String>,
    /// Name of the resource.
    pub name: Option<String>,
    /// What became of it.
    pub outcome: Option<Outcome>,
    /// Tenant.
    pub tenant: Option<String>,
    /// Project.
    pub project: Option<String>,
    /// Code of a denial or failure.
    pub code: Option<Code>,
}

/// Which part of what is listed.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Only entries before this one: the last of the page before. None: from the newest.
    pub before: Option<i64>,
    /// Most entries, up to [`MAX_PAGE`].
    pub limit: u32,
    /// Now, for attempts that wait for their confirmation.
    pub now: Timestamp,
    /// How long an attempt may wait.
    pub patience: SignedDuration,
}

/// An entry as it is listed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Place in the chain, from 1.
    pub seq: i64,
    /// Hash of the entry.
    pub hash: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The event.
    pub event: AuditEvent,
}

impl Reader {
    /// Lists entries.
    ///
    /// # Errors
    /// When the database can't be asked, or an entry is none.
    pub async fn list(&self, filter: &Filter, page: &Page) -> Result<Vec<Entry>, StoreError> {
        let oldest = page
            .now
            .saturating_sub(page.patience)
            .unwrap_or(Timestamp::MIN)
            .as_microsecond();
        let rows: Vec<(i64, String, String, i64)> =
            on_pool!(&self.pool, pool => select(filter, page, oldest).build_query_as().fetch_all(pool).await?);
        rows.into_iter().map(|row| entry(row, oldest)).collect()
    }
}

fn entry((seq, hash, json, joined): (i64, String, String, i64), oldest: i64) -> Result<Entry, StoreError> {
    let event: AuditEvent = serde_json::from_str(&json).map_err(|error| StoreError::Unreadable {
        seq,
        source: std::sync::Arc::new(error),
    })?;
    let outcome = match (event.kind, joined != 0) {
        (EventKind::Denial, _) => Outcome::Denied,
        (EventKind::Transition, _) => Outcome::Happened,
        (EventKind::Confirmation, true) => Outcome::Attempted,
        (EventKind::Confirmation, false) => Outcome::Unattempted,
        (EventKind::Attempt, true) => Outcome::Confirmed,
        (EventKind::Attempt, false) if event.time.as_microsecond() >= oldest => Outcome::Pending,
        (EventKind::Attempt, false) => Outcome::Unconfirmed,
    };
    Ok(Entry {
        seq,
        hash,
        outcome,
        event,
    })
}

/// Whether an attempt is shown by something later, or a confirmation was attempted. Uids agree where both are known.
fn joined() -> String {
    let uids = "(b.uid = a.uid OR a.uid = '' OR b.uid = '')";
    format!(
        "CASE a.kind \
         WHEN 'attempt' THEN CASE WHEN \
         EXISTS (SELECT 1 FROM audit b WHERE b.shows = a.wants AND b.shows <> '' AND {uids} AND b.seq <> a.seq AND \
         ((b.kind = 'confirmation' AND b.time >= a.time - {SKEW}) OR (b.kind = 'attempt' AND b.time > a.time))) OR \
         EXISTS (SELECT 1 FROM audit b WHERE b.write_key = a.write_key AND b.write_key <> '' AND \
         b.kind = 'confirmation') THEN 1 ELSE 0 END \
         WHEN 'confirmation' THEN CASE WHEN \
         EXISTS (SELECT 1 FROM audit b WHERE b.wants = a.shows AND b.wants <> '' AND {uids} AND \
         b.time - {SKEW} <= a.time) OR \
         EXISTS (SELECT 1 FROM audit b WHERE b.write_key = a.write_key AND b.write_key <> '' AND \
         b.kind = 'attempt') THEN 1 ELSE 0 END \
         ELSE 0 END"
    )
}

fn select<DB>(filter: &Filter, page: &Page, oldest: i64) -> QueryBuilder<DB>
where
    DB: Database,
    DB::Arguments: Default,
    i64: for<'q> Encode<'q, DB> + Type<DB>,
    String: for<'q> Encode<'q, DB> + Type<DB>,
{
    let joined = joined();
    let mut query = QueryBuilder::new(format!(
        "SELECT a.seq, a.hash, a.event, CAST({joined} AS BIGINT) FROM audit a WHERE a.seq < "
    ));
    query.push_bind(page.before.unwrap_or(i64::MAX));
    let texts = [
        ("actor", filter.actor.as_deref()),
        ("action", filter.action.as_deref()),
        ("kind", filter.kind.map(EventKind::as_str)),
        ("resource_kind", filter.resource_kind.as_deref()),
        ("namespace", filter.namespace.as_deref()),
        ("name", filter.name.as_deref()),
        ("tenant", filter.tenant.as_deref()),
        ("project", filter.project.as_deref()),
        ("code", filter.code.map(Code::as_str)),
    ];
    for (column, text) in texts {
        if let Some(text) = text {
            query.push(format_args!(" AND a.{column} = ")).push_bind(cut(text));
        }
    }
    if filter.code.is_some() {
        query.push(" AND a.code <> ''");
    }
    if let Some(since) = filter.since {
        query.push(" AND a.time >= ").push_bind(since.as_microsecond());
    }
    if let Some(until) = filter.until {
        query.push(" AND a.time < ").push_bind(until.as_microsecond());
    }
    match filter.outcome {
        None => {}
        Some(Outcome::Denied) => drop(query.push(" AND a.kind = 'denial'")),
        Some(Outcome::Happened) => drop(query.push(" AND a.kind = 'transition'")),
        Some(Outcome::Confirmed) => drop(query.push(format_args!(" AND a.kind = 'attempt' AND {joined} = 1"))),
        Some(Outcome::Pending) => {
            let pending = format!(" AND a.kind = 'attempt' AND {joined} = 0 AND a.time >= ");
            query.push(pending).push_bind(oldest);
        }
        Some(Outcome::Unconfirmed) => {
            let unconfirmed = format!(" AND a.kind = 'attempt' AND {joined} = 0 AND a.time < ");
            query.push(unconfirmed).push_bind(oldest);
        }
        Some(Outcome::Attempted) => drop(query.push(format_args!(" AND a.kind = 'confirmation' AND {joined} = 1"))),
        Some(Outcome::Unattempted) => drop(query.push(format_args!(" AND a.kind = 'confirmation' AND {joined} = 0"))),
    }
    query
        .push(" ORDER BY a.seq DESC LIMIT ")
        .push_bind(i64::from(page.limit.clamp(1, MAX_PAGE)));
    query
}
