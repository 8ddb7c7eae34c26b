//! Every ImagePolicy that exists, by name, as it is applied: the hash of each is taken once, and not at each look at a
//! build.

use std::collections::BTreeMap;
use std::sync::Arc;

use imagefactory_crds::ImagePolicySpec;

use super::hash;
use crate::step::AppliedPolicy;

/// Every ImagePolicy by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policies(BTreeMap<String, Arc<AppliedPolicy>>);

impl Policies {
    /// The policy of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<AppliedPolicy>> {
        self.0.get(name)
    }

    /// The set as it is now. What did not change is the same object as before.
    #[must_use]
    pub fn renewed<'a>(&self, now: impl IntoIterator<Item = (&'a str, &'a ImagePolicySpec)>) -> Self {
        let of = |name: &str, spec: &ImagePolicySpec| match self.0.get(name) {
            Some(known) if known.spec == *spec => known.clone(),
            _ => Arc::new(AppliedPolicy {
                name: name.to_owned(),
                hash: hash(spec),
                spec: spec.clone(),
            }),
        };
        let all = now.into_iter().map(|(name, spec)| (name.to_owned(), of(name, spec)));
        Self(all.collect())
    }
}

#[cfg(test)]
impl Policies {
    /// The same with another policy, or with another spec of one.
    pub(crate) fn with(mut self, name: &str, spec: &ImagePolicySpec) -> Self {
        let one = Self::default().renewed([(name, spec)]);
        self.0.extend(one.0);
        self
    }

    /// Changes the spec of one that is there.
    pub(crate) fn change(&mut self, name: &str, change: impl FnOnce(&mut ImagePolicySpec)) {
        let mut spec = self.0[name].spec.clone();
        change(&mut spec);
        *self = std::mem::take(self).with(name, &spec);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_has_another_hash_and_what_did_not_is_the_same_object() {
        let (strict, loose) = (
            ImagePolicySpec {
                ignore_unfixed: true,
                ..ImagePolicySpec::default()
            },
            ImagePolicySpec::default(),
        );
        let before = Policies::default()
            .with("a", &loose)
            .with("b", &loose)
            .with("c", &loose);
        let now = before.renewed([("a", &loose), ("b", &strict), ("d", &strict)]);
        assert!(Arc::ptr_eq(before.get("a").unwrap(), now.get("a").unwrap()));
        assert_eq!(now.get("b").unwrap().hash, hash(&strict));
        assert_ne!(now.get("b").unwrap().hash, before.get("b").unwrap().hash);
        assert_eq!(now.get("c"), None);
        assert_eq!(now.get("d").unwrap().name, "d");
    }
}
