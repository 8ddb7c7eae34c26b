//! What can go wrong. What is displayed names no text of the database: that is in the source, for logs.

use std::sync::Arc;

use crate::audit::check::CheckError;

/// What can go wrong.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL is none that we know; it may hold a password and is not told.
    #[error("the database's URL must begin with sqlite:// or postgres://")]
    Url,
    /// The URL can't be parsed.
    #[error("the database's URL can't be understood")]
    Options(#[source] Arc<sqlx::Error>),
    /// The database can't be reached, or did not do what it was asked. It may the next time.
    #[error("the database is not available")]
    Unavailable(#[source] Arc<sqlx::Error>),
    /// It took too long.
    #[error("the database did not answer in time")]
    TooSlow,
    /// The tables can't be brought to this version.
    #[error("the database's tables could not be made")]
    Migrate(#[source] Arc<sqlx::migrate::MigrateError>),
    /// An event can't be stored, now or later.
    #[error("event {index} can't be stored: {problem}")]
    Invalid {
        /// Which of the batch, from 0.
        index: usize,
        /// Why.
        problem: CheckError,
    },
    /// More waits than is held.
    #[error("too much waits to be stored")]
    Busy,
    /// The writer has ended.
    #[error("the store is closed")]
    Closed,
    /// What is stored can't be read.
    #[error("entry {seq} can't be read")]
    Unreadable {
        /// Which.
        seq: i64,
        /// Why.
        #[source]
        source: Arc<serde_json::Error>,
    },
    /// An event can't be written as JSON.
    #[error("an event can't be written as JSON")]
    Json(#[source] Arc<serde_json::Error>),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(Arc::new(error))
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(Arc::new(error))
    }
}

impl StoreError {
    /// Whether the same may succeed later without a change of what was asked.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::TooSlow | Self::Busy | Self::Closed)
    }
}
