//! Removes kept logs that are older than the platform keeps them.

use jiff::SignedDuration;
use tracing::{info, warn};

use crate::context::Context;
use crate::runner::chain;

/// Rounds of the janitor between two looks through all logs: six hours.
const ROUNDS: u64 = 360;

pub(super) async fn sweep(round: u64, context: &Context) {
    let days = i64::from(context.settings.logs.retention_days);
    // Not at once after the start: a process that starts over and over would do nothing else.
    if days == 0 || round % ROUNDS != 10 {
        return;
    }
    let keep = SignedDuration::from_hours(24 * days);
    match context.keeper.archive().remove_old_logs(context.now(), keep).await {
        Ok(0) => {}
        Ok(removed) => info!(removed, "old logs removed"),
        Err(error) => warn!(error = chain(&error), "old logs were not removed"),
    }
}
