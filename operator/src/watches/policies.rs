//! The ImagePolicies as decisions read them, made anew only when one of them was written.

use std::sync::{Arc, Mutex, PoisonError};

use imagefactory_core::policy::Policies;
use imagefactory_crds::ImagePolicy;
use kube::runtime::reflector::Store;

/// What the store of ImagePolicies holds, as decisions read it. Cloning gives another handle to the same one.
#[derive(Clone)]
pub struct PolicySet {
    store: Store<ImagePolicy>,
    last: Arc<Mutex<Last>>,
}

/// What was handed out last, and what it was made of.
#[derive(Default)]
struct Last {
    of: Vec<Arc<ImagePolicy>>,
    policies: Arc<Policies>,
}

impl PolicySet {
    pub(super) fn new(store: Store<ImagePolicy>) -> Self {
        Self {
            store,
            last: Arc::default(),
        }
    }

    /// All of them, as last heard.
    #[must_use]
    pub fn get(&self) -> Arc<Policies> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: what was read later is handed out later.
        let of = self.store.state();
        let is_same = of.len() == last.of.len() && of.iter().zip(&last.of).all(|(now, then)| Arc::ptr_eq(now, then));
        if !is_same {
            let named = of
                .iter()
                .filter_map(|policy| Some((policy.metadata.name.as_deref()?, &policy.spec)));
            last.policies = Arc::new(last.policies.renewed(named));
            last.of = of;
        }
        last.policies.clone()
    }
}

#[cfg(test)]
mod tests {
    use imagefactory_crds::ImagePolicySpec;
    use kube::runtime::watcher::Event;

    use super::*;
    use crate::watches::{Guarded, Hubs};

    fn show(hubs: &Hubs, name: &str, ignore_unfixed: bool) {
        let spec = ImagePolicySpec {
            ignore_unfixed,
            ..ImagePolicySpec::default()
        };
        hubs.policies
            .take(Event::Apply(Guarded(Ok(ImagePolicy::new(name, spec)))));
    }

    #[test]
    fn the_set_is_made_anew_when_one_was_written_or_deleted_and_else_handed_out_again() {
        let hubs = Hubs::default();
        let set = hubs.stores().policy_set;
        assert_eq!(*set.get(), Policies::default());
        show(&hubs, "a", false);
        show(&hubs, "b", false);
        let first = set.get();
        assert!(Arc::ptr_eq(&first, &set.clone().get()), "nothing was cloned");
        show(&hubs, "b", true);
        let second = set.get();
        assert!(second.get("b").unwrap().spec.ignore_unfixed);
        assert!(Arc::ptr_eq(first.get("a").unwrap(), second.get("a").unwrap()));
        let gone = ImagePolicy::new("a", ImagePolicySpec::default());
        hubs.policies.take(Event::Delete(Guarded(Ok(gone))));
        assert_eq!(set.get().get("a"), None);
    }
}
