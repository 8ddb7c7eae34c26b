//! What only `make soak` runs: it takes minutes, or the whole cluster away.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on ends and says why"
)]

mod by_hand;
mod node;
mod reports;
mod volumes;

use tokio::sync::Mutex;

/// Held by tests of a file that has several, however many threads they are run with.
static ALONE: Mutex<()> = Mutex::const_new(());
