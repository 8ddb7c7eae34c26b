//! The chart as Helm renders it, against what it promises. No cluster is asked but by two tests, which say so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on ends and says why"
)]

mod admission;
mod audit;
mod hub;
mod images;
mod monitoring;
mod notes;
mod objects;
mod pods;
mod readme;
mod rights;
mod schemas;
mod seccomp;
mod settings;
mod store;
mod support;
mod test_hook;
mod values;
mod webhook;
