//! How many builds a project has, by state, and which is the newest.
//!
//! States are told apart by the condition `Succeeded` and the time of dispatch. The phase is for people: it is shown
//! and never decided by.

use imagefactory_crds::Build;
use imagefactory_crds::conditions::{SUCCEEDED, find};
use imagefactory_crds::project::{BuildCounts, LastBuild};

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Builds by state.
    pub builds: BuildCounts,
    /// The newest build.
    pub last_build: Option<LastBuild>,
}

/// Counts the builds of one project.
#[must_use]
pub fn count<'a>(builds: impl Iterator<Item = &'a Build>) -> Counted {
    let mut counts = BuildCounts::default();
    let mut newest: Option<&Build> = None;
    for build in builds {
        counts.total = counts.total.saturating_add(1);
        let counter = match state(build) {
            State::Queued => &mut counts.queued,
            State::Running => &mut counts.running,
            State::Succeeded => &mut counts.succeeded,
            State::Failed => &mut counts.failed,
        };
        *counter = counter.saturating_add(1);
        if newest.is_none_or(|newest| age(newest) < age(build)) {
            newest = Some(build);
        }
    }
    Counted {
        builds: counts,
        last_build: newest.and_then(describe),
    }
}

enum State {
    Queued,
    Running,
    Succeeded,
    Failed,
}

fn state(build: &Build) -> State {
    let Some(status) = &build.status else {
        return State::Queued;
    };
    match find(&status.conditions, SUCCEEDED).map(|condition| condition.status.as_str()) {
        Some("True") => State::Succeeded,
        Some("False") => State::Failed,
        // One that is to be tried again has no slot meanwhile.
        _ if status.start_time.is_some() && status.next_attempt_at.is_none() => State::Running,
        _ => State::Queued,
    }
}

/// Creation times are whole seconds, so the name decides between builds made together.
fn age(build: &Build) -> impl Ord + use<> {
    (
        build.metadata.creation_timestamp.as_ref().map(|time| time.0),
        build.metadata.name.clone(),
    )
}

fn describe(build: &Build) -> Option<LastBuild> {
    let status = build.status.as_ref();
    Some(LastBuild {
        name: build.metadata.name.as_deref()?.into(),
        phase: status.and_then(|status| status.phase).unwrap_or_default(),
        completion_time: status.and_then(|status| status.completion_time.clone()),
    })
}
