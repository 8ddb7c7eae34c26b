//! Every order in which things can happen to a tenant that is being deleted, searched to the end: builds that end, logs
//! that are kept or lost, people who delete the namespace or put a stranger's in its place, an operator that looks at a
//! moment and acts at a later one, and that dies between any two of its writes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::fixtures;
use super::super::objects::namespace;
use super::super::observed::Observed;
use super::super::plan::plan;
use super::*;

/// What there is of a namespace of the tenant's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Ours,
    Going,
    Gone,
    Stranger,
}

/// The cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    /// Whether the Tenant is there.
    is_held: bool,
    place: Place,
    /// Builds that run.
    running: u32,
    /// Jobs of builds, live or ended, with logs that are kept.
    jobs: u32,
    /// Pods with logs that are not kept yet: in the tenant's namespace, and of jobs in the work namespace.
    unkept: (u32, u32),
    /// Whether the operator has found out what runs.
    knows: bool,
}

/// What an operator has still to write, as it decided on a look.
type Pending = Vec<Write>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Write {
    DeleteJob,
    DeleteNamespace,
    LetGo,
}

type Node = (State, Pending);

fn look(state: &State) -> Pending {
    let mut tenant = fixtures::tenant();
    tenant.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    tenant.metadata.finalizers = state.is_held.then(|| vec![FINALIZER_TENANT.to_owned()]);
    let mut found = namespace::namespace(&tenant);
    match state.place {
        Place::Ours => {}
        Place::Going => found.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH)),
        Place::Stranger => found.metadata.labels = None,
        Place::Gone => {}
    }
    let remains = Remains {
        running: state.knows.then_some(state.running),
        unkept: state.unkept.0 + state.unkept.1,
        jobs: vec![Job::default(); usize::try_from(state.jobs).unwrap()],
    };
    let observed = Observed {
        namespace: (state.place != Place::Gone).then_some(found),
        remains,
        ..Observed::default()
    };
    let plan = plan(Situation {
        tenant: &tenant,
        observed: &observed,
        settings: &fixtures::settings(),
        now: Timestamp::UNIX_EPOCH,
    });
    let write = |step: &Step| match step {
        Step::DeleteJob(_) => Write::DeleteJob,
        Step::Delete(_) => Write::DeleteNamespace,
        Step::LetGo(_) => Write::LetGo,
        other => panic!("{other:?}"),
    };
    plan.steps().iter().map(write).collect()
}

/// Carries one write out, as the API server would: deletes are bound to what was seen.
fn write(state: State, write: Write) -> State {
    match write {
        Write::DeleteJob => State {
            jobs: state.jobs.saturating_sub(1),
            ..state
        },
        Write::DeleteNamespace if state.place == Place::Ours => {
            assert_eq!(state.running, 0, "a build runs: {state:?}");
            assert_eq!(state.unkept, (0, 0), "a log is lost: {state:?}");
            State {
                place: Place::Going,
                ..state
            }
        }
        Write::DeleteNamespace => state,
        Write::LetGo => {
            assert!(
                !matches!(state.place, Place::Ours | Place::Going),
                "a namespace stays: {state:?}"
            );
            assert_eq!(state.jobs, 0, "a job stays: {state:?}");
            State {
                is_held: false,
                ..state
            }
        }
    }
}

/// What happens by itself or by people's hands.
fn events(state: State) -> Vec<State> {
    let mut next = Vec::new();
    if !state.knows {
        next.push(State { knows: true, ..state });
    }
    if state.running > 0 {
        // It ends: its pod and its job have logs to be kept.
        let unkept = (state.unkept.0 + 1, state.unkept.1 + 1);
        next.push(State {
            running: state.running - 1,
            unkept,
            ..state
        });
    }
    if state.unkept.0 > 0 {
        next.push(State {
            unkept: (state.unkept.0 - 1, state.unkept.1),
            ..state
        });
    }
    if state.unkept.1 > 0 {
        next.push(State {
            unkept: (state.unkept.0, state.unkept.1 - 1),
            jobs: state.jobs + 1,
            ..state
        });
    }
    match state.place {
        Place::Ours => next.push(State {
            place: Place::Going,
            ..state
        }),
        Place::Going => next.push(State {
            place: Place::Gone,
            running: 0,
            unkept: (0, state.unkept.1),
            ..state
        }),
        Place::Gone => next.push(State {
            place: Place::Stranger,
            ..state
        }),
        Place::Stranger => {}
    }
    next
}

/// What may come next. A look of which writes are left was made on a state of before: nothing new starts meanwhile, since
/// a tenant that is being deleted is given no slot, and what was granted one counts as running.
fn successors((state, pending): &Node) -> Vec<Node> {
    let mut next: Vec<Node> = events(*state)
        .into_iter()
        .map(|state| (state, pending.clone()))
        .collect();
    match pending.split_first() {
        Some((first, rest)) => {
            next.push((write(*state, *first), rest.to_vec()));
            // It dies, and with it what it knew.
            let forgets = State { knows: false, ..*state };
            next.push((forgets, Vec::new()));
        }
        None if state.is_held => next.push((*state, look(state))),
        None => {}
    }
    next
}

fn beginnings() -> Vec<Node> {
    let mut all = Vec::new();
    for place in [Place::Ours, Place::Going, Place::Gone, Place::Stranger] {
        for (running, jobs, knows) in [(0, 0, true), (1, 0, false), (2, 1, true), (0, 2, false)] {
            let state = State {
                is_held: true,
                place,
                running: if place == Place::Ours { running } else { 0 },
                jobs,
                unkept: (0, 0),
                knows,
            };
            all.push((state, Vec::new()));
        }
    }
    all
}

#[test]
fn in_every_order_of_events_the_finalizer_goes_last_and_always_can() {
    let mut leads_to = BTreeMap::<Node, Vec<Node>>::new();
    let mut open = beginnings();
    while let Some(node) = open.pop() {
        if leads_to.contains_key(&node) {
            continue;
        }
        let next = successors(&node);
        open.extend(next.iter().cloned());
        leads_to.insert(node, next);
    }
    // From everywhere there is a way to the end.
    let mut ends: BTreeSet<&Node> = leads_to.keys().filter(|(state, _)| !state.is_held).collect();
    assert!(!ends.is_empty());
    loop {
        let before = ends.len();
        let more: Vec<_> = leads_to
            .iter()
            .filter(|(_, next)| next.iter().any(|node| ends.contains(node)))
            .map(|(node, _)| node)
            .collect();
        ends.extend(more);
        if ends.len() == before {
            break;
        }
    }
    let stuck: Vec<_> = leads_to.keys().filter(|node| !ends.contains(node)).collect();
    assert!(stuck.is_empty(), "{stuck:#?}");
    assert!(leads_to.len() > 100, "{}", leads_to.len());
}
