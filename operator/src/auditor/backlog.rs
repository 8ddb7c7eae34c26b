//! What is to be told and is not yet: bounded, each event once, in the order in which it was seen. Pure.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use imagefactory_crds::audit::{AuditEvent, MAX_BATCH};

/// Most events that wait: of about a kilobyte each.
pub(super) const MOST: usize = 8192;

/// Events that wait, and what was told last of each object.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    events: VecDeque<AuditEvent>,
    ids: HashSet<String>,
    /// By uid, a hash of the id of the event that was told last. One for each object that is there.
    last: HashMap<String, u64>,
    /// How many of the next go one by one, because the intake does not take them together.
    singly: usize,
}

impl Backlog {
    /// Whether an object was told as it stands, as far as this process remembers.
    pub(super) fn has_told(&self, uid: &str, id: &str) -> bool {
        self.last.get(uid) == Some(&hash(id))
    }

    /// Takes in how an object stands. False: there is no room.
    #[must_use]
    pub(super) fn stands(&mut self, uid: &str, event: AuditEvent) -> bool {
        let id = hash(&event.id);
        let taken = self.push(event);
        if taken {
            self.last.insert(uid.to_owned(), id);
        }
        taken
    }

    /// An object is known to be told as it stands.
    pub(super) fn is_told(&mut self, uid: &str, id: &str) {
        self.last.insert(uid.to_owned(), hash(id));
    }

    /// Takes in that an object is gone, where there is something to say of that. False: there is no room.
    #[must_use]
    pub(super) fn goes(&mut self, uid: &str, event: Option<AuditEvent>) -> bool {
        self.last.remove(uid);
        event.is_none_or(|event| self.push(event))
    }

    fn push(&mut self, event: AuditEvent) -> bool {
        if self.ids.contains(&event.id) {
            return true;
        }
        if self.events.len() >= MOST {
            return false;
        }
        self.ids.insert(event.id.clone());
        self.events.push_back(event);
        true
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// The next to be told together.
    pub(super) fn batch(&self) -> Vec<AuditEvent> {
        let most = if self.singly > 0 { 1 } else { MAX_BATCH };
        self.events.iter().take(most).cloned().collect()
    }

    /// The first so many need not be told any more.
    pub(super) fn done(&mut self, count: usize) {
        for event in self.events.drain(..count.min(self.events.len())) {
            self.ids.remove(&event.id);
        }
        self.singly = self.singly.saturating_sub(count);
    }

    /// The first so many were refused together: they go one by one.
    pub(super) fn go_singly(&mut self, count: usize) {
        self.singly = count;
    }
}

fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str) -> AuditEvent {
        serde_json::from_value(serde_json::json!({
            "id": id, "time": "2026-01-01T00:00:00Z", "kind": "transition", "actor": {"user": "operator"},
            "action": "Building", "resource": {"kind": "Build"},
        }))
        .unwrap()
    }

    fn ids(backlog: &Backlog) -> Vec<String> {
        backlog.batch().into_iter().map(|event| event.id).collect()
    }

    #[test]
    fn an_event_waits_once_and_is_remembered_when_it_was_told() {
        let mut backlog = Backlog::default();
        assert!(backlog.stands("u", event("u-1")) && backlog.stands("u", event("u-1")));
        assert!(backlog.has_told("u", "u-1") && !backlog.has_told("u", "u-2"));
        assert!(backlog.stands("u", event("u-2")));
        assert_eq!(ids(&backlog), ["u-1", "u-2"]);
        backlog.done(2);
        assert_eq!(backlog.len(), 0);
        assert!(backlog.has_told("u", "u-2"));
        assert!(backlog.goes("u", Some(event("u-gone"))));
        assert!(!backlog.has_told("u", "u-2"), "nothing is kept of what is gone");
    }

    #[test]
    fn what_finds_no_room_is_not_taken_for_told() {
        let mut backlog = Backlog::default();
        for number in 0..MOST {
            assert!(backlog.stands("u", event(&number.to_string())));
        }
        assert!(!backlog.stands("v", event("more")));
        assert!(!backlog.has_told("v", "more"));
        backlog.done(1);
        assert!(backlog.stands("v", event("more")) && backlog.has_told("v", "more"));
    }

    #[test]
    fn a_batch_that_is_refused_goes_one_by_one_and_then_together_again() {
        let mut backlog = Backlog::default();
        for id in ["a", "b", "c"] {
            assert!(backlog.stands(id, event(id)));
        }
        backlog.go_singly(2);
        assert_eq!(ids(&backlog), ["a"]);
        backlog.done(1);
        assert_eq!(ids(&backlog), ["b"]);
        backlog.done(1);
        assert!(backlog.stands("d", event("d")));
        assert_eq!(ids(&backlog), ["c", "d"]);
    }
}
