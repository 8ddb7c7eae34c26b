//! Staged images that nobody needs any more: when each expires, and which are removed together.
//!
//! The list of them lies in the object store and not in Builds, since a Build may be deleted before its image expires.
//! Each entry lies under the ten minutes in which it expires, so that what is due is found by name alone.

use std::collections::{BTreeMap, BTreeSet};

use imagefactory_crds::Build;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::build::names::Identity;
use crate::step::StagedEntry;

/// Width of one slot of the list.
const SLOT: i64 = 600;
/// How long after its time an image may still be put on the list: one that was put there and removed is not again.
const LATE: SignedDuration = SignedDuration::from_hours(1);

/// A staged image on the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expiry {
    /// Tenant, whose staging credential removes it.
    pub tenant: String,
    /// Namespace of the Build.
    pub namespace: String,
    /// Name of the Build.
    pub build: String,
    /// Uid of the Build.
    pub build_uid: String,
    /// Repository in staging.
    pub repository: String,
    /// Digest of the image.
    pub digest: String,
}

/// Where an entry lies: `<slot>/<uid>-<digest>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(String);

impl Slot {
    /// The slot in which this moment lies at the end.
    #[must_use]
    pub fn after(moment: Timestamp) -> Option<Self> {
        let second = moment.as_second().checked_add(SLOT - 1)? / SLOT * SLOT;
        let end = Timestamp::from_second(second).ok()?;
        Some(Self(end.strftime("%Y-%m-%dT%H-%M").to_string()))
    }

    /// The name of a slot as the store gives it; none for what is not one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let digits = name.bytes().filter(u8::is_ascii_digit).count();
        (name.len() == 16 && digits == 12).then(|| Self(name.to_owned()))
    }

    /// Its name. Names are ordered as times are.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether everything in it has expired.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.0 <= now.strftime("%Y-%m-%dT%H-%M").to_string()
    }
}

/// The entry of a build's staged image, and its place; none if it has none, keeps it for ever, or was due long ago.
#[must_use]
pub fn entry(build: &Build, keep: SignedDuration, now: Timestamp) -> Option<(Slot, String, Expiry)> {
    let status = build.status.as_ref()?;
    let staged = status.staged.as_ref()?;
    if keep.is_zero() {
        return None;
    }
    let identity = Identity::of(build)?;
    // What does not change any more, so that the same image has the same place after a restart.
    let begun = status
        .start_time
        .as_ref()
        .or(build.metadata.creation_timestamp.as_ref())?
        .0;
    let due = begun.checked_add(keep).ok()?;
    if now.duration_since(due) > LATE {
        return None;
    }
    let (_, hex) = staged.digest.split_once(':')?;
    let key = format!("{}-{hex}", identity.uid);
    let expiry = Expiry {
        tenant: identity.tenant,
        namespace: identity.namespace,
        build: identity.name,
        build_uid: identity.uid,
        repository: staged.repository.clone(),
        digest: staged.digest.0.clone(),
    };
    Some((Slot::after(due)?, key, expiry))
}

/// Images of one tenant that are removed by one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Tenant.
    pub tenant: String,
    /// What is removed.
    pub images: Vec<StagedEntry>,
}

/// Most images of one job: what it is told has to fit into one variable.
const IN_A_JOB: usize = 40;
/// Most jobs at a time: the work namespace is for scans.
const JOBS: usize = 4;

/// What to begin to remove of what is due: one job for a tenant, none for a tenant that has one, few at a time.
/// `busy` are the tenants of jobs that are there.
#[must_use]
pub fn batches(due: &[(String, Expiry)], busy: &BTreeSet<String>) -> Vec<Batch> {
    let mut by_tenant = BTreeMap::<&str, Vec<StagedEntry>>::new();
    for (path, expiry) in due.iter().filter(|(_, expiry)| !busy.contains(&expiry.tenant)) {
        let images = by_tenant.entry(&expiry.tenant).or_default();
        if images.len() < IN_A_JOB {
            images.push(StagedEntry {
                path: path.clone(),
                repository: expiry.repository.clone(),
                digest: expiry.digest.clone(),
            });
        }
    }
    let room = JOBS.saturating_sub(busy.len());
    let batch = |(tenant, images): (&str, Vec<StagedEntry>)| Batch {
        tenant: tenant.to_owned(),
        images,
    };
    by_tenant.into_iter().take(room).map(batch).collect()
}

