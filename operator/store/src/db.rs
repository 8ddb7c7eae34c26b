//! The two databases: one enum, and a macro that writes a query for both.
//!
//! Queries number their parameters (`$1`), which both understand. Integers are `BIGINT`, everything else is `TEXT`.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Postgres, Sqlite, SqliteConnection, Transaction};

use crate::error::StoreError;

/// Longest wait for a connection.
const ACQUIRE: Duration = Duration::from_secs(5);
/// Longest wait for another process that writes to the same file.
const BUSY: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// A transaction of the writer.
pub(crate) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// What a pool is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Write,
    Read,
}

/// `on_pool!(pool, p => query.fetch_all(p))`: the same for both databases.
macro_rules! on_pool {
    ($pool:expr, $p:ident => $body:expr) => {
        match $pool {
            $crate::db::Pool::Sqlite($p) => $body,
            $crate::db::Pool::Postgres($p) => $body,
        }
    };
}

/// `on_tx!(tx, c => query.execute(c))`: the same for both databases.
macro_rules! on_tx {
    ($tx:expr, $c:ident => $body:expr) => {
        match $tx {
            $crate::db::Tx::Sqlite(tx) => {
                let $c = &mut **tx;
                $body
            }
            $crate::db::Tx::Postgres(tx) => {
                let $c = &mut **tx;
                $body
            }
        }
    };
}

pub(crate) use {on_pool, on_tx};

impl Pool {
    pub(crate) async fn open(url: &str, usage: Use) -> Result<Self, StoreError> {
        if let Some(path) = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) {
            return sqlite(Path::new(path), usage).await.map(Self::Sqlite);
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return postgres(url, usage).await.map(Self::Postgres);
        }
        Err(StoreError::Url)
    }

    pub(crate) async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            // It will write: waiting for the lock now is better than failing on the way.
            Self::Sqlite(pool) => Tx::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            // Each statement is to see what was committed before the chain's end was locked.
            Self::Postgres(pool) => Tx::Postgres(pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?),
        })
    }

    pub(crate) async fn close(&self) {
        on_pool!(self, pool => pool.close().await);
    }
}

impl Tx {
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }
}

async fn sqlite(path: &Path, usage: Use) -> Result<SqlitePool, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(usage == Use::Write)
        .read_only(usage == Use::Read)
        // The file system of a container may be read-only, but for the volume.
        .pragma("temp_store", "memory")
        .busy_timeout(BUSY);
    // What is acknowledged is on the disk, also when the machine loses power.
    let options = match usage {
        Use::Write => options
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full),
        Use::Read => options,
    };
    let most = if usage == Use::Write { 1 } else { 4 };
    let pool = SqlitePoolOptions::new()
        .max_connections(most)
        .acquire_timeout(ACQUIRE)
        .before_acquire(|connection, _| Box::pin(async move { Ok(is_at_rest(connection)) }));
    Ok(pool.connect_with(options).await?)
}

/// SQLite ends a transaction itself when the disk fails or is full. Its connection then holds one that nobody can end:
/// another is opened in its place.
fn is_at_rest(connection: &SqliteConnection) -> bool {
    !connection.is_in_transaction()
}

async fn postgres(url: &str, usage: Use) -> Result<PgPool, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(|error| StoreError::Options(Arc::new(error)))?;
    let options = options.application_name("image-factory").options([
        ("synchronous_commit", "on"),
        // A process that froze must not hold the chain's end.
        ("idle_in_transaction_session_timeout", "20s"),
        ("lock_timeout", "10s"),
        ("statement_timeout", "30s"),
    ]);
    let options = match usage {
        // The writer looks up few rows by their keys, each time. A table that was not counted yet (ANALYZE) would be read
        // whole for it, which takes longer with every entry; and what such a plan is said to cost is no cause to compile it.
        Use::Write => options.options([("enable_seqscan", "off"), ("jit", "off")]),
        Use::Read => options,
    };
    let most = if usage == Use::Write { 2 } else { 4 };
    let pool = PgPoolOptions::new().max_connections(most).acquire_timeout(ACQUIRE);
    Ok(pool.connect_with(options).await?)
}
