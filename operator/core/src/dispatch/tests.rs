//! The queue's rules, one by one.

use std::sync::Arc;

use imagefactory_crds::build::QueueLimit;
use jiff::{SignedDuration, Timestamp};

use super::*;

const CPU_ONE: Amounts = Amounts {
    cpu: 1000,
    memory: 0,
    storage: 0,
    pods: 1,
};

fn limits(cap: u32, weight: u32) -> TenantLimits {
    TenantLimits {
        cap,
        weight,
        room: Room::default(),
    }
}

fn application(tenant: &str, number: usize) -> Application {
    let id = BuildId {
        tenant: tenant.into(),
        name: format!("b{number}").into(),
        uid: format!("{tenant}-{number}").into(),
        work: Work::Build,
    };
    Application {
        id: Arc::new(id),
        turn: 1,
        since: Timestamp::from_second(1_000 + i64::try_from(number).unwrap()).unwrap(),
        priority: 0,
        demand: CPU_ONE,
        limits: limits(100, 1),
    }
}

fn open(cap: u32) -> Queue {
    let mut queue = Queue::new(cap, SignedDuration::from_secs(300));
    queue.open();
    queue
}

fn standing(slot: Slot) -> Standing {
    match slot {
        Slot::Waits(standing) => standing,
        other => panic!("{other:?}"),
    }
}

fn names(woken: &[Arc<BuildId>]) -> Vec<&str> {
    woken.iter().map(|id| &*id.uid).collect()
}

#[test]
fn a_build_that_can_start_starts_and_asking_again_changes_nothing() {
    let mut queue = open(1);
    assert_eq!(queue.apply(&application("a", 0)), Slot::Granted);
    assert_eq!(queue.apply(&application("a", 0)), Slot::Granted);
    assert!(queue.woken().is_empty(), "who asked knows the answer");
    assert!(matches!(queue.apply(&application("a", 1)), Slot::Waits(_)));
}

#[test]
fn nothing_is_granted_before_what_runs_is_known() {
    let mut queue = Queue::new(1, SignedDuration::from_secs(300));
    assert_eq!(queue.apply(&application("a", 0)), Slot::NotYet);
    let running = application("b", 0);
    let holding = Holding {
        id: running.id.clone(),
        turn: 1,
        demand: Some(CPU_ONE),
        limits: Some(limits(100, 1)),
    };
    queue.hold(&holding);
    queue.open();
    assert_eq!(names(&queue.woken()), ["a-0"], "woken to hear that it waits");
    assert!(matches!(queue.apply(&application("a", 0)), Slot::Waits(_)));
    queue.release(&running.id, 1);
    assert_eq!(names(&queue.woken()), ["a-0"]);
    assert_eq!(queue.apply(&application("a", 0)), Slot::Granted);
}

#[test]
fn a_tenant_at_its_cap_blocks_nobody() {
    let mut queue = open(10);
    for number in 0..3 {
        let _ = queue.apply(&Application {
            limits: limits(1, 1),
            ..application("small", number)
        });
    }
    assert_eq!(queue.apply(&application("other", 0)), Slot::Granted);
    let waits = standing(queue.apply(&Application {
        limits: limits(1, 1),
        ..application("small", 2)
    }));
    assert_eq!((waits.limit, waits.position), (QueueLimit::TenantLimit, 2));
}

#[test]
fn a_build_that_does_not_fit_the_quota_lets_smaller_ones_pass() {
    let mut queue = open(10);
    let room = Room {
        cpu: Some(3000),
        ..Room::default()
    };
    let of = |number, cpu| Application {
        demand: Amounts { cpu, ..CPU_ONE },
        limits: TenantLimits { room, ..limits(10, 1) },
        ..application("a", number)
    };
    assert_eq!(queue.apply(&of(0, 2000)), Slot::Granted);
    let large = standing(queue.apply(&of(1, 2000)));
    assert_eq!((large.limit, large.position), (QueueLimit::QuotaLimit, 1));
    assert_eq!(queue.apply(&of(2, 1000)), Slot::Granted);
    queue.release(&of(0, 2000).id, 1);
    assert_eq!(queue.apply(&of(1, 2000)), Slot::Granted);
}

#[test]
fn what_a_staged_build_needs_no_more_others_may_use() {
    let mut queue = open(10);
    let room = Room {
        cpu: Some(1000),
        ..Room::default()
    };
    let of = |number| Application {
        limits: TenantLimits { room, ..limits(10, 1) },
        ..application("a", number)
    };
    assert_eq!(queue.apply(&of(0)), Slot::Granted);
    assert_eq!(standing(queue.apply(&of(1))).limit, QueueLimit::QuotaLimit);
    let staged = Holding {
        id: of(0).id,
        turn: 1,
        demand: Some(Amounts::default()),
        limits: None,
    };
    queue.hold(&staged);
    assert_eq!(queue.apply(&of(1)), Slot::Granted);
}

