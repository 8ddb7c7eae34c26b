//! What the factory remembers beside the cluster: the only place with SQL.
//!
//! Embedded SQLite by default, PostgreSQL 15 or later by URL, with the same queries. One table so far, the audit:
//!
//! | module | does |
//! |---|---|
//! | [`Store`] | opens, appends (one writer, group commit), counts |
//! | [`Reader`] | lists and verifies, beside a process that writes |
//! | `audit/check` | what an event must keep to |
//! | `audit/decide` | which events are new, the same again, or one of too many: pure |
//! | `audit/chain` | the hash of an entry |
//! | `audit/commit` | one transaction of the writer |

mod audit;
mod db;
mod error;
mod migrate;
mod store;

pub use audit::check::{CheckError, check};
pub use audit::counts::{CountKey, Counts};
pub use audit::list::{Entry, Filter, MAX_PAGE, Outcome, Page};
pub use audit::verify::{Broken, Head, Problem, Verified};
pub use audit::writer::Appended;
pub use error::StoreError;
pub use store::{Clock, Options, Reader, Store};
