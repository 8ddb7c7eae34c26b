//! When each project, or tenant, was counted last. It is lost with the process, and then everything is counted once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use imagefactory_core::project::throttle::{Due, due};
use jiff::Timestamp;

/// Namespace and name.
type Key = (String, String);

/// When each project was counted last. Holds only those that were counted in the last seconds.
#[derive(Default)]
pub(in crate::controllers) struct Ledger(Mutex<HashMap<Key, Timestamp>>);

impl Ledger {
    /// Whether it is time to count this project. If it is, it is noted as counted now.
    pub(in crate::controllers) fn take_turn(&self, project: Key, now: Timestamp) -> Due {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = due(counted.get(&project).copied(), now);
        if turn == Due::Now {
            counted.retain(|_, last| due(Some(*last), now) != Due::Now);
            counted.insert(project, now);
        }
        turn
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn key(name: &str) -> Key {
        ("tenant-acme".to_owned(), name.to_owned())
    }

    #[test]
    fn each_project_has_a_turn_of_its_own() {
        let ledger = Ledger::default();
        assert_eq!(ledger.take_turn(key("a"), at(0)), Due::Now);
        assert_eq!(ledger.take_turn(key("a"), at(4)), Due::In(Duration::from_secs(6)));
        assert_eq!(ledger.take_turn(key("b"), at(4)), Due::Now);
        assert_eq!(ledger.take_turn(key("a"), at(10)), Due::Now);
    }

    #[test]
    fn projects_whose_turn_is_long_past_are_forgotten() {
        let ledger = Ledger::default();
        for number in 0..100 {
            ledger.take_turn(key(&number.to_string()), at(0));
        }
        ledger.take_turn(key("late"), at(60));
        assert_eq!(ledger.0.lock().unwrap().len(), 1);
    }
}
