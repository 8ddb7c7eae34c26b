//! Quotas of count and rate, asked once for each Build and QuarantineRequest before anything is done for it.
//!
//! The webhook refuses by what the Tenant's status told it, some seconds ago. What came in beyond the limit meanwhile, or
//! while the webhook was gone, is failed here with the same code. [`Book`] makes that one decision after another: what it
//! let in counts from that moment, whether or not the watch shows it yet.

use std::collections::BTreeMap;

use imagefactory_crds::admission::entitlement::Withheld;
use imagefactory_crds::admission::quota::{Limited, one_more};
use imagefactory_crds::conditions::{self, SUCCEEDED};
use imagefactory_crds::denial::Code;
use imagefactory_crds::{Build, QuarantineRequest, Tenant};
use jiff::{SignedDuration, Timestamp};

/// What a rate is counted in.
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Something that exists and may count against a quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing<'a> {
    /// Uid.
    pub uid: &'a str,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it was let in: the operator wrote into its status, and not that quota refused it.
    pub counts: bool,
}

impl<'a> Existing<'a> {
    /// A Build.
    #[must_use]
    pub fn build(build: &'a Build) -> Option<Self> {
        let is_seen = build
            .status
            .as_ref()
            .is_some_and(|status| status.observed_generation >= 0);
        Some(Self {
            uid: build.metadata.uid.as_deref()?,
            created: build.metadata.creation_timestamp.as_ref()?.0,
            counts: is_seen && !is_refused(build),
        })
    }

    /// A QuarantineRequest; none for one that has come to its end.
    #[must_use]
    pub fn request(request: &'a QuarantineRequest) -> Option<Self> {
        let status = request.status.as_ref();
        if status.is_some_and(|status| status.is_settled()) {
            return None;
        }
        Some(Self {
            uid: request.metadata.uid.as_deref()?,
            created: request.metadata.creation_timestamp.as_ref()?.0,
            counts: status.is_some_and(|status| status.pending_approval_at.is_some()),
        })
    }
}

/// Whether quota refused the Build: then it counts against none.
#[must_use]
pub fn is_refused(build: &Build) -> bool {
    let conditions = build.status.as_ref().map(|status| status.conditions.as_slice());
    let succeeded = conditions::find(conditions.unwrap_or_default(), SUCCEEDED);
    succeeded.is_some_and(|ended| ended.status == "False" && ended.reason == Code::QuotaExceeded.as_str())
}

/// Something that was let in.
#[derive(Clone, Copy, Debug)]
struct LetIn {
    created: Timestamp,
    at: Timestamp,
}

/// Who was let in within the last hour, by tenant and uid. It holds no more than that.
#[derive(Clone, Debug, Default)]
pub struct Book {
    tenants: BTreeMap<String, BTreeMap<String, LetIn>>,
}

impl Book {
    /// Whether one more is let in beside the others that exist, and if so, notes it. Asked again it says the same.
    ///
    /// # Errors
    /// The limit and the use.
    pub fn ask(
        &mut self,
        tenant: &Tenant,
        what: &[Limited],
        (one, others): (&Existing<'_>, &[Existing<'_>]),
        now: Timestamp,
    ) -> Result<(), Withheld> {
        if what.iter().all(|limited| limited.limit(tenant).is_none()) {
            return Ok(());
        }
        self.forget(now);
        let name = tenant.metadata.name.clone().unwrap_or_default();
        let noted = self.tenants.entry(name).or_default();
        if noted.contains_key(one.uid) {
            return Ok(());
        }
        let others: Vec<&Existing<'_>> = others.iter().filter(|other| other.uid != one.uid).collect();
        for limited in what {
            let used = match limited {
                Limited::BuildsPerHour => busiest_hour(one.created, &moments(noted, &others, one.created)),
                _ => others.iter().filter(|other| is_in(noted, other)).count(),
            };
            one_more(*limited, tenant, u64::try_from(used).unwrap_or(u64::MAX))?;
        }
        let created = one.created;
        noted.insert(one.uid.to_owned(), LetIn { created, at: now });
        Ok(())
    }

    /// What was let in more than an hour ago stands in statuses since.
    fn forget(&mut self, now: Timestamp) {
        for noted in self.tenants.values_mut() {
            noted.retain(|_, one| now.duration_since(one.at) < HOUR);
        }
        self.tenants.retain(|_, noted| !noted.is_empty());
    }
}

fn is_in(noted: &BTreeMap<String, LetIn>, other: &Existing<'_>) -> bool {
    other.counts || noted.contains_key(other.uid)
}

