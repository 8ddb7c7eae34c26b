//! Which finished builds and scans are removed (docs/decisions/0020, 0030). Pure: who removes them, asks for nothing but
//! what it sees.
//!
//! What is not seen makes it remove less and never more: a run that is due among some is due among all. So a watch
//! that lags, and a process that dies between two removals, cost nothing but time. Only a rerun that is not seen yet holds
//! nothing: it ends as one that was created after the removal.

use std::collections::HashSet;

use imagefactory_crds::conditions::{ConditionStatus, SUCCEEDED, find};
use imagefactory_crds::retention::Retention;
use imagefactory_crds::{Build, ImageScan, Project, TenantSettings};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use kube_core::Resource;

use crate::build::status::is_settled;

/// Most objects of a kind that are removed in one pass, of all tenants together.
pub const IN_A_PASS: usize = 500;

/// What the API server appends to `metadata.generateName`: five of these.
const SUFFIX: usize = 5;
const ALPHABET: &str = "bcdfghjklmnpqrstvwxz2456789";

/// A run that ends, and goes some time after that: a Build or an ImageScan.
pub trait Ends: Resource {
    /// The project that it belongs to.
    fn project(&self) -> &str;

    /// What its status says: its conditions, and when it ended. None where it has no status.
    fn told(&self) -> Option<(&[Condition], Option<&Time>)>;

    /// Adds the runs of its project that it needs as long as it has not ended.
    fn hold(&self, _held: &mut Held) {}
}

macro_rules! ends {
    ($($kind:ty { $($more:tt)* })*) => {$(
        impl Ends for $kind {
            fn project(&self) -> &str {
                self.spec.project_ref.name.as_str()
            }

            fn told(&self) -> Option<(&[Condition], Option<&Time>)> {
                let status = self.status.as_ref()?;
                Some((&status.conditions, status.completion_time.as_ref()))
            }

            $($more)*
        }
    )*};
}

ends! {
    Build {
        fn hold(&self, held: &mut Held) {
            held.by_build(self);
        }
    }
    ImageScan {}
}

/// Runs of a project that others still need. They stay whatever the limits say, and count as before: no other one goes
/// or stays for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    names: HashSet<String>,
    all: bool,
}

impl Held {
    /// A rerun takes its inputs from another Build until its last attempt has begun, and the long ones maybe from a third
    /// that only its record names. While it has none, that may be any: of a Build that has ended, the record is not at hand.
    fn by_build(&mut self, build: &Build) {
        let Some(of) = build
            .spec
            .rerun_of
            .as_ref()
            .filter(|_| !is_settled(build.status.as_ref()))
        else {
            return;
        };
        let recorded = build.status.as_ref().and_then(|status| status.resolved_spec.as_ref());
        self.all |= recorded.is_none();
        let inputs_of = recorded.and_then(|recorded| recorded.inputs_of.as_ref());
        self.names.extend(
            [Some(&of.name), inputs_of]
                .into_iter()
                .flatten()
                .map(|name| name.0.clone()),
        );
    }

    fn has(&self, run: &Finished) -> bool {
        self.all || self.names.contains(&run.name)
    }
}

/// A run that has ended, as far as its removal goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finished {
    /// When it ended.
    pub ended: Timestamp,
    /// Its name.
    pub name: String,
    /// Whether it ended well.
    pub succeeded: bool,
    /// Whether its name was generated, so that nobody applies it by name.
    pub generated: bool,
}

impl Finished {
    /// What is to be known of a run; none of one that has not ended, or is being deleted.
    #[must_use]
    pub fn of(run: &impl Ends) -> Option<Self> {
        let (conditions, completed) = run.told()?;
        let metadata = run.meta();
        let result = find(conditions, SUCCEEDED)?.status.as_str();
        if metadata.deletion_timestamp.is_some() || result == ConditionStatus::Unknown.as_str() {
            return None;
        }
        Some(Self {
            ended: completed?.0,
            name: metadata.name.clone()?,
            succeeded: result == ConditionStatus::True.as_str(),
            generated: is_generated(metadata),
        })
    }
}

/// Whether the API server made the name. A manifest that names its object, as every Git controller's does, is told from one
/// that leaves it to the API server; who names one as if it were generated, means it.
fn is_generated(metadata: &ObjectMeta) -> bool {
    let prefix = metadata.generate_name.as_deref().unwrap_or_default();
    let suffix = metadata.name.as_deref().and_then(|name| name.strip_prefix(prefix));
    let is_made = |suffix: &str| suffix.len() == SUFFIX && suffix.chars().all(|letter| ALPHABET.contains(letter));
    !prefix.is_empty() && suffix.is_some_and(is_made)
}

/// What limits the finished runs of a project, those of each kind by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    max_age: Option<SignedDuration>,
    max_builds: Option<usize>,
    include_applied: bool,
}

impl Limits {
    /// What holds for a project: its own word, else the tenant's, else the platform's. None where everything is kept:
    /// because nobody says otherwise, because the project is archived, or because who has the word is not seen.
    #[must_use]
    pub fn of(
        project: Option<&Project>,
        tenant_settings: Option<&TenantSettings>,
        platform: &Retention,
    ) -> Option<Self> {
        let project = project.filter(|project| !project.spec.archived)?;
        let retention = match &project.spec.retention {
            Some(own) => own,
            None => tenant_settings?.spec.retention.as_ref().unwrap_or(platform),
        };
        Self::from_retention(retention)
    }

    fn from_retention(retention: &Retention) -> Option<Self> {
        let limits = Self {
            max_age: retention.max_age.as_ref().and_then(|age| age.parse().ok()),
            max_builds: retention.max_builds.and_then(|most| usize::try_from(most).ok()),
            include_applied: retention.include_applied,
        };
        (limits.max_age.is_some() || limits.max_builds.is_some()).then_some(limits)
    }
}

/// The builds, or the scans, of one project that are to go, oldest first. The newest successful one never is: what a project
/// last built or scanned well, and the way there, stays to be looked at. Nor is one that is held.
#[must_use]
pub fn due(mut finished: Vec<Finished>, held: &Held, limits: &Limits, now: Timestamp) -> Vec<Finished> {
    finished.sort_unstable();
    let newest_success = finished.iter().rposition(|run| run.succeeded);
    let countable = |run: &Finished| run.generated || limits.include_applied;
    let newest: HashSet<usize> = (0..finished.len())
        .rev()
        .filter(|index| finished.get(*index).is_some_and(countable))
        .take(limits.max_builds.unwrap_or(usize::MAX))
        .collect();
    let is_old = |run: &Finished| limits.max_age.is_some_and(|most| now.duration_since(run.ended) >= most);
    finished
        .into_iter()
        .enumerate()
        .filter(|(index, run)| countable(run) && Some(*index) != newest_success)
        .filter(|(index, run)| (is_old(run) || !newest.contains(index)) && !held.has(run))
        .map(|(_, run)| run)
        .collect()
}

#[cfg(test)]
mod tests;
