//! Waiting, with a limit.

use std::time::{Duration, Instant};

/// How long between two looks: little at first, then more, since what takes long is seldom seen to end at once, and
/// many wait at a time.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How much longer a machine may take that runs the suite beside compilers and builders, than one that is idle.
const PATIENCE: u64 = 3;

/// Looks again and again until there is something, and gives it. `seconds` is what an idle machine needs at most.
///
/// # Panics
/// After a multiple of `seconds`, with what it waited for.
pub async fn until<T>(what: &str, seconds: u64, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    let seconds = seconds * PATIENCE;
    let mut pause = PAUSE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            started.elapsed() < Duration::from_secs(seconds),
            "waited {seconds} s in vain until {what}"
        );
        tokio::time::sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 5 / 4);
    }
}

/// Looks for as long as `seconds` that something stays as it is.
///
/// # Panics
/// As soon as it does not.
pub async fn stays(what: &str, seconds: u64, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(seconds) {
        assert!(holds().await, "did not last {seconds} s: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
