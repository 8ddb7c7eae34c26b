//! Black-box tests that take away or change what all others stand on: one after the other, and nobody beside them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on ends and says why"
)]

mod bypassed;
mod door;
mod door_certificates;
mod door_expired;
mod door_faults;
mod faults_leader;
mod faults_servers;
mod faults_sor;
mod faults_store;
mod malformed;
mod operator;
mod platform_secrets;
mod queue;
mod release;
mod scanner;

use tokio::sync::Mutex;

/// Held by tests of a file that has several, however many threads they are run with.
static ALONE: Mutex<()> = Mutex::const_new(());
