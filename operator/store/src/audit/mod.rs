//! The audit: append-only, hash-chained, each event once.

mod canonical;
mod chain;
pub(crate) mod check;
mod commit;
pub(crate) mod counts;
mod decide;
pub(crate) mod fold;
mod known;
pub(crate) mod list;
mod row;
pub(crate) mod verify;
pub(crate) mod writer;
