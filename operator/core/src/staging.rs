//! Staged images that nobody needs any more: when each expires, and which are removed together.
//!
//! The list of them lies in the object store and not in Builds, since a Build may be deleted before its image expires.
//! Each entry lies under the ten minutes in which it expires, so that what is due is found by name alone. An attempt to
//! build is put there when it begins, by the tag that it gives its image: whether it came to an image, its status may
//! never say.

use std::collections::BTreeSet;

use imagefactory_crds::Build;
use imagefactory_crds::build::BuildStatus;
use imagefactory_crds::names::{
    LABEL_ATTEMPT, LABEL_BUILD_UID, LABEL_PROJECT, LABEL_STAGE, LABEL_TENANT, tenant_namespace,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use crate::build::names::{Identity, Stage, staging_repository, staging_tag};
use crate::build::status::is_settled;
use crate::settings::Settings;
use crate::step::{Fate, StagedEntry, StagedName, Unstaged};
use crate::work::{self, Work};

/// Width of one slot of the list.
const SLOT: i64 = 600;
/// How long after its time an image may still be put on the list: one that was put there and removed is not again.
const LATE: SignedDuration = SignedDuration::from_hours(1);
/// How soon an image is tried again that could not be removed.
const AGAIN: SignedDuration = SignedDuration::from_hours(1);
/// How long an image is tried again: a registry may refuse for ever to say anything of what was never pushed.
const GIVE_UP: SignedDuration = SignedDuration::from_hours(7 * 24);

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
    /// When it could not be removed for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// Which image of it.
    #[serde(flatten)]
    pub image: StagedName,
}

impl Expiry {
    /// The entry of an image that could not be removed now; none if that has gone on for so long that nobody tries again.
    #[must_use]
    pub fn failed(self, now: Timestamp) -> Option<Self> {
        let since = self.failing_since.unwrap_or(now);
        (now.duration_since(since) < GIVE_UP).then_some(Self {
            failing_since: Some(since),
            ..self
        })
    }
}

/// What is put on the list, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// When it expires.
    pub slot: Slot,
    /// Its name there, the same whenever it is asked for.
    pub key: String,
    /// The image.
    pub expiry: Expiry,
}

/// When entries expire that lie together: `<slot>/<uid>-<tag>`, or with a digest where an earlier version put them there.
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

/// What to put on the list for a build: an entry for each attempt that has begun. None if images are kept for ever, or it
/// ended and was due long ago.
#[must_use]
pub fn listings(build: &Build, settings: &Settings, now: Timestamp) -> Vec<Listing> {
    let (Some(status), Some(identity)) = (build.status.as_ref(), Identity::of(build)) else {
        return Vec::new();
    };
    // What does not change any more, so that the same image has the same place after a restart.
    let created = build.metadata.creation_timestamp.as_ref();
    let Some(begun) = status.start_time.as_ref().or(created) else {
        return Vec::new();
    };
    let Some(due) = due(begun.0, settings) else {
        return Vec::new();
    };
    // While it goes on nothing of it is removed, so nothing could be listed twice.
    if is_settled(Some(status)) && now.duration_since(due) > LATE {
        return Vec::new();
    }
    let of = Of {
        tenant: &identity.tenant,
        project: &identity.project,
        build: &identity.name,
        uid: &identity.uid,
    };
    (1..=attempts(status))
        .filter_map(|attempt| of.listing(attempt, due, settings))
        .collect()
}

/// How many attempts to build have begun.
fn attempts(status: &BuildStatus) -> u32 {
    let has_begun = status.start_time.is_some() || status.staged.is_some();
    status.attempts.unwrap_or(u32::from(has_begun))
}

/// The same for a pod or job that was made for a build which is gone: it may have been deleted before anybody looked at
/// it. Of which attempt a job's image is, it does not say: only a first one is so new that it is not listed yet.
#[must_use]
pub fn listing_of_remains(metadata: &ObjectMeta, settings: &Settings, now: Timestamp) -> Option<Listing> {
    let labels = metadata.labels.as_ref()?;
    let (Work::Build, build) = work::made_for(labels)? else {
        return None;
    };
    let due = due(metadata.creation_timestamp.as_ref()?.0, settings)?;
    if now.duration_since(due) > LATE {
        return None;
    }
    let is_of_build = labels
        .get(LABEL_STAGE)
        .is_some_and(|stage| stage == Stage::Build.as_str());
    let attempt = labels.get(LABEL_ATTEMPT).filter(|_| is_of_build);
    let of = Of {
        tenant: labels.get(LABEL_TENANT)?,
        project: labels.get(LABEL_PROJECT)?,
        build,
        uid: labels.get(LABEL_BUILD_UID)?,
    };
    of.listing(attempt.map_or(Some(1), |attempt| attempt.parse().ok())?, due, settings)
}

