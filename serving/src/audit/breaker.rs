//! Whether the intake is asked, or left alone for a while. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// First pause after a failure; doubled with each.
const FIRST: Duration = Duration::from_millis(500);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// A breaker.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    failures: u32,
    until: Option<Instant>,
}

impl Breaker {
    /// Whether nothing is known to be wrong.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.failures == 0
    }

    /// When to ask again; none if at once.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// It went well.
    pub fn well(&mut self) {
        *self = Self::default();
    }

    /// It did not.
    pub fn failed(&mut self, now: Instant) {
        let pause = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_the_longest_and_end_with_the_first_success() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..9 {
            breaker.failed(now);
            pauses.push((breaker.until().unwrap() - now).as_millis());
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
        assert!(!breaker.is_closed());
        breaker.well();
        assert!(breaker.is_closed() && breaker.until().is_none());
    }
}
