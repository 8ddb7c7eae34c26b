//! When a tenant's namespace is looked at again for drift that no watch reports.

use std::time::Duration;

/// Tenants that are looked at in a second, at most: a look is a handful of reads.
const TENANTS_PER_SECOND: u64 = 10;
/// Greatest part of the time that jitter adds.
const JITTER: f64 = 0.2;

/// Time to the next look: the setting, or more where there are so many tenants that looking would not end; up to a
/// fifth longer by `jitter` (from 0 to 1), so that tenants seen together drift apart.
#[must_use]
pub fn resync_after(resync_seconds: u64, tenants: usize, jitter: f64) -> Duration {
    let all = u64::try_from(tenants).unwrap_or(u64::MAX).div_ceil(TENANTS_PER_SECOND);
    // A day bounds what a wrong setting can do, and keeps the product within what a Duration holds.
    let base = Duration::from_secs(resync_seconds.max(all).clamp(1, 86_400));
    base.mul_f64(
        1.0 + JITTER
            * if jitter.is_finite() {
                jitter.clamp(0.0, 1.0)
            } else {
                0.0
            },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_is_the_shortest_time_and_many_tenants_stretch_it() {
        for (setting, tenants, expected) in [
            (60, 0, 60),
            (60, 1, 60),
            (60, 600, 60),
            (60, 3000, 300),
            (0, 0, 1),
            (u64::MAX, 1, 86_400),
        ] {
            assert_eq!(
                resync_after(setting, tenants, 0.0),
                Duration::from_secs(expected),
                "{setting} s, {tenants} tenants"
            );
        }
    }

    #[test]
    fn jitter_adds_a_fifth_at_most_and_takes_nothing() {
        assert_eq!(resync_after(60, 1, 1.0), Duration::from_secs(72));
        assert_eq!(resync_after(60, 1, 7.0), Duration::from_secs(72));
        assert_eq!(resync_after(60, 1, -1.0), Duration::from_secs(60));
        assert_eq!(resync_after(60, 1, f64::NAN), Duration::from_secs(60));
    }
}