/// When what began then expires; never, if images are kept for ever.
fn due(begun: Timestamp, settings: &Settings) -> Option<Timestamp> {
    let keep = SignedDuration::from_secs(settings.staging_ttl_seconds);
    begun.checked_add(keep).ok().filter(|_| !keep.is_zero())
}

/// Whose image it is.
struct Of<'a> {
    tenant: &'a str,
    project: &'a str,
    build: &'a str,
    uid: &'a str,
}

impl Of<'_> {
    fn listing(&self, attempt: u32, due: Timestamp, settings: &Settings) -> Option<Listing> {
        let tag = staging_tag(attempt);
        Some(Listing {
            slot: Slot::after(due)?,
            key: format!("{}-{tag}", self.uid),
            expiry: Expiry {
                tenant: self.tenant.to_owned(),
                namespace: tenant_namespace(self.tenant),
                build: self.build.to_owned(),
                build_uid: self.uid.to_owned(),
                repository: staging_repository(&settings.staging.prefix, self.tenant, self.project, self.uid),
                failing_since: None,
                image: StagedName::Tag(tag),
            },
        })
    }
}

/// Images of one tenant that are removed by one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Tenant.
    pub tenant: String,
    /// What is removed.
    pub images: Vec<StagedEntry>,
}

/// Jobs that are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Busy {
    /// Tenants that get no other: theirs runs, or has failed and is to be looked at.
    pub tenants: BTreeSet<String>,
    /// How many run.
    pub running: usize,
}

/// Most images of one job: what it is told has to fit into one variable.
const IN_A_JOB: usize = 40;
/// Most jobs at a time: the work namespace is for scans.
const JOBS: usize = 4;

/// What to begin to remove of what is due, which is given oldest first: one job for a tenant, none for a tenant that has
/// one, few at a time. Who has waited longest comes first.
#[must_use]
pub fn batches(due: &[(String, Expiry)], busy: &Busy) -> Vec<Batch> {
    let mut batches = Vec::<Batch>::new();
    for (path, expiry) in due.iter().filter(|(_, expiry)| !busy.tenants.contains(&expiry.tenant)) {
        let image = StagedEntry {
            path: path.clone(),
            repository: expiry.repository.clone(),
            image: expiry.image.clone(),
        };
        match batches.iter_mut().find(|batch| batch.tenant == expiry.tenant) {
            Some(batch) if batch.images.len() >= IN_A_JOB => {}
            Some(batch) => batch.images.push(image),
            None => batches.push(Batch {
                tenant: expiry.tenant.clone(),
                images: vec![image],
            }),
        }
    }
    batches.truncate(JOBS.saturating_sub(busy.running));
    batches
}

/// What is done with an entry of the list when the job is over that was to remove its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settling {
    /// It goes from the list.
    Unlist,
    /// It goes to this place on the list, out of the way of others, or from it if it has failed for long ([`Expiry::failed`]).
    Postpone(Slot),
}

/// What is done with each entry of a job that is over. An image of which the job does not tell is tried again: removing
/// what is gone is as good.
#[must_use]
pub fn settle(images: &[StagedEntry], told: Option<&Unstaged>, now: Timestamp) -> Vec<(String, Settling)> {
    let Some(later) = now.checked_add(AGAIN).ok().and_then(Slot::after) else {
        return Vec::new();
    };
    let fates = told.map(|told| told.images.as_slice()).unwrap_or_default();
    let settling = |fate: Option<&Fate>| match fate {
        Some(Fate::Removed | Fate::Absent | Fate::Unsupported) => Settling::Unlist,
        Some(Fate::Failed) | None => Settling::Postpone(later.clone()),
    };
    let images = images.iter().enumerate();
    images
        .map(|(number, image)| (image.path.clone(), settling(fates.get(number))))
        .collect()
}

#[cfg(test)]
mod tests;
