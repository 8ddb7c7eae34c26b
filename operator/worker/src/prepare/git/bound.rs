//! Ends work that fills a directory with more than it may.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// How often it is looked how much there is.
const LOOK: Duration = Duration::from_millis(100);

/// Does `work`, and sets `stop` as soon as the files in `directory` have more bytes than `limit`.
pub(super) fn bounded<T>(directory: &Path, limit: u64, stop: &AtomicBool, work: impl FnOnce() -> T) -> T {
    let look = || {
        if size(directory) > limit {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let (ended, wait) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while wait.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                look();
            }
        });
        let result = work();
        drop(ended);
        // What came between the last look and the end counts as well.
        look();
        result
    })
}

fn size(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return 0;
    };
    let metadata = entries.flatten().filter_map(|entry| entry.metadata().ok());
    metadata.map(|metadata| metadata.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_stopped_while_it_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        let rounds = bounded(directory.path(), 10, &stop, || {
            std::fs::write(directory.path().join("small"), [0; 5]).unwrap();
            std::thread::sleep(LOOK * 3);
            assert!(!stop.load(Ordering::Relaxed));
            std::fs::write(directory.path().join("large"), [0; 6]).unwrap();
            (0..100)
                .take_while(|_| {
                    std::thread::sleep(LOOK);
                    !stop.load(Ordering::Relaxed)
                })
                .count()
        });
        assert!(rounds < 100);
    }

    #[test]
    fn what_came_last_counts_as_well() {
        let directory = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        bounded(directory.path(), 10, &stop, || {
            std::fs::write(directory.path().join("large"), [0; 11]).unwrap();
        });
        assert!(stop.load(Ordering::Relaxed));
    }
}
