//! Which writes are on record: one that is asked for again within seconds is not counted again. The intake knows that of
//! events with a key; what is counted on the spool has none any more. Pure.

use std::collections::HashMap;

use imagefactory_crds::audit::{AuditEvent, WRITE_WINDOW_SECONDS};
use jiff::{SignedDuration, Timestamp};

/// Most writes that are remembered. Beyond it one may be counted again.
const MAX_WRITES: usize = 16 * 1024;
const WINDOW: SignedDuration = SignedDuration::from_secs(WRITE_WINDOW_SECONDS);

/// Writes of late, and when each was first asked for.
#[derive(Default)]
pub struct Writes(HashMap<String, Timestamp>);

impl Writes {
    /// Whether this is another write than those that are on record, which it is from now on. Of what is never counted
    /// nothing is said: that is the intake's part.
    pub fn is_new(&mut self, event: &AuditEvent) -> bool {
        if event.fold_key.is_empty() || event.write_key.is_empty() {
            return true;
        }
        let near = |then: Timestamp| event.time.duration_since(then).abs() <= WINDOW;
        if self.0.get(&event.write_key).is_some_and(|then| near(*then)) {
            return false;
        }
        if self.0.len() >= MAX_WRITES {
            self.0.retain(|_, then| near(*then));
        }
        if self.0.len() < MAX_WRITES {
            self.0.insert(event.write_key.clone(), event.time);
        }
        true
    }

    /// Forgets all: what was noted last did not get on disk.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}
