//! Which events are new, which are the same again, and which are one of too many. Pure: what is stored already is given.

use std::collections::{BTreeMap, HashMap, HashSet};

use imagefactory_crds::audit::{AuditEvent, EventKind, WRITE_WINDOW_SECONDS};

use super::fold::{At, Fold, Rules, Window, window_of};

const WRITE_WINDOW: i64 = WRITE_WINDOW_SECONDS * 1_000_000;

/// What is stored that matters for a batch.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Ids that were stored or folded.
    pub(super) ids: HashSet<String>,
    /// Times of writes, by kind and key.
    pub(super) writes: HashMap<(EventKind, String), Vec<i64>>,
    /// Denials that are entries of their own, by window.
    pub(super) singles: HashMap<Window, u32>,
    /// Folds that are open.
    pub(super) folds: BTreeMap<Window, Fold>,
}

/// An event that was folded, as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Folded {
    pub(super) id: String,
    pub(super) write_key: String,
    pub(super) time: i64,
}

/// What to do with a batch.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Entries to append, in this order.
    pub(super) entries: Vec<AuditEvent>,
    /// Folds that are new or have grown, as they are to be.
    pub(super) folds: BTreeMap<Window, Fold>,
    /// Ids to remember.
    pub(super) folded: Vec<Folded>,
    /// Of each event, in the order given, whether it was new.
    pub(super) is_new: Vec<bool>,
}

/// Decides about events, one after the other.
pub(super) fn decide(events: Vec<AuditEvent>, mut known: Known, at: At) -> Plan {
    let rules = at.rules;
    let mut plan = Plan::default();
    for event in events {
        let is_new = !known.has(&event);
        plan.is_new.push(is_new);
        if !is_new {
            continue;
        }
        known.note(&event);
        match window_of(&event, rules).filter(|window| known.is_full(window, rules)) {
            Some(window) => plan.fold(&mut known, window, &event, at),
            None => {
                if let Some(window) = window_of(&event, rules) {
                    *known.singles.entry(window).or_default() += 1;
                }
                plan.entries.push(event);
            }
        }
    }
    plan
}

impl Known {
    fn has(&self, event: &AuditEvent) -> bool {
        self.ids.contains(&event.id) || self.has_write(event)
    }

    fn has_write(&self, event: &AuditEvent) -> bool {
        let time = event.time.as_microsecond();
        !event.write_key.is_empty()
            && self
                .writes
                .get(&(event.kind, event.write_key.clone()))
                .is_some_and(|times| {
                    times
                        .iter()
                        .any(|known| known.abs_diff(time) <= WRITE_WINDOW.unsigned_abs())
                })
    }

    fn note(&mut self, event: &AuditEvent) {
        self.ids.insert(event.id.clone());
        if !event.write_key.is_empty() {
            let key = (event.kind, event.write_key.clone());
            self.writes.entry(key).or_default().push(event.time.as_microsecond());
        }
    }

    fn is_full(&self, window: &Window, rules: Rules) -> bool {
        self.singles.get(window).copied().unwrap_or_default() >= rules.rate
    }
}

impl Plan {
    fn fold(&mut self, known: &mut Known, window: Window, event: &AuditEvent, at: At) {
        self.folded.push(Folded {
            id: event.id.clone(),
            write_key: event.write_key.clone(),
            time: event.time.as_microsecond(),
        });
        let fold = match known.folds.remove(&window) {
            Some(mut fold) => {
                fold.add(event);
                fold
            }
            None => Fold::begin(window.clone(), event, at),
        };
        self.folds.insert(window.clone(), fold.clone());
        known.folds.insert(window, fold);
    }
}
