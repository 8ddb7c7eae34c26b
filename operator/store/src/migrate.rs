//! Brings the tables to this version. The rule of the files is in `migrations/README.md`.

use std::borrow::Cow;
use std::sync::Arc;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use crate::db::Pool;
use crate::error::StoreError;

const AUDIT: &str = include_str!("../migrations/0001_audit.sql");
const APPEND_ONLY_SQLITE: &str = include_str!("../migrations/0002_append_only.sqlite.sql");
const APPEND_ONLY_POSTGRES: &str = include_str!("../migrations/0002_append_only.postgres.sql");

pub(crate) async fn migrate(pool: &Pool) -> Result<(), StoreError> {
    let append_only = match pool {
        Pool::Sqlite(_) => APPEND_ONLY_SQLITE,
        Pool::Postgres(_) => APPEND_ONLY_POSTGRES,
    };
    let mut migrator = Migrator::with_migrations(vec![step(1, "audit", AUDIT), step(2, "append only", append_only)]);
    // A newer release was here and this one is rolled back to: it only expanded.
    migrator.set_ignore_missing(true);
    let done = match pool {
        Pool::Sqlite(pool) => migrator.run(pool).await,
        Pool::Postgres(pool) => migrator.run(pool).await,
    };
    done.map_err(|error| StoreError::Migrate(Arc::new(error)))
}

fn step(version: i64, description: &'static str, sql: &'static str) -> Migration {
    let description = Cow::Borrowed(description);
    Migration::new(version, description, MigrationType::Simple, sql.into_sql_str(), false)
}
