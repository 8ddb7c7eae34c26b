//! What holds whatever happens: caps, work conservation, fairness, no starvation, determinism.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;

const CAP: u32 = 4;
const TENANTS: [&str; 4] = ["a", "b", "c", "d"];
const WEIGHTS: [u32; 4] = [1, 2, 3, 1];
const CAPS: [u32; 4] = [1, 2, 4, 3];
const ROOM: u64 = 4;

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Event {
    Comes { tenant: usize, priority: i32, cpu: u64 },
    Ends(usize),
    Leaves(usize),
    IsRefused(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..4_usize, -2..3_i32, 1..4_u64).prop_map(|(tenant, priority, cpu)| Event::Comes { tenant, priority, cpu }),
        4 => any::<usize>().prop_map(Event::Ends),
        1 => any::<usize>().prop_map(Event::Leaves),
        1 => any::<usize>().prop_map(Event::IsRefused),
    ]
}

fn limits(tenant: usize) -> TenantLimits {
    let room = Room {
        cpu: Some(ROOM),
        ..Room::default()
    };
    TenantLimits {
        cap: CAPS[tenant],
        weight: WEIGHTS[tenant],
        room,
    }
}

fn application(tenant: usize, number: usize, priority: i32, cpu: u64) -> Application {
    let id = BuildId {
        tenant: TENANTS[tenant].into(),
        name: format!("{number:05}").into(),
        uid: format!("{number:05}").into(),
        work: Work::Build,
    };
    Application {
        id: Arc::new(id),
        turn: 1,
        since: Timestamp::from_second(i64::try_from(number).unwrap()).unwrap(),
        priority,
        demand: Amounts {
            cpu,
            pods: 1,
            ..Amounts::default()
        },
        limits: limits(tenant),
    }
}

/// Everybody who was seen, so that the queue can be checked against a count by hand.
struct Model {
    queue: Queue,
    builds: BTreeMap<Arc<BuildId>, Application>,
    refused: BTreeMap<Arc<str>, Amounts>,
    number: usize,
}

impl Model {
    fn new() -> Self {
        let mut queue = Queue::new(CAP, SignedDuration::from_secs(5));
        queue.open();
        Self {
            queue,
            builds: BTreeMap::new(),
            refused: BTreeMap::new(),
            number: 0,
        }
    }

    fn split(&self) -> (Vec<Arc<BuildId>>, Vec<Arc<BuildId>>) {
        self.builds.keys().cloned().partition(|id| self.queue.holds(&id.uid))
    }

    fn take(&mut self, event: Event) {
        let (running, waiting) = self.split();
        let pick = |list: &[Arc<BuildId>], index: usize| (!list.is_empty()).then(|| list[index % list.len()].clone());
        match event {
            Event::Comes { tenant, priority, cpu } => {
                self.number += 1;
                let application = application(tenant, self.number, priority, cpu);
                let _ = self.queue.apply(&application);
                self.builds.insert(application.id.clone(), application);
            }
            Event::Ends(index) => {
                if let Some(id) = pick(&running, index) {
                    self.builds.remove(&id);
                    self.queue.release(&id, 1);
                    self.refused.remove(&id.tenant);
                }
            }
            Event::Leaves(index) => {
                if let Some(id) = pick(&waiting, index) {
                    self.builds.remove(&id);
                    assert_eq!(self.queue.withdraw(&id), None);
                    // The one that was refused may be the one that left.
                    self.refused.remove(&id.tenant);
                    self.apply_all(&id.tenant);
                }
            }
            Event::IsRefused(index) => {
                if let Some(id) = pick(&running, index) {
                    let demand = self.builds[&id].demand;
                    if self.queue.refuse(&id) != Slot::NotYet {
                        self.refused.insert(id.tenant.clone(), demand);
                    }
                }
            }
        }
    }

    /// Everybody of a tenant asks again, as after a wait: whoever was refused is tried anew.
    fn apply_all(&mut self, tenant: &str) {
        for application in self.builds.values().filter(|build| &*build.id.tenant == tenant) {
            let _ = self.queue.apply(application);
        }
    }

    fn running_of(&self, tenant: &str) -> (u32, u64) {
        let holding = self.builds.values().filter(|build| self.queue.holds(&build.id.uid));
        holding
            .filter(|build| &*build.id.tenant == tenant)
            .fold((0, 0), |(count, cpu), build| (count + 1, cpu + build.demand.cpu))
    }

