//! Walks the chain from its beginning and names the first bad entry.

use imagefactory_crds::audit::AuditEvent;
use serde::Serialize;
use sqlx::{FromRow, Row};

use super::chain;
use super::row::Columns;
use crate::db::{Pool, on_pool};
use crate::error::StoreError;
use crate::store::Reader;

/// Entries that are read at a time.
const PAGE: i64 = 1000;

/// An end of the chain: noted elsewhere, it shows later that nothing before it was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Head {
    /// Number of the last entry; 0 before the first.
    pub seq: i64,
    /// Its hash.
    pub hash: String,
}

/// The chain is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Its end.
    pub head: Head,
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// It is not there.
    Gap,
    /// It does not name the hash of the one before it.
    Link,
    /// Its hash is not that of its content.
    Hash,
    /// Its columns say something else than its event.
    Columns,
    /// Its event can't be read.
    Unreadable,
    /// The chain's recorded end is another.
    End,
    /// It is another one than what was noted earlier.
    Noted,
}

/// The first bad entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// Which.
    pub seq: i64,
    /// What is wrong.
    pub problem: Problem,
}

/// A row as it is, whatever it holds.
struct Stored {
    seq: i64,
    texts: Vec<String>,
    numbers: [i64; 2],
}

const TEXTS: [&str; 19] = [
    "id",
    "kind",
    "actor",
    "action",
    "resource_kind",
    "namespace",
    "name",
    "uid",
    "tenant",
    "project",
    "code",
    "capability",
    "write_key",
    "fold_key",
    "wants",
    "shows",
    "event",
    "prev_hash",
    "hash",
];

impl<'r, R: Row> FromRow<'r, R> for Stored
where
    &'static str: sqlx::ColumnIndex<R>,
    String: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    i64: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        let texts: Result<Vec<String>, _> = TEXTS.iter().map(|name| row.try_get(*name)).collect();
        Ok(Self {
            seq: row.try_get("seq")?,
            texts: texts?,
            numbers: [row.try_get("time")?, row.try_get("count")?],
        })
    }
}

impl Stored {
    fn last(&self, from_end: usize) -> &str {
        self.texts.get(TEXTS.len() - from_end).map_or("", String::as_str)
    }

    fn problem(&self, before: &Head) -> Option<Problem> {
        if self.seq != before.seq + 1 {
            return Some(Problem::Gap);
        }
        if self.last(2) != before.hash {
            return Some(Problem::Link);
        }
        let json = self.last(3);
        if self.last(1) != chain::hash(self.seq, &before.hash, json) {
            return Some(Problem::Hash);
        }
        let Ok(event) = serde_json::from_str::<AuditEvent>(json) else {
            return Some(Problem::Unreadable);
        };
        (!self.follows_from(&Columns::of(&event))).then_some(Problem::Columns)
    }

    fn follows_from(&self, columns: &Columns) -> bool {
        let derived = [
            columns.id.as_str(),
            columns.kind,
            &columns.actor,
            &columns.action,
            &columns.resource_kind,
            &columns.namespace,
            &columns.name,
            &columns.uid,
            &columns.tenant,
            &columns.project,
            columns.code,
            columns.capability,
            &columns.write_key,
            &columns.fold_key,
            &columns.wants,
            &columns.shows,
        ];
        self.texts
            .iter()
            .map(String::as_str)
            .zip(derived)
            .all(|(stored, derived)| stored == derived)
            && self.numbers == [columns.time, columns.count]
    }
}

impl Reader {
    /// The chain's recorded end.
    ///
    /// # Errors
    /// When the database can't be asked.
    pub async fn head(&self) -> Result<Head, StoreError> {
        let end = "SELECT seq, hash FROM chain WHERE id = 1";
        let (seq, hash) = on_pool!(&self.pool, pool => sqlx::query_as(end).fetch_one(pool).await?);
        Ok(Head { seq, hash })
    }

    /// Verifies the whole chain, and that it holds what was noted earlier. What is appended meanwhile is verified too.
    ///
    /// # Errors
    /// When the database can't be asked. A chain that is broken is no error but the inner result.
    pub async fn verify(&self, noted: Option<&Head>) -> Result<Result<Verified, Broken>, StoreError> {
        let recorded = self.head().await?;
        let mut head = Head {
            seq: 0,
            hash: chain::BEGINNING.to_owned(),
        };
        loop {
            let page = page(&self.pool, head.seq).await?;
            if page.is_empty() {
                break;
            }
            for entry in page {
                if let Some(problem) = entry.problem(&head) {
                    // The one that is missing is meant, not the one after it.
                    let seq = if problem == Problem::Gap {
                        head.seq + 1
                    } else {
                        entry.seq
                    };
                    return Ok(Err(Broken { seq, problem }));
                }
                head = Head {
                    seq: entry.seq,
                    hash: entry.last(1).to_owned(),
                };
                for (other, problem) in [(Some(&recorded), Problem::End), (noted, Problem::Noted)] {
                    if other.is_some_and(|other| other.seq == head.seq && other.hash != head.hash) {
                        return Ok(Err(Broken { seq: head.seq, problem }));
                    }
                }
            }
        }
        let ends = [(Some(&recorded), Problem::End), (noted, Problem::Noted)];
        let missing = ends
            .into_iter()
            .find(|(end, _)| end.is_some_and(|end| end.seq > head.seq));
        Ok(match missing {
            Some((_, problem)) => Err(Broken {
                seq: head.seq + 1,
                problem,
            }),
            None => Ok(Verified { head }),
        })
    }
}

async fn page(pool: &Pool, after: i64) -> Result<Vec<Stored>, StoreError> {
    let select = "SELECT * FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2";
    Ok(on_pool!(pool, pool => sqlx::query_as(select).bind(after).bind(PAGE).fetch_all(pool).await?))
}
