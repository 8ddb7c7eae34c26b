//! What is to be placed where, and when again: pure, time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use super::content::Hash;
use crate::runner::delay;

/// How often what was placed is placed again: somebody may have changed or deleted it, and we may not look.
const AGAIN: Duration = Duration::from_secs(3600);

/// Time since the role began.
type Moment = Duration;

/// How a Secret is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Nobody here knows whether it is there: created, or patched if it is.
    CreateOrPatch,
    /// It was there: patched.
    Patch,
}

/// A Secret that is to be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    /// Whose.
    pub(super) tenant: String,
    /// How.
    pub(super) how: How,
}

/// What was placed where. In memory alone: after a start everything is placed once.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    tenants: BTreeMap<String, Entry>,
    token: Entry,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    placed: Option<(Hash, Moment)>,
    failures: u32,
    not_before: Moment,
}

impl Entry {
    fn is_due(&self, desired: &Hash, now: Moment) -> bool {
        let is_right = self
            .placed
            .is_some_and(|(hash, at)| hash == *desired && now < at + AGAIN);
        !is_right && now >= self.not_before
    }

    fn note(&mut self, hash: Hash, succeeded: bool, now: Moment) {
        if succeeded {
            *self = Self {
                placed: Some((hash, now)),
                failures: 0,
                not_before: now,
            };
        } else {
            self.failures = self.failures.saturating_add(1);
            self.not_before = now + delay(self.failures, rand::random());
        }
    }
}

impl Ledger {
    /// What is to be placed now. Tenants that are not desired any more are forgotten.
    pub(super) fn due(&mut self, desired: &BTreeMap<String, Hash>, now: Moment) -> Vec<Placement> {
        self.tenants.retain(|tenant, _| desired.contains_key(tenant));
        let entry = |tenant| self.tenants.get(tenant).copied().unwrap_or_default();
        let due = desired.iter().filter(|(tenant, hash)| entry(*tenant).is_due(hash, now));
        due.map(|(tenant, _)| Placement {
            tenant: tenant.clone(),
            how: if entry(tenant).placed.is_some() {
                How::Patch
            } else {
                How::CreateOrPatch
            },
        })
        .collect()
    }

    /// Something about the tenant has changed: its failures say nothing any more.
    pub(super) fn try_at_once(&mut self, tenant: &str) {
        if let Some(entry) = self.tenants.get_mut(tenant) {
            entry.not_before = Moment::ZERO;
        }
    }

    /// Notes what became of a placement. A patch that failed says that the Secret may be gone.
    pub(super) fn note(&mut self, placement: &Placement, hash: Hash, succeeded: bool, now: Moment) {
        let entry = self.tenants.entry(placement.tenant.clone()).or_default();
        if !succeeded {
            entry.placed = None;
        }
        entry.note(hash, succeeded, now);
    }

    /// Whether the scanner's token is to be made, if it is not there.
    pub(super) fn token_is_due(&self, now: Moment) -> bool {
        self.token.is_due(&Hash::default(), now)
    }

    /// Notes what became of the scanner's token.
    pub(super) fn note_token(&mut self, succeeded: bool, now: Moment) {
        self.token.note(Hash::default(), succeeded, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    fn desired(tenants: &[(&str, u8)]) -> BTreeMap<String, Hash> {
        tenants
            .iter()
            .map(|(tenant, content)| ((*tenant).to_owned(), [*content; 32]))
            .collect()
    }

    fn placement(tenant: &str, how: How) -> Placement {
        Placement {
            tenant: tenant.to_owned(),
            how,
        }
    }

    #[test]
    fn what_is_right_is_left_alone_for_an_hour() {
        let (mut ledger, want) = (Ledger::default(), desired(&[("acme", 1)]));
        let first = placement("acme", How::CreateOrPatch);
        assert_eq!(ledger.due(&want, at(0)), std::slice::from_ref(&first));
        ledger.note(&first, [1; 32], true, at(0));
        assert_eq!(ledger.due(&want, at(3599)), []);
        assert_eq!(ledger.due(&want, at(3600)), [placement("acme", How::Patch)]);
    }

    #[test]
    fn another_content_is_placed_at_once_and_only_where_it_belongs() {
        let mut ledger = Ledger::default();
        for tenant in ["acme", "other"] {
            ledger.note(&placement(tenant, How::CreateOrPatch), [1; 32], true, at(0));
        }
        assert_eq!(
            ledger.due(&desired(&[("acme", 2), ("other", 1)]), at(10)),
            [placement("acme", How::Patch)]
        );
    }

    #[test]
    fn a_failure_waits_and_longer_each_time_until_the_tenant_changes() {
        let (mut ledger, want) = (Ledger::default(), desired(&[("acme", 1)]));
        let first = placement("acme", How::CreateOrPatch);
        for _ in 0..4 {
            ledger.note(&first, [1; 32], false, at(0));
        }
        assert_eq!(ledger.due(&want, at(5)), []);
        assert_eq!(ledger.due(&want, at(8)), std::slice::from_ref(&first));
        ledger.try_at_once("acme");
        assert_eq!(ledger.due(&want, at(1)), [first]);
    }

    #[test]
    fn a_tenant_that_came_back_is_placed_anew() {
        let (mut ledger, want) = (Ledger::default(), desired(&[("acme", 1)]));
        ledger.note(&placement("acme", How::CreateOrPatch), [1; 32], true, at(0));
        assert_eq!(ledger.due(&BTreeMap::new(), at(1)), []);
        assert_eq!(ledger.due(&want, at(2)), [placement("acme", How::CreateOrPatch)]);
    }

    #[test]
    fn a_secret_whose_patch_failed_is_created_next_time() {
        let (mut ledger, want) = (Ledger::default(), desired(&[("acme", 2)]));
        ledger.note(&placement("acme", How::CreateOrPatch), [1; 32], true, at(0));
        ledger.note(&placement("acme", How::Patch), [2; 32], false, at(1));
        assert_eq!(ledger.due(&want, at(10)), [placement("acme", How::CreateOrPatch)]);
    }

    #[test]
    fn the_token_is_made_once_and_looked_after_every_hour() {
        let mut ledger = Ledger::default();
        assert!(ledger.token_is_due(at(0)));
        ledger.note_token(false, at(0));
        assert!(!ledger.token_is_due(at(0)) && ledger.token_is_due(at(1)));
        ledger.note_token(true, at(1));
        assert!(!ledger.token_is_due(at(3600)) && ledger.token_is_due(at(3601)));
    }
}
