//! What a candidate does about the lease: pure, time is an argument.
//!
//! Clocks of two machines are never compared. A candidate notes when *it* saw the lease change last, on its own
//! monotonic clock, and takes over when the lease has stood still for as long as its holder asked for.

use std::time::Duration;

/// A moment on this process's monotonic clock, as time since the process began.
pub type Moment = Duration;

/// How long a lease lasts, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    lease: Duration,
}

impl Timing {
    /// For leases of this length.
    #[must_use]
    pub fn of_lease(lease: Duration) -> Self {
        Self { lease }
    }

    /// Length of the lease, as the record says it to others.
    #[must_use]
    pub fn lease(self) -> Duration {
        self.lease
    }

    /// How often the holder renews.
    #[must_use]
    pub fn renew_every(self) -> Duration {
        self.lease / 3
    }

    /// How long after its last renewal the holder may act. The last third of the lease is for requests that are on
    /// their way, and for clocks that run unevenly.
    #[must_use]
    pub fn act_for(self) -> Duration {
        self.lease / 3 * 2
    }

    /// How long one request may take: two fit between a renewal that is due and the end.
    #[must_use]
    pub fn request(self) -> Duration {
        self.lease / 6
    }

    /// Pause after a request that failed.
    #[must_use]
    pub fn retry(self) -> Duration {
        self.lease / 15
    }
}

/// The lease as it was last read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Who holds it; none after it was released.
    pub holder: Option<String>,
    /// For how long after each renewal the holder asked to hold it.
    pub lasts: Duration,
    /// When this process saw it change last.
    pub changed: Moment,
}

/// What is known of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<'a> {
    /// There was none, as long as this process has looked.
    Never,
    /// It stands so.
    There(&'a Seen),
    /// It stood so, and somebody deleted it; the deletion is its last change.
    Deleted(&'a Seen),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// There is no lease: make one.
    Create,
    /// It is free: take it.
    Take,
    /// It is ours: renew it.
    Renew,
    /// Look again after this time.
    Wait(Duration),
}

/// What `me` does now. `renewed` is when this process last renewed; none before it ever did.
#[must_use]
pub fn decide(me: &str, lease: Known<'_>, renewed: Option<Moment>, now: Moment, timing: Timing) -> Action {
    let (seen, when_over) = match lease {
        Known::Never => return Action::Create,
        Known::There(seen) => (seen, Action::Take),
        // Who held it may not know yet, and acts until its own time is over.
        Known::Deleted(seen) => (seen, Action::Create),
    };
    match (seen.holder.as_deref(), renewed) {
        (None, _) => when_over,
        (Some(holder), _) if holder == me && when_over == Action::Create => Action::Create,
        // Ours from before this process began: the same pod, whose former process is dead.
        (Some(holder), None) if holder == me => Action::Renew,
        (Some(holder), Some(renewed)) if holder == me => until(renewed + timing.renew_every(), now, Action::Renew),
        (Some(_), _) => match until(seen.changed + seen.lasts, now, when_over) {
            Action::Wait(rest) => Action::Wait(rest.min(timing.renew_every())),
            due => due,
        },
    }
}

fn until(moment: Moment, now: Moment, then: Action) -> Action {
    match moment.checked_sub(now) {
        Some(rest) if !rest.is_zero() => Action::Wait(rest),
        _ => then,
    }
}

/// How long this process may still act; none when it must stop.
#[must_use]
pub fn may_act_for(renewed: Moment, now: Moment, timing: Timing) -> Option<Duration> {
    (renewed + timing.act_for())
        .checked_sub(now)
        .filter(|rest| !rest.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing {
        lease: Duration::from_secs(15),
    };

    fn at(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    fn seen(holder: &str, changed: u64) -> Option<Seen> {
        let holder = Some(holder).filter(|holder| !holder.is_empty()).map(str::to_owned);
        Some(Seen {
            holder,
            lasts: at(15),
            changed: at(changed),
        })
    }

    #[test]
    fn each_state_of_the_lease_has_one_answer() {
        for (what, lease, renewed, now, action) in [
            ("released", seen("", 100), None, 100, Action::Take),
            ("released by ourselves", seen("", 100), Some(90), 100, Action::Take),
            ("held by another", seen("b", 100), None, 101, Action::Wait(at(5))),
            (
                "held by another, nearly over",
                seen("b", 100),
                None,
                113,
                Action::Wait(at(2)),
            ),
            ("held by another, stood still", seen("b", 100), None, 115, Action::Take),
            (
                "held by another who took it from us",
                seen("b", 100),
                Some(99),
                101,
                Action::Wait(at(5)),
            ),
            ("ours from a former life", seen("a", 100), None, 100, Action::Renew),
            ("ours, fresh", seen("a", 100), Some(100), 102, Action::Wait(at(3))),
            ("ours, due", seen("a", 100), Some(100), 105, Action::Renew),
            ("ours, overdue", seen("a", 100), Some(100), 130, Action::Renew),
        ] {
            let lease = lease.as_ref().map_or(Known::Never, Known::There);
            assert_eq!(decide("a", lease, renewed.map(at), at(now), TIMING), action, "{what}");
        }
        assert_eq!(decide("a", Known::Never, None, at(0), TIMING), Action::Create);
    }

    #[test]
    fn where_a_lease_was_deleted_its_holder_makes_it_again_and_others_wait_as_if_it_were_there() {
        for (what, lease, renewed, now, action) in [
            ("of another", seen("b", 100), None, 101, Action::Wait(at(5))),
            (
                "of another, nearly over",
                seen("b", 100),
                None,
                113,
                Action::Wait(at(2)),
            ),
            ("of another, over", seen("b", 100), None, 115, Action::Create),
            ("released", seen("", 100), None, 101, Action::Create),
            ("ours", seen("a", 100), Some(100), 101, Action::Create),
            ("ours from a former life", seen("a", 100), None, 101, Action::Create),
        ] {
            let lease = Known::Deleted(lease.as_ref().unwrap());
            assert_eq!(decide("a", lease, renewed.map(at), at(now), TIMING), action, "{what}");
        }
    }

    #[test]
    fn a_holder_stops_acting_before_another_may_take_over() {
        assert_eq!(may_act_for(at(100), at(100), TIMING), Some(at(10)));
        assert_eq!(may_act_for(at(100), at(109), TIMING), Some(at(1)));
        assert_eq!(may_act_for(at(100), at(110), TIMING), None);
        assert_eq!(may_act_for(at(100), at(900), TIMING), None);
        assert!(TIMING.act_for() + TIMING.request() < TIMING.lease());
    }

    #[test]
    fn the_length_that_the_holder_asked_for_counts_not_our_own() {
        let lease = Seen {
            holder: Some("b".to_owned()),
            lasts: at(60),
            changed: at(100),
        };
        let lease = Known::There(&lease);
        assert_eq!(decide("a", lease, None, at(159), TIMING), Action::Wait(at(1)));
        assert_eq!(decide("a", lease, None, at(160), TIMING), Action::Take);
    }
}
