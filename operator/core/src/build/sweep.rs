//! Which jobs nobody needs any more. Owners do not cross namespaces, so jobs in the work namespace are not collected
//! with their build; and they have no time to live, so that no result vanishes before it was read.

use imagefactory_crds::names::{LABEL_BUILD_UID, LABEL_TENANT, tenant_namespace};
use jiff::{SignedDuration, Timestamp};

use crate::partial::Job;
use crate::work::{self, Work};

/// How old a job must be before its build's absence is believed: watches bring builds and jobs apart.
const GRACE: SignedDuration = SignedDuration::from_mins(1);

/// The build or scan that a job was made for, as its labels name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeFor {
    /// Whether it is a Build or an ImageScan.
    pub work: Work,
    /// Namespace of the Build.
    pub namespace: String,
    /// Name of the Build.
    pub name: String,
    /// Uid of the Build.
    pub uid: String,
}

/// What is known of a Build, for this decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known<'a> {
    /// Its uid.
    pub uid: &'a str,
    /// When it ended, if it did.
    pub completed: Option<Timestamp>,
}

/// Why a job is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Superfluous {
    /// Its build is gone. Worth asking the API server before believing it.
    Orphaned,
    /// Its build ended long enough ago.
    Expired,
}

/// The build or scan that a job was made for; none for a job that is not ours.
#[must_use]
pub fn made_for(job: &Job) -> Option<MadeFor> {
    let labels = job.metadata.labels.as_ref()?;
    let (work, name) = work::made_for(labels)?;
    Some(MadeFor {
        work,
        namespace: tenant_namespace(labels.get(LABEL_TENANT)?),
        name: name.clone(),
        uid: labels.get(LABEL_BUILD_UID)?.clone(),
    })
}

/// Whether a job is needed no more, and why.
#[must_use]
pub fn superfluous(
    job: &Job,
    made_for: &MadeFor,
    build: Option<Known<'_>>,
    now: Timestamp,
    keep: SignedDuration,
) -> Option<Superfluous> {
    let age = |since: Timestamp| now.duration_since(since);
    match build.filter(|build| build.uid == made_for.uid) {
        Some(build) => build
            .completed
            .filter(|completed| age(*completed) >= keep)
            .map(|_| Superfluous::Expired),
        None => {
            let created = job.metadata.creation_timestamp.as_ref()?.0;
            (age(created) >= GRACE).then_some(Superfluous::Orphaned)
        }
    }
}

#[cfg(test)]
mod tests {
    use imagefactory_crds::names::LABEL_BUILD;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

    use super::*;
    use crate::build::fixtures::at;

    const KEEP: SignedDuration = SignedDuration::from_hours(1);

    fn job() -> Job {
        let labels = [(LABEL_TENANT, "acme"), (LABEL_BUILD, "hello"), (LABEL_BUILD_UID, "one")];
        let labels = labels
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let metadata = ObjectMeta {
            labels: Some(labels),
            creation_timestamp: Some(Time(at(0))),
            ..ObjectMeta::default()
        };
        Job {
            metadata,
            ..Job::default()
        }
    }

    fn judge(build: Option<Known<'_>>, now: Timestamp) -> Option<Superfluous> {
        let job = job();
        superfluous(&job, &made_for(&job).unwrap(), build, now, KEEP)
    }

    #[test]
    fn a_job_of_a_build_that_goes_on_stays_however_old_it_is() {
        assert_eq!(
            judge(
                Some(Known {
                    uid: "one",
                    completed: None
                }),
                at(1_000_000)
            ),
            None
        );
    }

    #[test]
    fn a_job_of_a_settled_build_goes_after_its_time() {
        let build = Some(Known {
            uid: "one",
            completed: Some(at(100)),
        });
        assert_eq!(judge(build, at(100 + 3599)), None);
        assert_eq!(judge(build, at(100 + 3600)), Some(Superfluous::Expired));
    }

    #[test]
    fn a_job_without_its_build_goes_but_not_at_once() {
        for build in [
            None,
            Some(Known {
                uid: "another",
                completed: None,
            }),
        ] {
            assert_eq!(judge(build, at(59)), None);
            assert_eq!(judge(build, at(60)), Some(Superfluous::Orphaned));
        }
    }
}