#[test]
fn a_refusal_by_the_api_server_holds_equals_back_and_lets_others_go() {
    let mut queue = open(10);
    let (first, second) = (application("a", 0), application("a", 1));
    assert_eq!(queue.apply(&first), Slot::Granted);
    assert_eq!(standing(queue.refuse(&first.id)).limit, QueueLimit::QuotaLimit);
    assert_eq!(standing(queue.apply(&second)).limit, QueueLimit::QuotaLimit);
    assert_eq!(queue.apply(&application("b", 0)), Slot::Granted);
    let less = Application {
        demand: Amounts { cpu: 500, ..CPU_ONE },
        ..application("a", 2)
    };
    assert_eq!(queue.apply(&less), Slot::Granted);
    assert_eq!(queue.apply(&first), Slot::Granted, "who was refused may try again");
    assert_eq!(queue.apply(&second), Slot::Granted);
}

#[test]
fn turns_go_round_by_weight() {
    let mut queue = open(1);
    let of = |tenant: &str, number: usize| {
        let weight = if tenant == "b" { 2 } else { 1 };
        Application {
            limits: limits(100, weight),
            ..application(tenant, number)
        }
    };
    let first = of("z", 0);
    assert_eq!(queue.apply(&first), Slot::Granted);
    for number in 1..8 {
        for tenant in ["a", "b"] {
            let _ = queue.apply(&of(tenant, number));
        }
    }
    let mut running = first.id;
    let mut served = String::new();
    for _ in 0..9 {
        let _ = queue.woken();
        queue.release(&running, 1);
        let granted = queue.woken().into_iter().find(|id| queue.holds(&id.uid)).unwrap();
        served.push_str(&granted.tenant);
        running = granted;
    }
    assert_eq!(served, "abbabbabb");
}

#[test]
fn the_standing_is_told_again_when_the_position_has_halved() {
    let mut queue = open(1);
    for number in 0..9 {
        let _ = queue.apply(&application("a", number));
    }
    let mut told = Vec::new();
    for number in 0..8 {
        let _ = queue.woken();
        queue.release(&application("a", number).id, 1);
        let woken = queue.woken();
        for id in woken.iter().filter(|id| &*id.uid == "a-8") {
            assert_eq!(&*id.name, "b8");
            told.push(number);
        }
    }
    assert_eq!(told, [3, 5, 6, 7], "at places 4, 2 and 1, and when it is served");
}

#[test]
fn a_standing_counts_tenants_ahead_and_nothing_else_of_them() {
    let mut queue = open(1);
    for tenant in ["a", "b", "c"] {
        for number in 0..3 {
            let _ = queue.apply(&application(tenant, number));
        }
    }
    let late = standing(queue.apply(&application("d", 9)));
    assert_eq!((late.limit, late.position), (QueueLimit::ClusterLimit, 1));
    assert!((1..=3).contains(&late.tenants_ahead), "{late:?}");
}

#[test]
fn a_slot_that_its_build_knows_of_is_given_back_only_when_it_is_certain_that_nothing_runs() {
    let mut queue = open(1);
    let first = application("a", 0);
    assert_eq!(queue.apply(&first), Slot::Granted);
    let old = queue.withdraw(&first.id).expect("its pod may have been made");
    assert!(queue.holds(&first.id.uid));
    assert_eq!(queue.apply(&first), Slot::Granted);
    queue.dispel(&old);
    assert!(queue.holds(&first.id.uid), "it was told again since");
    let doubt = queue.withdraw(&first.id).unwrap();
    queue.dispel(&doubt);
    assert_eq!(queue.apply(&application("a", 1)), Slot::Granted);

    let third = application("a", 2);
    let _ = queue.apply(&third);
    queue.release(&application("a", 1).id, 1);
    assert_eq!(queue.withdraw(&third.id), None, "it was never told of its slot");
    assert!(!queue.holds(&third.id.uid));
}

#[test]
fn an_old_sight_of_a_build_neither_takes_nor_gives_a_slot() {
    let mut queue = open(1);
    let again = Application {
        turn: 2,
        ..application("a", 0)
    };
    assert_eq!(queue.apply(&again), Slot::Granted);
    queue.release(&again.id, 1);
    assert!(queue.holds(&again.id.uid), "the first attempt's end was old news");
    assert_eq!(queue.apply(&application("a", 0)), Slot::NotYet);
}

#[test]
fn who_goes_and_comes_back_gains_no_turn() {
    let mut queue = open(1);
    let mut one_at_a_time = application("a", 0);
    assert_eq!(queue.apply(&one_at_a_time), Slot::Granted);
    for number in 0..20 {
        let _ = queue.apply(&application("b", number));
    }
    let (mut of_a, mut of_b) = (0, 0);
    let mut running = one_at_a_time.id.clone();
    for number in 1..=20 {
        let _ = queue.woken();
        one_at_a_time = application("a", number);
        queue.release(&running, 1);
        let _ = queue.apply(&one_at_a_time);
        let everything = queue.holding();
        assert_eq!(everything.len(), 1);
        running = everything[0].clone();
        if &*running.tenant == "a" {
            of_a += 1;
        } else {
            of_b += 1;
        }
    }
    assert!(of_b >= of_a, "{of_a} to {of_b}");
}
