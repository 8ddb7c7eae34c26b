//! How long an object waits after it failed: 1 s, doubled with each failure in a row, at most 5 min, with jitter.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// Failures in a row, by object.
pub(super) struct Backoffs<T>(Mutex<HashMap<T, Streak>>);

struct Streak {
    failures: u32,
    category: &'static str,
}

impl<T> Default for Backoffs<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Eq + Hash> Backoffs<T> {
    /// Notes a failure; says whether it is the first of its category in a row.
    pub(super) fn failed(&self, key: T, category: &'static str) -> bool {
        let mut streaks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let streak = streaks.entry(key).or_insert(Streak {
            failures: 0,
            category: "",
        });
        streak.failures = streak.failures.saturating_add(1);
        std::mem::replace(&mut streak.category, category) != category
    }

    /// Ends the row.
    pub(super) fn reset(&self, key: &T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// How long the object waits, after the failures that were noted.
    pub(super) fn delay(&self, key: &T) -> Duration {
        let streaks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        delay(streaks.get(key).map_or(1, |streak| streak.failures), rand::random())
    }
}

/// The wait after that many failures in a row. `jitter`, from 0 to 1, takes up to a quarter off, so that what failed
/// together does not come back together.
pub(crate) fn delay(failures: u32, jitter: f64) -> Duration {
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    doubled.min(LONGEST).mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_one_second_to_five_minutes() {
        let seconds = |failures| delay(failures, 0.0).as_secs();
        assert_eq!(
            [1, 2, 3, 8, 9, 10, u32::MAX].map(seconds),
            [1, 2, 4, 128, 256, 300, 300]
        );
    }

    #[test]
    fn jitter_takes_at_most_a_quarter_off() {
        for failures in 1..12 {
            let (full, jittered) = (delay(failures, 0.0), delay(failures, 1.0));
            assert!(
                jittered < full && jittered >= full.mul_f64(0.749),
                "{full:?} {jittered:?}"
            );
        }
    }

    #[test]
    fn success_starts_the_row_anew() {
        let backoffs = Backoffs::default();
        for _ in 0..5 {
            backoffs.failed("a", "Conflict");
        }
        assert!(backoffs.delay(&"a") >= Duration::from_secs(12));
        backoffs.reset(&"a");
        backoffs.failed("a", "Conflict");
        assert!(backoffs.delay(&"a") <= Duration::from_secs(1));
    }

    #[test]
    fn a_failure_is_told_again_only_when_its_category_changes() {
        let backoffs = Backoffs::default();
        assert!(backoffs.failed("a", "Conflict"));
        assert!(!backoffs.failed("a", "Conflict"));
        assert!(backoffs.failed("a", "Forbidden"));
        assert!(backoffs.failed("b", "Forbidden"));
    }
}