    fn check(&self) {
        let (running, waiting) = self.split();
        let total = u32::try_from(running.len()).unwrap();
        assert!(total <= CAP, "the cluster's cap");
        for (index, tenant) in TENANTS.iter().enumerate() {
            let (count, cpu) = self.running_of(tenant);
            assert!(count <= CAPS[index] && cpu <= ROOM, "{tenant} runs {count} with {cpu}");
        }
        for id in waiting {
            let index = TENANTS.iter().position(|name| **name == *id.tenant).unwrap();
            let (count, cpu) = self.running_of(&id.tenant);
            let demand = self.builds[&id].demand;
            let is_held_back = self.refused.contains_key(&id.tenant);
            let could_start = total < CAP && count < CAPS[index] && cpu + demand.cpu <= ROOM && !is_held_back;
            assert!(!could_start, "{id:?} waits beside an idle slot");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn caps_hold_at_every_instant_and_no_slot_is_idle_while_somebody_could_use_it(
        events in proptest::collection::vec(event(), 0..120),
    ) {
        let mut model = Model::new();
        for event in events {
            model.take(event);
            model.check();
        }
    }

    #[test]
    fn the_same_events_give_the_same_slots(events in proptest::collection::vec(event(), 0..80)) {
        let (mut one, mut other) = (Model::new(), Model::new());
        for event in events {
            one.take(event);
            other.take(event);
            prop_assert_eq!(one.queue.woken(), other.queue.woken());
        }
    }

    #[test]
    fn between_two_slots_of_a_tenant_another_gets_at_most_its_weight_and_one(
        weights in proptest::collection::vec(1..9_u32, 2..6),
        ends in proptest::collection::vec(any::<usize>(), 1..200),
        comes_and_goes in proptest::collection::vec(any::<bool>(), 200),
    ) {
        let mut queue = Queue::new(3, SignedDuration::from_secs(300));
        queue.open();
        let name = |tenant: usize| format!("t{tenant}");
        let make = |tenant: usize, number: usize| {
            let id = BuildId { tenant: name(tenant).into(), name: "b".into(), uid: format!("{tenant}-{number}").into(), work: Work::Build };
            Application {
                id: Arc::new(id),
                turn: 1,
                since: Timestamp::from_second(i64::try_from(number).unwrap()).unwrap(),
                priority: 0,
                demand: Amounts::default(),
                limits: TenantLimits { cap: 100, weight: weights[tenant], room: Room::default() },
            }
        };
        // All but the last always have builds waiting; the last comes and goes.
        let steady = weights.len() - 1;
        for number in 0..400 {
            for tenant in 0..steady {
                let _ = queue.apply(&make(tenant, number));
            }
        }
        let mut running: BTreeSet<Arc<BuildId>> = queue.holding().into_iter().collect();
        let mut since_slot_of: BTreeMap<usize, BTreeMap<Arc<str>, u32>> = BTreeMap::new();
        for (step, end) in ends.into_iter().enumerate() {
            if comes_and_goes[step] {
                let _ = queue.apply(&make(steady, step));
            }
            let ending = running.iter().nth(end % running.len()).unwrap().clone();
            queue.release(&ending, 1);
            let now: BTreeSet<Arc<BuildId>> = queue.holding().into_iter().collect();
            for granted in now.difference(&running) {
                for tenant in 0..steady {
                    if *granted.tenant == *name(tenant) {
                        since_slot_of.insert(tenant, BTreeMap::new());
                    } else if let Some(counts) = since_slot_of.get_mut(&tenant) {
                        let count = counts.entry(granted.tenant.clone()).or_default();
                        *count += 1;
                        let index: usize = granted.tenant.trim_start_matches('t').parse().unwrap();
                        prop_assert!(*count <= weights[index] + 1, "{} got {count} between two of {tenant}", granted.tenant);
                    }
                }
            }
            running = now;
        }
    }

    #[test]
    fn the_lowest_priority_starts_within_what_priority_is_worth(
        priorities in proptest::collection::vec(-10..11_i32, 300),
    ) {
        // One slot, one build ends and one comes each second: whoever is more important than the first, for ever.
        let mut queue = Queue::new(1, SignedDuration::from_secs(5));
        queue.open();
        let lowest = application(2, 1, -10, 1);
        let blocker = application(2, 0, 0, 1);
        let _ = queue.apply(&blocker);
        let _ = queue.apply(&lowest);
        let mut overtakers = 0;
        for (second, priority) in priorities.into_iter().enumerate() {
            let _ = queue.apply(&application(2, second + 2, priority, 1));
            let running = queue.holding();
            if running[0] == lowest.id {
                break;
            }
            overtakers += 1;
            queue.release(&running[0], 1);
        }
        prop_assert!(queue.holds(&lowest.id.uid), "starved");
        // Twenty levels of five seconds each: nobody who came later than that can be ahead.
        prop_assert!(overtakers <= 20 * 5 + 2, "{overtakers}");
    }
}

#[test]
fn an_event_touches_a_handful_of_builds_however_many_wait() {
    let mut queue = Queue::new(10, SignedDuration::from_secs(300));
    queue.open();
    for number in 0..5_000 {
        let _ = queue.apply(&Application {
            limits: TenantLimits {
                cap: 100,
                weight: 1,
                room: Room::default(),
            },
            ..application(number % 4, number, 0, 1)
        });
    }
    let _ = queue.woken();
    for _ in 0..2_000 {
        let running = queue.holding();
        queue.release(&running[0], 1);
        let woken = queue.woken().len();
        assert!(woken <= 16, "{woken} builds are woken by one end");
    }
}
