//! An exhaustive search of the state machine: a small world of one to three builds, breadth first, where the real
//! `validate`, `plan`, `wish` and `Queue` decide and everything else may happen in any order.
//!
//! The operator's process may die between any two requests, a request may fail though it was applied, each watch may lag
//! behind the others for as long as it likes, pods and jobs end well, badly or are taken away, users cancel and delete,
//! the tenant is suspended, its entitlement withdrawn, its policy changed, and time passes. In every state that can be
//! reached, [`check`] asks what must hold; and from every one of them, if nothing more goes wrong, [`settle`] asks that
//! it comes to an end where nothing runs and no slot is held.
//!
//! What is not in it: the requests of one pass that only read (they are taken for one moment), events and logs, a
//! ResourceQuota, Builds that follow one another under one name.

mod cases;
mod check;
mod cluster;
mod mind;
mod operator;
mod settle;
mod state;
mod view;

use std::collections::{HashMap, VecDeque};

use check::Caps;
use cluster::May;
use mind::Mind;
use state::{Budget, Real, Refs, State};

use crate::build::fixtures::World;

/// One search.
struct Case {
    name: &'static str,
    worlds: Vec<World>,
    caps: Caps,
    may: May,
    budget: Budget,
    /// Most states; fewer are all there are.
    limit: usize,
}

/// What a search found.
struct Found {
    states: usize,
    steps: usize,
    /// Whether there is no state that was not visited.
    exhausted: bool,
}

struct Search {
    mind: Mind,
    caps: Caps,
    may: May,
    /// Each state that was reached, from which, and how.
    reached: HashMap<u128, (u128, String)>,
    ahead: VecDeque<State>,
    settles: settle::Known,
    steps: usize,
}

fn search(case: Case) -> Found {
    let count = case.worlds.len();
    let mut search = Search {
        mind: Mind::new(case.worlds),
        caps: case.caps,
        may: case.may,
        reached: HashMap::new(),
        ahead: VecDeque::new(),
        settles: settle::Known::default(),
        steps: 0,
    };
    let first = first(count, case.budget, &mut search.mind);
    search
        .reached
        .insert(first.fingerprint(), (0, "the beginning".to_owned()));
    search.ahead.push_back(first);
    while search.reached.len() < case.limit {
        let Some(state) = search.ahead.pop_front() else { break };
        search.expand(&state);
    }
    let found = Found {
        states: search.reached.len(),
        steps: search.steps,
        exhausted: search.ahead.is_empty(),
    };
    eprintln!(
        "search {}: {} states, {} steps, {}",
        case.name,
        found.states,
        found.steps,
        if found.exhausted { "all there are" } else { "cut off" }
    );
    found
}

fn first(count: usize, budget: Budget, mind: &mut Mind) -> State {
    let real = vec![Real::new(); count];
    let refs = Refs {
        suspended: false,
        withdrawn: false,
        policy: 0,
    };
    let mut state = State {
        now: 60,
        refs,
        budget,
        seen: real.iter().map(Real::seen).collect(),
        real,
        flights: vec![None; count],
        late: Vec::new(),
        touched: vec![false; count],
        asked: Vec::new(),
        queue: crate::dispatch::Queue::new(0, jiff::SignedDuration::ZERO),
    };
    operator::restart(&mut state, mind, false);
    state
}

impl Search {
    fn expand(&mut self, state: &State) {
        let from = state.fingerprint();
        if let Err(wrong) = settle::settles(state, &mut self.mind, &mut self.settles) {
            self.tell(from, &wrong);
        }
        for (word, next) in self.next(state) {
            self.steps += 1;
            let to = next.fingerprint();
            if to == from || self.reached.contains_key(&to) {
                continue;
            }
            self.reached.insert(to, (from, word));
            let wrong =
                check::step(state, &next, &self.mind).and_then(|()| check::state(&next, &self.mind, &self.caps));
            if let Err(wrong) = wrong {
                self.tell(to, &wrong);
            }
            self.ahead.push_back(next);
        }
    }

    /// Every state that may be next.
    fn next(&mut self, state: &State) -> Vec<(String, State)> {
        let mut next: Vec<(String, State)> = Vec::new();
        for of in 0..state.real.len() {
            let objects = cluster::objects(state, of, self.may);
            let user = cluster::user(state, of, self.may);
            next.extend(
                objects
                    .into_iter()
                    .chain(user)
                    .map(|(word, next)| (format!("{of}: {word}"), next)),
            );
            self.of_operator(state, of, &mut next);
        }
        let everybody = cluster::everybody(state, &self.mind);
        next.extend(everybody.into_iter().map(|(word, next)| (word.to_owned(), next)));
        for index in 0..state.asked.len() {
            let mut state = state.clone();
            operator::find_out(&mut state, index);
            next.push((format!("doubt {index} is asked about"), state));
        }
        for index in 0..state.late.len() {
            let mut state = state.clone();
            operator::arrive(&mut state, &self.mind, index);
            next.push((format!("late request {index} arrives"), state));
        }
        for (allowed, lag) in [(self.may.crash, false), (self.may.lag_at_start, true)] {
            if allowed {
                let mut state = state.clone();
                operator::restart(&mut state, &mut self.mind, lag);
                next.push((format!("the operator starts anew, caches lag: {lag}"), state));
            }
        }
        next
    }

    fn of_operator(&mut self, state: &State, of: usize, next: &mut Vec<(String, State)>) {
        let mut then = |word: &str, change: &mut dyn FnMut(&mut State, &mut Mind)| {
            let mut state = state.clone();
            change(&mut state, &mut self.mind);
            next.push((format!("{of}: {word}"), state));
        };
        match state.flights[of] {
            None => then("a pass begins", &mut |state, mind| operator::begin(state, mind, of)),
            Some(_) => {
                then("a request is sent", &mut |state, mind| operator::send(state, mind, of));
                if state.budget.late > 0 {
                    then("a request is given up on its way", &mut |state, _| {
                        operator::give_up(state, of);
                    });
                }
                if self.may.fail_requests {
                    then("a request fails", &mut |state, _| state.flights[of] = None);
                }
            }
        }
        if state.touched[of] {
            then("the dispatcher looks", &mut |state, mind| {
                operator::look(state, mind, of);
            });
        }
        let fresh = state.real[of].seen();
        if state.seen[of] == fresh {
            return;
        }
        let watches: &[u8] = if self.may.lag_apart { &[1, 2, 4] } else { &[7] };
        for watches in watches {
            then(&format!("watches {watches} show"), &mut |state, _| {
                settle::show(state, of, *watches);
            });
        }
    }

    /// Ends the test with the way that led there.
    fn tell(&self, mut at: u128, wrong: &str) {
        let mut way = Vec::new();
        while let Some((from, word)) = self.reached.get(&at).filter(|_| at != 0) {
            way.push(word.as_str());
            at = *from;
        }
        way.reverse();
        panic!("{wrong}\nafter {} steps:\n{}", way.len(), way.join("\n"));
    }
}
