//! Where a record stands, as a function of its spec and the time, and when that changes next.

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SorRecordSpec;

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Lifecycle {
    /// It counts.
    Active,
    /// It counts, and will expire within the window that the chart's values set.
    Expiring,
    /// Its time is over: it does not count.
    Expired,
    /// Its spec suspends it: it does not count.
    Suspended,
}

impl Lifecycle {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Active, Self::Expiring, Self::Expired, Self::Suspended];

    /// The word in status, reasons and metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Expiring => "Expiring",
            Self::Expired => "Expired",
            Self::Suspended => "Suspended",
        }
    }

    /// Whether a record that stands so counts.
    #[must_use]
    pub fn counts(self) -> bool {
        matches!(self, Self::Active | Self::Expiring)
    }
}

/// Where a record stands now; `window` is how long before its end it is Expiring. A record has expired at the very time
/// that it names, and is Expiring from the very beginning of the window.
#[must_use]
pub fn lifecycle(spec: &SorRecordSpec, window: SignedDuration, now: Timestamp) -> Lifecycle {
    if spec.suspended {
        return Lifecycle::Suspended;
    }
    let Some(end) = spec.expires_at.as_ref().map(|time| time.0) else {
        return Lifecycle::Active;
    };
    if end <= now {
        Lifecycle::Expired
    } else if end.duration_since(now) <= window {
        Lifecycle::Expiring
    } else {
        Lifecycle::Active
    }
}

/// When the lifecycle changes next if nobody writes the spec.
#[must_use]
pub fn next_change(spec: &SorRecordSpec, window: SignedDuration, now: Timestamp) -> Option<Timestamp> {
    let end = spec.expires_at.as_ref().map(|time| time.0)?;
    match lifecycle(spec, window, now) {
        Lifecycle::Active => Some(end.checked_sub(window).unwrap_or(Timestamp::MIN)),
        Lifecycle::Expiring => Some(end),
        Lifecycle::Expired | Lifecycle::Suspended => None,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn until(second: Option<i64>, suspended: bool) -> SorRecordSpec {
        SorRecordSpec {
            expires_at: second.map(|second| Time(at(second))),
            suspended,
            ..SorRecordSpec::default()
        }
    }

    const WINDOW: SignedDuration = SignedDuration::from_secs(100);

    #[test]
    fn a_record_goes_from_active_to_expiring_to_expired_at_the_very_second() {
        let stands = |now| lifecycle(&until(Some(1000), false), WINDOW, at(now));
        assert_eq!([0, 899].map(stands), [Lifecycle::Active; 2]);
        assert_eq!([900, 999].map(stands), [Lifecycle::Expiring; 2]);
        assert_eq!([1000, 5000].map(stands), [Lifecycle::Expired; 2]);
    }

    #[test]
    fn a_suspended_record_is_suspended_whatever_the_time() {
        for now in [0, 950, 2000] {
            assert_eq!(
                lifecycle(&until(Some(1000), true), WINDOW, at(now)),
                Lifecycle::Suspended
            );
        }
        assert_eq!(next_change(&until(Some(1000), true), WINDOW, at(0)), None);
    }

    #[test]
    fn a_record_without_an_end_stays_active() {
        assert_eq!(
            lifecycle(&until(None, false), WINDOW, Timestamp::MAX),
            Lifecycle::Active
        );
        assert_eq!(next_change(&until(None, false), WINDOW, at(0)), None);
    }

    #[test]
    fn the_words_are_those_of_the_schema_and_two_of_them_count() {
        for state in Lifecycle::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        assert_eq!(Lifecycle::ALL.map(Lifecycle::counts), [true, true, false, false]);
    }

    proptest! {
        #[test]
        fn nothing_changes_before_the_next_change_and_something_does_at_it(
            end in proptest::option::of(-10_000i64..10_000),
            suspended: bool,
            window in 0i64..5_000,
            now in -20_000i64..20_000,
            part in 0.0f64..1.0,
        ) {
            let (spec, window) = (until(end, suspended), SignedDuration::from_secs(window));
            let stands = |now| lifecycle(&spec, window, now);
            let now = at(now);
            match next_change(&spec, window, now) {
                None => {
                    let later = now + SignedDuration::from_secs(1_000_000);
                    prop_assert_eq!(stands(now), stands(later));
                }
                Some(next) => {
                    prop_assert!(next > now, "or the controller would look again and again");
                    let between = now + next.duration_since(now).mul_f64(part);
                    prop_assert!(between >= next || stands(between) == stands(now));
                    prop_assert_ne!(stands(next), stands(now));
                }
            }
        }
    }
}
