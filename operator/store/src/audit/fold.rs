//! Equal denials beyond a rate: counted in a row beside the chain until their window is over.
//!
//! Windows are of event time, one after the other: which one an event belongs to does not depend on when or in which order
//! it is delivered.

use imagefactory_crds::audit::{AuditEvent, EventKind};
use jiff::Timestamp;
use serde_json::json;

use super::chain;

/// When equal denials are folded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// How many in one window are entries of their own.
    pub(crate) rate: u32,
    /// Length of a window, in microseconds; more than 0.
    pub(crate) window: i64,
}

/// What a fold begins by.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) rules: Rules,
    /// Now by the store's clock, in microseconds.
    pub(super) now: i64,
}

/// Key and start of a window.
pub(super) type Window = (String, i64);

/// A row of `folds`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fold {
    pub(super) window: Window,
    /// The first of them; what the others do not share with it is taken out.
    pub(super) sample: AuditEvent,
    pub(super) count: u64,
    pub(super) first: i64,
    pub(super) last: i64,
    /// When it becomes an entry, by the store's clock.
    pub(super) closes: i64,
}

/// The window that an event is counted in; none for what is never folded. Attempts are not: each has its own before and
/// after.
pub(super) fn window_of(event: &AuditEvent, rules: Rules) -> Option<Window> {
    let folds = event.kind == EventKind::Denial && !event.fold_key.is_empty();
    let time = event.time.as_microsecond();
    folds.then(|| (event.fold_key.clone(), time - time.rem_euclid(rules.window)))
}

impl Fold {
    pub(super) fn begin(window: Window, event: &AuditEvent, at: At) -> Self {
        let time = event.time.as_microsecond();
        let over = window.1.saturating_add(at.rules.window);
        Self {
            window,
            sample: event.clone(),
            count: event.count,
            first: time,
            last: time,
            // What comes late (a spool that is drained) has a window's time to gather as well.
            closes: over.max(at.now.saturating_add(at.rules.window)),
        }
    }

    pub(super) fn add(&mut self, event: &AuditEvent) {
        let time = event.time.as_microsecond();
        self.count = self.count.saturating_add(event.count);
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        let (ours, theirs) = (&mut self.sample.resource, &event.resource);
        for (ours, theirs) in [(&mut ours.name, &theirs.name), (&mut ours.uid, &theirs.uid)] {
            if ours != theirs {
                ours.clear();
            }
        }
        if self.sample.project != event.project {
            self.sample.project = None;
        }
    }

    /// The entry that it becomes. It has no keys: it is neither one write nor one of the window's single denials.
    pub(super) fn entry(&self) -> AuditEvent {
        let mut event = self.sample.clone();
        let (key, start) = (&self.window.0, self.window.1.to_string());
        let id: String = chain::digest(&[key, &start, &self.sample.id])
            .chars()
            .take(32)
            .collect();
        event.id = format!("fold-{id}");
        event.time = Timestamp::from_microsecond(self.first).unwrap_or(event.time);
        event.count = self.count;
        event.write_key.clear();
        event.fold_key.clear();
        event.before = None;
        let last = Timestamp::from_microsecond(self.last).unwrap_or(event.time);
        event.after = Some(json!({"folded": {"first": event.time, "last": last}}));
        event
    }
}