/// When those were created that were let in, those included that are deleted since; in order. No hour that holds the
/// moment holds what is further off than an hour.
fn moments(noted: &BTreeMap<String, LetIn>, others: &[&Existing<'_>], moment: Timestamp) -> Vec<Timestamp> {
    let exist = others
        .iter()
        .filter(|other| other.counts && !noted.contains_key(other.uid));
    let created = exist
        .map(|other| other.created)
        .chain(noted.values().map(|one| one.created));
    let mut moments: Vec<_> = created.filter(|at| at.duration_since(moment).abs() < HOUR).collect();
    moments.sort_unstable();
    moments
}

/// The most that were created within any hour that holds this moment.
fn busiest_hour(moment: Timestamp, moments: &[Timestamp]) -> usize {
    let before = |end: Timestamp| moments.partition_point(|at| *at < end);
    let begins = moments
        .iter()
        .filter(|at| **at <= moment && moment.duration_since(**at) < HOUR);
    let within = |begin: Timestamp| {
        let end = begin.checked_add(HOUR).unwrap_or(Timestamp::MAX);
        before(end).saturating_sub(before(begin))
    };
    begins
        .chain([&moment])
        .map(|begin| within(*begin))
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use imagefactory_crds::TenantSpec;
    use imagefactory_crds::tenant::Quota;
    use proptest::prelude::*;

    use super::*;

    const BUILDS: &[Limited] = &[Limited::Builds, Limited::BuildsPerHour];

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn tenant(builds: Option<u32>, builds_per_hour: Option<u32>) -> Tenant {
        let quota = Some(Quota {
            builds,
            builds_per_hour,
            ..Quota::default()
        });
        let spec = TenantSpec {
            quota,
            ..TenantSpec::default()
        };
        Tenant::new("acme", spec)
    }

    fn one(uid: usize, second: i64, counts: bool) -> Existing<'static> {
        Existing {
            uid: uid.to_string().leak(),
            created: at(second),
            counts,
        }
    }

    fn code(answer: Result<(), Withheld>) -> Option<(Code, String)> {
        answer.err().map(|withheld| (withheld.code, withheld.message))
    }

    #[test]
    fn two_that_come_in_the_same_second_are_not_both_let_in_by_the_last_place_in_whatever_order() {
        let tenant = tenant(Some(1), None);
        for (first, second) in [(1, 2), (2, 1)] {
            let mut book = Book::default();
            // Neither sees the other's status: the watch is behind.
            let existing = [one(1, 0, false), one(2, 0, false)];
            let ask = |book: &mut Book, uid: usize| book.ask(&tenant, BUILDS, (&existing[uid - 1], &existing), at(0));
            assert_eq!(ask(&mut book, first), Ok(()));
            let (refused, message) = code(ask(&mut book, second)).unwrap();
            assert_eq!(refused, Code::QuotaExceeded);
            assert!(
                message.contains("may have 1 builds") && message.contains("has 1."),
                "{message}"
            );
            assert_eq!(ask(&mut book, first), Ok(()), "asked again it says the same");
        }
    }

    #[test]
    fn a_new_leader_counts_what_stands_in_statuses() {
        let tenant = tenant(None, Some(2));
        let existing = [one(1, 0, true), one(2, 10, true), one(3, 20, false)];
        let mut book = Book::default();
        assert!(
            book.ask(&tenant, BUILDS, (&one(4, 30, false), &existing), at(30))
                .is_err()
        );
        assert_eq!(
            book.ask(&tenant, BUILDS, (&one(5, 3600, false), &existing), at(3600)),
            Ok(())
        );
    }

    #[test]
    fn what_is_deleted_gives_back_its_place_and_not_its_hour() {
        let mut book = Book::default();
        let first = one(1, 0, false);
        let (count, rate) = (tenant(Some(1), None), tenant(None, Some(1)));
        assert_eq!(book.ask(&count, BUILDS, (&first, &[]), at(0)), Ok(()));
        assert!(book.ask(&rate, BUILDS, (&one(2, 5, false), &[]), at(5)).is_err());
        assert_eq!(book.ask(&count, BUILDS, (&one(2, 5, false), &[]), at(5)), Ok(()));
    }

    #[test]
    fn without_a_limit_nothing_is_noted() {
        let mut book = Book::default();
        assert_eq!(
            book.ask(&tenant(None, None), BUILDS, (&one(1, 0, false), &[]), at(0)),
            Ok(())
        );
        assert!(book.tenants.is_empty());
    }

    proptest! {
        #[test]
        fn no_hour_ever_holds_more_than_the_limit_in_whatever_order_they_are_asked_for(
            seconds in proptest::collection::vec(0_i64..10_000, 1..40), limit in 0_u32..6, restart in 0_usize..40,
        ) {
            let tenant = tenant(None, Some(limit));
            let mut book = Book::default();
            let mut existing: Vec<Existing<'_>> = Vec::new();
            let mut let_in = Vec::new();
            for (uid, second) in seconds.iter().enumerate() {
                if uid == restart {
                    book = Book::default();
                }
                let mut new = one(uid, *second, false);
                let answer = book.ask(&tenant, BUILDS, (&new, &existing), at(10_000));
                new.counts = answer.is_ok();
                if new.counts {
                    let_in.push(*second);
                }
                existing.push(new);
            }
            for begin in &let_in {
                let within = let_in.iter().filter(|at| (*begin..begin + 3600).contains(at)).count();
                prop_assert!(within <= limit as usize, "{let_in:?}");
            }
        }
    }
}
