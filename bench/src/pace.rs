//! Turns at a pace, handed out by a thread of its own.
//!
//! The runtime's timer counts whole milliseconds and rounds up: times from when a request was due would hold up to two
//! milliseconds of the client's own. A sleeping thread is woken some fifty microseconds late; it sleeps until shortly before the
//! turn and looks at the clock from there on.

use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use crate::error::{Result, Trying};

/// How long before a turn the thread is awake.
const AWAKE: Duration = Duration::from_micros(150);

/// A turn to do something.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Which it is, from 0.
    pub number: u64,
    /// When it was due, which is never after it was handed out.
    pub due: Instant,
}

/// Hands out so many turns, each to the next of `takers`, until they are all or a taker is gone. Then the takers' channels close.
///
/// # Errors
/// When no thread can be started.
pub fn hand_out(takers: Vec<UnboundedSender<Turn>>, per_second: u32, count: u64) -> Result<()> {
    let (apart, first) = (
        Duration::from_secs(1) / per_second,
        Instant::now() + Duration::from_millis(50),
    );
    let turns = (0..count).map(move |number| Turn {
        number,
        due: first + apart * u32::try_from(number).unwrap_or(u32::MAX),
    });
    // It ends with its last turn: nobody has to wait for it.
    thread::Builder::new()
        .name("pace".to_owned())
        .spawn(move || {
            for (turn, taker) in turns.zip(takers.iter().cycle()) {
                wait_for(turn.due);
                if taker.send(turn).is_err() {
                    return;
                }
            }
        })
        .trying("could not start a thread")?;
    Ok(())
}

fn wait_for(due: Instant) {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        match left.checked_sub(AWAKE) {
            Some(asleep) if !asleep.is_zero() => thread::sleep(asleep),
            _ => std::hint::spin_loop(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;

    async fn taken(mut turns: UnboundedReceiver<Turn>) -> Vec<u64> {
        let mut numbers = Vec::new();
        while let Some(turn) = turns.recv().await {
            assert!(turn.due <= Instant::now(), "handed out before it was due");
            numbers.push(turn.number);
        }
        numbers
    }

    #[tokio::test]
    async fn each_turn_is_handed_out_once_when_it_is_due_and_to_the_next_taker() {
        let (one, of_one) = unbounded_channel();
        let (other, of_other) = unbounded_channel();
        let began = Instant::now();
        hand_out(vec![one, other], 1000, 5).unwrap();
        let (of_one, of_other) = tokio::join!(taken(of_one), taken(of_other));
        assert_eq!((of_one, of_other), (vec![0, 2, 4], vec![1, 3]));
        assert!(
            began.elapsed() >= Duration::from_millis(54),
            "the last is due four after the first"
        );
    }

    #[tokio::test]
    async fn nobody_gets_a_turn_any_more_when_a_taker_is_gone() {
        let (gone, of_gone) = unbounded_channel();
        let (other, of_other) = unbounded_channel();
        drop(of_gone);
        hand_out(vec![other, gone], 1000, 1_000_000).unwrap();
        assert_eq!(taken(of_other).await, [0]);
    }
}
