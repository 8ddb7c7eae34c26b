//! Which events of the open segment are written once and then only counted, so that a flood of equal denials can't fill the
//! spool and close the door for everybody else.

use std::collections::HashMap;

use imagefactory_crds::audit::AuditEvent;

/// Equal denials within a minute that are written one by one.
const EACH: u32 = 10;
/// Most keys that are remembered. Beyond it events are written one by one: the spool is bounded anyway.
const MAX_KEYS: usize = 4096;

/// What happens to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is a record of its own.
    Written,
    /// The record that begins there counts it.
    Counted {
        /// Where the record begins.
        offset: u64,
        /// What it counts then.
        count: u64,
    },
}

struct Seen {
    minute: i64,
    written: u32,
    last: u64,
    count: u64,
}

/// What was written of each key lately.
#[derive(Default)]
pub struct Folds(HashMap<String, Seen>);

impl Folds {
    /// Decides about an event, which is written at `offset` if it is.
    pub fn take(&mut self, event: &AuditEvent, offset: u64) -> Fate {
        if event.fold_key.is_empty() || event.count != 1 {
            return Fate::Written;
        }
        let minute = event.time.as_second().div_euclid(60);
        if self.0.len() >= MAX_KEYS {
            self.0.retain(|_, seen| seen.minute == minute);
        }
        if self.0.len() >= MAX_KEYS && !self.0.contains_key(&event.fold_key) {
            return Fate::Written;
        }
        let seen = self.0.entry(event.fold_key.clone()).or_insert(Seen {
            minute,
            written: 0,
            last: offset,
            count: 0,
        });
        if seen.minute != minute {
            *seen = Seen {
                minute,
                written: 0,
                last: offset,
                count: 0,
            };
        }
        if seen.written <= EACH {
            seen.written += 1;
            seen.last = offset;
            seen.count = 1;
            return Fate::Written;
        }
        seen.count += 1;
        Fate::Counted {
            offset: seen.last,
            count: seen.count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::testing::event;

    #[test]
    fn the_first_of_a_minute_are_written_and_then_they_are_counted_by_the_last() {
        let mut folds = Folds::default();
        let mut denial = event("x", 1);
        denial.fold_key = "same".to_owned();
        for offset in 0..11 {
            assert_eq!(folds.take(&denial, offset), Fate::Written);
        }
        assert_eq!(folds.take(&denial, 99), Fate::Counted { offset: 10, count: 2 });
        assert_eq!(folds.take(&denial, 99), Fate::Counted { offset: 10, count: 3 });
        denial.fold_key = "other".to_owned();
        assert_eq!(folds.take(&denial, 99), Fate::Written);
        denial.fold_key = "same".to_owned();
        denial.time += jiff::SignedDuration::from_secs(60);
        assert_eq!(folds.take(&denial, 200), Fate::Written);
    }

    #[test]
    fn attempts_are_never_folded() {
        let mut folds = Folds::default();
        for offset in 0..100 {
            assert_eq!(folds.take(&event("x", 1), offset), Fate::Written);
        }
    }
}
