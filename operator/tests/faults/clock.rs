//! Time that runs faster than the wall's, so that a schedule need not wait for pauses between tries.
//!
//! The operator runs on a runtime of its own with tokio's clock paused, and the clock is moved on by a multiple of what
//! really passed: little while requests are on their way, so that time-outs keep their meaning, much while nothing
//! happens. The operator's own clock follows, so its intervals are the real ones, none is configured away.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How often the clock is moved on.
const TICK: Duration = Duration::from_millis(2);
/// How much faster it goes while something is on its way.
const BUSY: u32 = 6;
/// How much faster it goes while nothing is.
const IDLE: u32 = 50;

thread_local! {
    static BEGAN: Cell<Option<(Timestamp, Instant)>> = const { Cell::new(None) };
}

/// The time of one schedule, over all instances of the operator: it never goes back.
pub struct Clock {
    base: Timestamp,
    passed: AtomicU64,
}

impl Clock {
    /// Begins with the wall's time.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            base: Timestamp::now(),
            passed: AtomicU64::new(0),
        })
    }

    /// What has passed on this clock.
    pub fn passed(&self) -> Duration {
        Duration::from_millis(self.passed.load(Ordering::Relaxed))
    }

    /// A runtime that goes by this clock, for the thread that calls.
    pub fn runtime() -> Runtime {
        Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
    }

    /// Moves the time on for ever; to be run on [`Clock::runtime`]. `busy` says whether something is on its way.
    pub async fn run(self: Arc<Self>, busy: impl Fn() -> bool) {
        let before = self.passed();
        let began = Instant::now();
        BEGAN.set(Some((self.base + SignedDuration::try_from(before).unwrap(), began)));
        let (sender, mut ticks) = mpsc::unbounded_channel();
        // While a blocking task runs, tokio does not move the clock on by itself.
        tokio::task::spawn_blocking(move || {
            let mut last = std::time::Instant::now();
            loop {
                std::thread::sleep(TICK);
                let now = std::time::Instant::now();
                if sender.send(now - last).is_err() {
                    return;
                }
                last = now;
            }
        });
        while let Some(real) = ticks.recv().await {
            // What piled up while this thread did not run is no time in which anybody could have acted.
            let real = real.min(4 * TICK);
            tokio::time::advance(real * if busy() { BUSY } else { IDLE }).await;
            let passed = u64::try_from((before + began.elapsed()).as_millis()).unwrap();
            self.passed.store(passed, Ordering::Relaxed);
        }
    }
}

/// The operator's clock, on a thread where [`Clock::run`] runs.
pub fn now() -> Timestamp {
    let (base, began) = BEGAN.get().expect("a clock runs on this thread");
    base + SignedDuration::try_from(began.elapsed()).unwrap()
}
