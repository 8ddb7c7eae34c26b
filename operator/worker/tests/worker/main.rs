//! Tests of the worker's steps against a registry in this process, which records every request.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test both are how it fails; clippy knows this of test functions only"
)]

mod binary;
mod cache;
mod credentials;
mod evaluate;
mod launch;
mod publish;
mod push;
mod real_registry;
mod referrers;
mod resolve;
mod scan;
mod support;
mod transfer;
mod unstage;
