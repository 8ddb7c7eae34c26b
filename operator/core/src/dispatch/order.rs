//! The order within a tenant. All builds age alike, so a build's place follows from when it came and what its priority
//! is worth in time: it is a number that never changes, and one that waits long enough is ahead of whoever comes later.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::BuildId;

/// A place in the order: who has the smaller one goes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket {
    at: i64,
    /// Makes the order total, whatever the clock's resolution.
    pub(super) id: Arc<BuildId>,
}

impl Ticket {
    /// A level of priority is worth a wait of `ageing`.
    pub(super) fn new(id: Arc<BuildId>, since: Timestamp, priority: i32, ageing: SignedDuration) -> Self {
        let worth = i64::try_from(ageing.as_millis())
            .unwrap_or(i64::MAX)
            .saturating_mul(i64::from(priority));
        Self {
            at: since.as_millisecond().saturating_sub(worth),
            id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::Work;

    fn ticket(name: &str, second: i64, priority: i32) -> Ticket {
        let id = BuildId {
            tenant: "acme".into(),
            name: name.into(),
            uid: name.into(),
            work: Work::Build,
        };
        let since = Timestamp::from_second(second).unwrap();
        Ticket::new(Arc::new(id), since, priority, SignedDuration::from_secs(60))
    }

    #[test]
    fn priority_goes_first_until_the_other_has_waited_long_enough() {
        assert!(ticket("high", 59, 1) < ticket("low", 0, 0));
        assert!(ticket("low", 0, 0) < ticket("high", 61, 1));
        assert!(ticket("low", 0, -2) < ticket("high", 241, 2));
    }

    #[test]
    fn who_came_first_goes_first_and_a_tie_is_broken_by_name() {
        assert!(ticket("b", 1, 0) < ticket("a", 2, 0));
        assert!(ticket("a", 1, 0) < ticket("b", 1, 0));
    }
}