#[cfg(test)]
mod tests {
    use imagefactory_crds::BuildStatus;
    use imagefactory_crds::build::StagedImage;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::build::fixtures::{World, at, digest};

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn build() -> Build {
        let mut build = World::new().build;
        build.status = Some(BuildStatus {
            start_time: Some(Time(at(0))),
            staged: Some(StagedImage {
                repository: "registry.example.com/staging/acme/builds/web/uid".to_owned(),
                digest: digest('a'),
                size: 1,
                platforms: Vec::new(),
            }),
            ..BuildStatus::default()
        });
        build
    }

    fn due(tenant: &str, number: usize) -> (String, Expiry) {
        let expiry = Expiry {
            tenant: tenant.to_owned(),
            namespace: format!("tenant-{tenant}"),
            build: "hello".to_owned(),
            build_uid: number.to_string(),
            repository: format!("registry.example.com/staging/{tenant}/builds/web/{number}"),
            digest: digest('a').0,
        };
        (format!("slot/{number}"), expiry)
    }

    #[test]
    fn a_staged_image_has_one_place_whenever_it_is_asked_for() {
        let (slot, key, expiry) = entry(&build(), DAY, at(10)).unwrap();
        assert_eq!(
            entry(&build(), DAY, at(80_000)).unwrap(),
            (slot.clone(), key.clone(), expiry)
        );
        assert!(
            key.ends_with(&"a".repeat(64)) && crate::build::logs::is_segment(&key),
            "{key}"
        );
        assert!(!slot.is_over(at(86_399)), "not before its time");
        assert!(slot.is_over(at(86_400 + 600)), "soon after it");
        assert_eq!(Slot::parse(slot.as_str()), Some(slot));
    }

    #[test]
    fn what_was_due_long_ago_is_not_put_on_the_list_again() {
        assert!(entry(&build(), DAY, at(86_400 + 3600)).is_some());
        assert!(entry(&build(), DAY, at(86_400 + 3601)).is_none());
    }

    #[test]
    fn without_an_image_or_a_time_nothing_expires() {
        let mut none = build();
        none.status.as_mut().unwrap().staged = None;
        assert!(entry(&none, DAY, at(0)).is_none());
        assert!(entry(&build(), SignedDuration::ZERO, at(0)).is_none());
    }

    #[test]
    fn what_is_no_slot_is_not_read_as_one() {
        for name in ["", "2026-01-01T00-0x", "../../../../../..", "2026-01-01T00-000"] {
            assert_eq!(Slot::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_tenant_has_one_job_of_bounded_size_and_there_are_few() {
        let all: Vec<_> = (0..100)
            .map(|number| due("acme", number))
            .chain([due("globex", 1)])
            .collect();
        let found = batches(&all, &BTreeSet::new());
        let sizes: Vec<_> = found
            .iter()
            .map(|batch| (batch.tenant.as_str(), batch.images.len()))
            .collect();
        assert_eq!(sizes, [("acme", 40), ("globex", 1)]);
        let told = serde_json::to_string(&found[0].images).unwrap();
        assert!(told.len() < 32_000, "{}", told.len());
        let busy = BTreeSet::from(["acme".to_owned()]);
        assert_eq!(batches(&all, &busy).len(), 1, "not while its job is there");
        let many: Vec<_> = (0..20).map(|number| due(&format!("t{number}"), number)).collect();
        assert_eq!(batches(&many, &BTreeSet::new()).len(), 4);
    }
}
