//! Pauses of a watch that fails: short ones. What a door does not hear of it decides wrongly about, so it looks for an API
//! server that was restarted as soon as that answers again.

use std::time::Duration;

use kube::runtime::utils::Backoff;
use kube::runtime::watcher::DefaultBackoff;

/// Longest pause.
const LONGEST: Duration = Duration::from_secs(2);

/// The usual pauses, cut.
#[derive(Default)]
pub(super) struct Pauses(DefaultBackoff);

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next().map(|pause| pause.min(LONGEST))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_often_it_fails_no_pause_is_long_and_it_never_gives_up() {
        let pauses: Vec<_> = Pauses::default().take(50).collect();
        assert_eq!(pauses.len(), 50);
        assert!(
            pauses.iter().all(|pause| *pause <= LONGEST && !pause.is_zero()),
            "{pauses:?}"
        );
    }
}
