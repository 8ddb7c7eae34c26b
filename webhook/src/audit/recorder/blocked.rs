//! Whether the spool's disk takes anything, and when to look again. A pod that is not ready is asked nothing, so nobody else
//! would find out that there is room again.

use std::time::Duration;

use tokio::time::Instant;
use tracing::info;

use super::{Deliverer, PATIENCE};
use crate::audit::spool::Spool;

/// Pause between looks at a disk that failed.
const PAUSE: Duration = Duration::from_secs(2);

/// What is known of the disk.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Disk(Option<Instant>);

impl Disk {
    /// It took nothing.
    pub(super) fn failed(&mut self, now: Instant) {
        self.0 = Some(now + PAUSE);
    }

    /// It took what was written.
    pub(super) fn well(&mut self) {
        self.0 = None;
    }

    /// When to look; none while nothing is wrong with it.
    pub(super) fn look(self) -> Option<Instant> {
        self.0
    }

    /// Whether it took nothing when it was last asked.
    pub(super) fn is_broken(self) -> bool {
        self.0.is_some()
    }
}

impl Deliverer {
    /// With a disk that takes nothing there is no other way, so an intake that failed is asked again in time.
    pub(super) fn may_ask(&self) -> bool {
        let is_due = self.breaker.until().is_none_or(|until| until <= Instant::now());
        self.breaker.is_closed() || (self.disk.is_broken() && is_due)
    }

    /// Finds out whether a disk that took nothing does now; if not, whether the intake does.
    pub(super) async fn look(&mut self) {
        match self.on_disk(Spool::try_disk).await {
            Ok(()) => {
                info!("the spool's disk takes events again");
                self.disk.well();
            }
            Err(_) => {
                self.disk.failed(Instant::now());
                if !self.breaker.is_closed() && self.may_ask() {
                    match self.intake.known(Vec::new(), PATIENCE).await {
                        Ok(_) => self.breaker.well(),
                        Err(error) => self.failed(&error),
                    }
                }
            }
        }
        self.show();
    }
}
