//! Who holds a place on a port, and who goes first when another wants one. A port that everybody reaches can't tell by a count
//! alone: who opens as many connections as there are places and says nothing would keep out all others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// What a connection does. In the order in which they go when room is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// In its handshake, or has begun the head of a request.
    Head,
    /// Its request has a head, and is still being sent.
    Body,
    /// Has asked nothing yet.
    New,
    /// Was answered, and may ask again.
    Idle,
    /// Waits for us. It never goes.
    Answering,
}

/// One connection's place.
#[derive(Debug)]
pub(crate) struct Place {
    state: Mutex<(Stage, Instant)>,
    changed: Notify,
    leave: CancellationToken,
}

impl Place {
    fn new() -> Self {
        Self {
            state: Mutex::new((Stage::Head, Instant::now())),
            changed: Notify::new(),
            leave: CancellationToken::new(),
        }
    }

    pub(crate) fn enter(&self, stage: Stage) {
        *locked(&self.state) = (stage, Instant::now());
        self.changed.notify_one();
    }

    /// Bytes came: of a new request, unless one is being read or answered.
    pub(crate) fn heard(&self) {
        if matches!(locked(&self.state).0, Stage::New | Stage::Idle) {
            self.enter(Stage::Head);
        }
    }

    fn state(&self) -> (Stage, Instant) {
        *locked(&self.state)
    }

    /// Returns when the connection has to go: for another, or because the head of a request takes longer than this.
    pub(crate) async fn has_to_go(&self, head: Duration) -> &'static str {
        tokio::select! {
            () = self.leave.cancelled() => "its place is needed",
            () = self.dawdles(head) => "the head of a request did not come in time",
        }
    }

    async fn dawdles(&self, head: Duration) {
        loop {
            match self.state() {
                (Stage::Head, since) if since.elapsed() >= head => return,
                (Stage::Head, since) => sleep_until(since + head).await,
                _ => self.changed.notified().await,
            }
        }
    }
}

/// All places that are taken. Cloning gives another handle to the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    places: HashMap<u64, Arc<Place>>,
}

impl Places {
    pub(crate) fn take(&self) -> Holding {
        let place = Arc::new(Place::new());
        let mut taken = locked(&self.0);
        let id = taken.next;
        taken.next += 1;
        taken.places.insert(id, place.clone());
        drop(taken);
        Holding {
            place,
            id,
            places: self.clone(),
        }
    }

    /// Asks one connection to go: of those that are at the earliest stage, the one that has been there longest.
    pub(crate) fn make_room(&self) {
        let taken = locked(&self.0);
        let staying = taken.places.values().filter(|place| !place.leave.is_cancelled());
        let waiting = staying.map(|place| (place.state(), place));
        let waiting = waiting.filter(|((stage, _), _)| *stage != Stage::Answering);
        if let Some((_, place)) = waiting.min_by_key(|(state, _)| *state) {
            place.leave.cancel();
        }
    }
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Holding {
    pub(crate) place: Arc<Place>,
    id: u64,
    places: Places,
}

impl Drop for Holding {
    fn drop(&mut self) {
        locked(&self.places.0).places.remove(&self.id);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of these have to go after so many asked for room.
    fn leaving(stages: &[Stage], times: usize) -> Vec<Stage> {
        let places = Places::default();
        let held: Vec<_> = stages.iter().map(|_| places.take()).collect();
        for (holding, stage) in held.iter().zip(stages) {
            holding.place.enter(*stage);
        }
        for _ in 0..times {
            places.make_room();
        }
        let gone = held.iter().filter(|holding| holding.place.leave.is_cancelled());
        gone.map(|holding| holding.place.state().0).collect()
    }

    #[test]
    fn who_never_finished_a_request_goes_before_who_was_answered_and_who_waits_for_an_answer_stays() {
        use Stage::{Answering, Body, Head, Idle, New};
        let all = [Answering, Idle, New, Body, Head];
        for (times, gone) in [
            (1, &[Head][..]),
            (2, &[Body, Head]),
            (3, &[New, Body, Head]),
            (9, &all[1..]),
        ] {
            assert_eq!(leaving(&all, times), gone, "{times}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_at_one_stage_the_one_that_waits_longer_goes() {
        let places = Places::default();
        let (first, second) = (places.take(), places.take());
        tokio::time::advance(Duration::from_secs(1)).await;
        first.place.enter(Stage::Head);
        places.make_room();
        assert!(second.place.leave.is_cancelled() && !first.place.leave.is_cancelled());
        drop(second);
        assert_eq!(locked(&places.0).places.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_from_its_first_byte_on_and_idling_has_not() {
        let holding = Places::default().take();
        let (place, limit) = (&holding.place, Duration::from_secs(3));
        place.enter(Stage::Idle);
        let idle = tokio::time::timeout(Duration::from_secs(200), place.has_to_go(limit)).await;
        assert!(idle.is_err());
        place.heard();
        let began = Instant::now();
        let why = place.has_to_go(limit).await;
        assert_eq!((began.elapsed(), why.contains("head")), (limit, true));
        place.enter(Stage::Answering);
        place.heard();
        assert_eq!(place.state().0, Stage::Answering);
    }
}
